-- Reason: the queue keeps what the sender was promised: a priority, a time to deliver by, a time not before.
-- Oldest readable version: 0.1.0

ALTER TABLE queue ADD COLUMN not_before INTEGER NOT NULL DEFAULT 0;    -- RFC 4865; 0: at once
ALTER TABLE queue ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;      -- RFC 6710, -9 to 9
ALTER TABLE queue ADD COLUMN deliver_by INTEGER NOT NULL DEFAULT 0;    -- RFC 2852; 0: no time was asked for
ALTER TABLE queue ADD COLUMN by_mode TEXT NOT NULL DEFAULT '';

DROP INDEX queue_due;
CREATE INDEX queue_due ON queue (priority, due) WHERE due IS NOT NULL;
