"""The LMTP door (RFC 2033): SMTP with one reply a recipient after the content."""
