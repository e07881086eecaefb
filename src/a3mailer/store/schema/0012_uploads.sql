-- Reason: clients of JMAP upload octets before anything refers to them (RFC 8620 section 6).
-- Oldest readable version: this one (an older one would count the contents of uploads as held by nobody).

CREATE TABLE uploads (
    number INTEGER PRIMARY KEY,     -- the order in which they go where room is needed
    account INTEGER NOT NULL,       -- where the content is kept
    uploader INTEGER NOT NULL,      -- the account that may read it
    blob BLOB NOT NULL,
    size INTEGER NOT NULL,
    expires INTEGER NOT NULL
);
CREATE UNIQUE INDEX uploads_blob ON uploads (account, blob, uploader);
CREATE INDEX uploads_expires ON uploads (expires);
