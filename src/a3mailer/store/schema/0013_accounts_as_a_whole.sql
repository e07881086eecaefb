-- Reason: JMAP asks by email, by thread and for what changed in an account; without these each look reads all mail.
-- Oldest readable version: this one (an older one would not note where a mail came in).
--
-- A delivery writes no index more for it: where an email came in stands beside its fragments, and only rows
-- that came another way (copied 1), and only emails that answer another one, have an index entry.

ALTER TABLE messages ADD COLUMN copied INTEGER NOT NULL DEFAULT 1;  -- 0: "fragments" says where it lies
CREATE INDEX messages_copied ON messages (account, email) WHERE copied = 1;
CREATE INDEX messages_replies ON messages (account, thread) WHERE thread <> email;

ALTER TABLE fragments ADD COLUMN mailbox INTEGER NOT NULL DEFAULT 0;    -- where the email came in
ALTER TABLE fragments ADD COLUMN uid INTEGER NOT NULL DEFAULT 0;

ALTER TABLE expunged ADD COLUMN added INTEGER NOT NULL DEFAULT 0;       -- as in "messages"

ALTER TABLE mailboxes ADD COLUMN added INTEGER NOT NULL DEFAULT 0;      -- the modseq it was made with
ALTER TABLE mailboxes ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;    -- that of its last new name or attribute
ALTER TABLE mailboxes ADD COLUMN sort_order INTEGER NOT NULL DEFAULT 0;

ALTER TABLE accounts ADD COLUMN tombstones_from INTEGER NOT NULL DEFAULT 0;  -- of all its mailboxes, deleted ones, too

CREATE TABLE mailboxes_gone (
    account INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    mailbox INTEGER NOT NULL,
    added INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (account, modseq, mailbox)
) WITHOUT ROWID;
CREATE INDEX mailboxes_gone_at ON mailboxes_gone (at);
