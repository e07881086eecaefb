"""The standard methods (RFC 8620 section 5), each once for all types."""
