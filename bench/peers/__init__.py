"""The servers and clients we are measured against, from Debian, in a private prefix, on loopback."""
