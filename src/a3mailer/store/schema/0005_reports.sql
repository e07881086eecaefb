-- Reason: what reports for other domains are made of, and the reports of others about ours.
-- Oldest readable version: 0.1.0

CREATE TABLE tallies (
    kind TEXT NOT NULL,
    period INTEGER NOT NULL,        -- when the time of the report begins
    domain TEXT NOT NULL,           -- whom it will be for
    key TEXT NOT NULL,              -- what is counted apart, JSON
    count INTEGER NOT NULL,
    PRIMARY KEY (kind, period, domain, key)
) WITHOUT ROWID;

CREATE TABLE reports (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    domain TEXT NOT NULL,           -- of ours, that it is about
    received INTEGER NOT NULL,
    begins INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    source TEXT NOT NULL,           -- who sent it
    identity TEXT NOT NULL,         -- how its maker calls it
    content TEXT NOT NULL,          -- JSON
    UNIQUE (kind, domain, source, identity)
);
CREATE INDEX reports_received ON reports (received);
