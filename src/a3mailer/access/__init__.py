"""Using mail: the mailbox use cases behind IMAP, POP3, JMAP, DAV and webmail."""
