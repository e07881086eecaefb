-- Reason: a mail in the queue may demand TLS on its whole way, or ask for none (RFC 8689).
-- Oldest readable version: 0.1.0

ALTER TABLE queue ADD COLUMN tls TEXT NOT NULL DEFAULT '';      -- required, optional or nothing
