"""ManageSieve (RFC 5804) without I/O: framing, commands, and how responses are written."""
