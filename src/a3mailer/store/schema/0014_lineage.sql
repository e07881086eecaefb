-- Reason: THREAD wants to know whom each mail follows (References), for all mails of a mailbox at once.
-- NULL for mails that came before: their headers are read when somebody asks.
-- Oldest readable version: that of 0013

ALTER TABLE fragments ADD COLUMN lineage BLOB;
