"""SMTP and LMTP without I/O (RFC 5321, RFC 2033): the server and the client engine."""
