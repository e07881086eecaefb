-- Reason: few small contents need no sync of their own when the transaction that refers to them carries them.
-- Oldest readable version: 0.1.0
--
-- Records as they were written to their segments, not synced there yet, or lately: what a writer finds here
-- when it begins it writes again. A segment id is never used twice, so writing one twice harms nothing.

CREATE TABLE unsynced (
    slot INTEGER PRIMARY KEY,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    record BLOB NOT NULL            -- header and payload, then zeros: one length makes SQLite write in place
);
