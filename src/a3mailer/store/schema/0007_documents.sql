-- Reason: accounts keep small texts: templates and hooks of the sending API, what became of its mails.
-- Oldest readable version: 0.1.0

CREATE TABLE documents (
    account INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    due INTEGER NOT NULL,           -- when something is to be done with it; 0: never
    expires INTEGER NOT NULL,       -- 0: never
    created INTEGER NOT NULL,
    PRIMARY KEY (account, kind, name)
) WITHOUT ROWID;
CREATE INDEX documents_due ON documents (kind, due) WHERE due > 0;
CREATE INDEX documents_expires ON documents (expires) WHERE expires > 0;
