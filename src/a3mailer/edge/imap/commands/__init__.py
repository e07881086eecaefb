"""The table of IMAP commands: one file each, one line here."""
