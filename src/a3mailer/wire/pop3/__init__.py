"""POP3 (RFC 1939) without I/O: framing and commands, and contents as multi-line responses."""
