"""The message index: one linear pass over the octets that everyone after shares."""
