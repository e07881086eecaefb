-- Reason: a large part of a mail is a content of its own, kept once for all mails of a tenant that hold it.
-- Oldest readable version: 0.1.0
--
-- A mail with such parts: its own record holds the octets that are left over, "size" stays that of the mail.

ALTER TABLE blobs ADD COLUMN own INTEGER;   -- octets of its own record; NULL when they are all of "size"

CREATE TABLE blob_parts (
    tenant INTEGER NOT NULL,
    blob BLOB NOT NULL,             -- the mail's
    at INTEGER NOT NULL,            -- where in the mail the part begins
    part BLOB NOT NULL,             -- the blob of the part's octets; it has no parts itself
    PRIMARY KEY (tenant, blob, at)
) WITHOUT ROWID;
