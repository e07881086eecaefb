"""Mail on its way to other servers (RFC 5321 sections 3.6 and 5): where to, how safely, how fast."""
