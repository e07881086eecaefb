"""HTTP/1.1, the server's side of the wire (RFC 9112)."""
