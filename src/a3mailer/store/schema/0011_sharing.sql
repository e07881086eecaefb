-- Reason: mailboxes are shared: who may do what with whose (RFC 4314).
-- Oldest readable version: 0.1.0

CREATE TABLE grants (
    account INTEGER NOT NULL,       -- the owner
    mailbox INTEGER NOT NULL,       -- 0: the account itself, for new mailboxes without a parent
    identifier TEXT NOT NULL,       -- account:17, group:ADDRESS or anyone, with - before it: taken away
    rights TEXT NOT NULL,
    PRIMARY KEY (account, mailbox, identifier)
) WITHOUT ROWID;
CREATE INDEX grants_identifier ON grants (identifier);
