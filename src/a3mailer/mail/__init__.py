"""The vocabulary of mail: addresses, envelopes, messages, flags, mailboxes. Pure values, standard library only."""
