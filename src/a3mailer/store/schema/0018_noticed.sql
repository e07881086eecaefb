-- Reason: which messages no session of IMAP was told of yet is what \Recent says (RFC 3501 section 2.3.2).
-- Oldest readable version: that of 0017
--
-- Messages from this uid on. What came before this migration is not recent: somebody was told of most of it.

ALTER TABLE mailboxes ADD COLUMN noticed INTEGER NOT NULL DEFAULT 1;
UPDATE mailboxes SET noticed = uid_next;
