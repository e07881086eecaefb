"""WebSocket (RFC 6455), the server's side, without extensions; sans I/O."""
