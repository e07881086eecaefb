"""Real mails through real clients and servers: what went in comes out, octet for octet."""
