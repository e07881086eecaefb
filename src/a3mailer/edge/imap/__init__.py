"""The IMAP door (RFC 9051, RFC 3501): one session, one file a command."""
