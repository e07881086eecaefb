-- Reason: each reader of a shared mailbox has \Seen of its own.
-- Oldest readable version: 0.1.0

CREATE TABLE seen (
    account INTEGER NOT NULL,       -- the owner
    mailbox INTEGER NOT NULL,
    reader INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    modseq INTEGER NOT NULL,        -- of the owner's account, when it last changed
    seen INTEGER NOT NULL,
    PRIMARY KEY (account, mailbox, reader, uid)
) WITHOUT ROWID;
CREATE INDEX seen_changed ON seen (account, mailbox, reader, modseq);

CREATE TABLE seers (
    account INTEGER NOT NULL,
    mailbox INTEGER NOT NULL,
    reader INTEGER NOT NULL,
    seen INTEGER NOT NULL,          -- messages that this reader has seen
    PRIMARY KEY (account, mailbox, reader)
) WITHOUT ROWID;
