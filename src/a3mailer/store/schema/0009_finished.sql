-- Reason: "where is my mail" has an answer after the queue is done with it, too.
-- Oldest readable version: 0.1.0
--
-- No index but the order of time: rows are written with every recipient that leaves and read by people.

ALTER TABLE queue ADD COLUMN message_id TEXT NOT NULL DEFAULT '';

CREATE TABLE finished (
    number INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    tenant INTEGER NOT NULL,
    trace TEXT NOT NULL,
    message_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    created INTEGER NOT NULL,
    address TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    state TEXT NOT NULL,
    code INTEGER NOT NULL,
    enhanced TEXT NOT NULL,
    text TEXT NOT NULL,
    host TEXT NOT NULL
);
