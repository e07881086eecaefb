"""IMAP without I/O (RFC 9051, RFC 3501): framing, grammar, encoding of responses."""
