-- Reason: tombstones are forgotten by their age, a few at a time; without an index each look reads all.
-- Oldest readable version: 0.1.0

CREATE INDEX expunged_tombstones ON expunged (expunged_at) WHERE kept <> 1;
