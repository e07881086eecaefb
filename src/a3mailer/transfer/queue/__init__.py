"""Mail that waits (RFC 5321 section 4.5.4): attempts, what is recorded of them, where a mail is."""
