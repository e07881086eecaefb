-- Reason: the first schema.
-- Oldest readable version: 0.1.0
--
-- Every key begins with the account id, so that a store can be sharded by account without changing a
-- statement. "id" columns pack it: account * 2^32 + number. Exceptions, placed by tenant: tenants, blobs
-- and their references and hashes, dictionaries, domains, addresses, audit; and by process: handovers,
-- receipts, segments, commits.

CREATE TABLE tenants (
    tenant INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    key_id TEXT NOT NULL,
    wrapped BLOB NOT NULL,          -- the tenant's key, under key-encryption key key_id
    dictionary INTEGER NOT NULL DEFAULT 0,  -- the one new contents are compressed with; 0 for none
    erased INTEGER NOT NULL DEFAULT 0       -- mail was erased since it was trained
);

CREATE TABLE accounts (
    account INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used again
    tenant INTEGER NOT NULL,
    modseq INTEGER NOT NULL DEFAULT 0,
    next_mailbox INTEGER NOT NULL DEFAULT 1,
    next_email INTEGER NOT NULL DEFAULT 1,
    next_queue INTEGER NOT NULL DEFAULT 1,
    last_validity INTEGER NOT NULL DEFAULT 0,
    used_octets INTEGER NOT NULL DEFAULT 0,
    used_messages INTEGER NOT NULL DEFAULT 0,
    quota INTEGER NOT NULL DEFAULT 0,
    enabled INTEGER NOT NULL DEFAULT 1,
    epoch INTEGER NOT NULL DEFAULT 1,
    created INTEGER NOT NULL,
    address TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    display_name TEXT NOT NULL,
    role TEXT NOT NULL,
    settings TEXT NOT NULL DEFAULT '{}'
);

CREATE TABLE account_keys (
    account INTEGER PRIMARY KEY,
    key_id TEXT NOT NULL,
    wrapped BLOB NOT NULL           -- the account's key, under key-encryption key key_id
);

CREATE TABLE mailboxes (
    account INTEGER NOT NULL,
    mailbox INTEGER NOT NULL,
    uid_validity INTEGER NOT NULL,
    uid_next INTEGER NOT NULL DEFAULT 1,
    modseq INTEGER NOT NULL,
    messages INTEGER NOT NULL DEFAULT 0,
    unseen INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    octets INTEGER NOT NULL DEFAULT 0,
    tombstones_from INTEGER NOT NULL DEFAULT 0,   -- tombstones of modseqs up to this one were dropped
    expire_days INTEGER NOT NULL DEFAULT 0,
    subscribed INTEGER NOT NULL DEFAULT 0,
    name TEXT NOT NULL,
    special_use TEXT NOT NULL DEFAULT '',
    keywords TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (account, mailbox)
) WITHOUT ROWID;
CREATE UNIQUE INDEX mailboxes_name ON mailboxes (account, name);
CREATE INDEX mailboxes_expiring ON mailboxes (expire_days) WHERE expire_days > 0;

-- "added" is the modseq a message came with. It rises with the uid, so the new ones since a modseq are a
-- suffix, and only those changed later need the index: a delivery touches one page here, not two.
CREATE TABLE messages (
    account INTEGER NOT NULL,
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    added INTEGER NOT NULL,
    email INTEGER NOT NULL,
    size INTEGER NOT NULL,
    keywords TEXT,                  -- NULL for none
    thread INTEGER NOT NULL,
    internal_date INTEGER NOT NULL,
    saved_date INTEGER NOT NULL,
    blob BLOB NOT NULL,
    PRIMARY KEY (account, mailbox, uid)
) WITHOUT ROWID;
CREATE INDEX messages_changed ON messages (account, mailbox, modseq) WHERE modseq > added;

-- id = account * 2^32 + email: a rowid table, because its rows are larger than a quarter of a page.
CREATE TABLE fragments (
    id INTEGER PRIMARY KEY,
    copies INTEGER NOT NULL,        -- rows of messages and of the vault that hold this email
    size INTEGER NOT NULL,
    sent_date INTEGER NOT NULL,
    has_attachment INTEGER NOT NULL,
    blob BLOB NOT NULL,
    envelope BLOB NOT NULL,
    bodystructure BLOB NOT NULL,
    subject TEXT NOT NULL,
    preview TEXT NOT NULL,
    parts BLOB NOT NULL
);

CREATE TABLE threads (
    account INTEGER NOT NULL,
    key BLOB NOT NULL,
    thread INTEGER NOT NULL,
    PRIMARY KEY (account, key)
) WITHOUT ROWID;

-- kept: 0 a tombstone only, 1 the vault holds the contents, 2 moved: the email lives elsewhere.
CREATE TABLE expunged (
    account INTEGER NOT NULL,
    mailbox INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    kept INTEGER NOT NULL,
    expunged_at INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    email INTEGER NOT NULL,
    size INTEGER NOT NULL,
    keywords TEXT,
    thread INTEGER NOT NULL,
    internal_date INTEGER NOT NULL,
    saved_date INTEGER NOT NULL,
    blob BLOB NOT NULL,
    PRIMARY KEY (account, mailbox, modseq, uid)
) WITHOUT ROWID;
CREATE INDEX expunged_uid ON expunged (account, mailbox, uid);
CREATE INDEX expunged_vault ON expunged (expunged_at) WHERE kept = 1;

CREATE TABLE deliveries (
    account INTEGER NOT NULL,
    key BLOB NOT NULL,
    at INTEGER NOT NULL,
    mailbox INTEGER NOT NULL,
    uid_validity INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    email INTEGER NOT NULL,
    thread INTEGER NOT NULL,
    PRIMARY KEY (account, key)
) WITHOUT ROWID;
CREATE INDEX deliveries_at ON deliveries (at);

CREATE TABLE blobs (
    tenant INTEGER NOT NULL,
    blob BLOB NOT NULL,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL,        -- octets of the record's payload
    size INTEGER NOT NULL,          -- octets of the content
    dictionary INTEGER NOT NULL,    -- the one it was compressed with; 0 for none
    hash BLOB,                      -- keyed hash of the content, NULL when it is not de-duplicated
    PRIMARY KEY (tenant, blob)
) WITHOUT ROWID;

CREATE TABLE blob_refs (
    tenant INTEGER NOT NULL,
    blob BLOB NOT NULL,
    account INTEGER NOT NULL,
    count INTEGER NOT NULL,         -- emails and queue entries of the account that hold it
    wrapped BLOB NOT NULL,          -- the blob's key under the account's key; empty where stored plain
    PRIMARY KEY (tenant, blob, account)
) WITHOUT ROWID;

CREATE TABLE blob_hashes (
    tenant INTEGER NOT NULL,
    hash BLOB NOT NULL,
    blob BLOB NOT NULL,
    PRIMARY KEY (tenant, hash)
) WITHOUT ROWID;

CREATE TABLE segments (
    segment INTEGER PRIMARY KEY,
    live INTEGER NOT NULL,          -- octets of records that a blob points to
    records INTEGER NOT NULL
);

CREATE TABLE dictionaries (
    tenant INTEGER NOT NULL,
    number INTEGER NOT NULL,
    created INTEGER NOT NULL,
    sealed BLOB NOT NULL,           -- under the tenant's key
    PRIMARY KEY (tenant, number)
) WITHOUT ROWID;

-- id = account * 2^32 + number.
CREATE TABLE queue (
    id INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    due INTEGER,                    -- the earliest attempt anybody waits for: NULL while held
    held INTEGER NOT NULL DEFAULT 0,
    lease_owner TEXT NOT NULL DEFAULT '',
    lease_until INTEGER NOT NULL DEFAULT 0,
    blob BLOB NOT NULL,
    size INTEGER NOT NULL,
    reverse_path TEXT NOT NULL,
    body TEXT NOT NULL,
    smtputf8 INTEGER NOT NULL,
    return_content TEXT NOT NULL,
    envelope_id TEXT NOT NULL,
    trace TEXT NOT NULL,
    hops INTEGER NOT NULL,
    created INTEGER NOT NULL
);
CREATE INDEX queue_due ON queue (due) WHERE due IS NOT NULL;
CREATE INDEX queue_leased ON queue (lease_until) WHERE lease_until > 0;

CREATE TABLE queue_recipients (
    id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt INTEGER NOT NULL,
    delay_notified INTEGER NOT NULL DEFAULT 0,
    code INTEGER NOT NULL DEFAULT 0,
    enhanced TEXT NOT NULL DEFAULT '',
    text TEXT NOT NULL DEFAULT '',
    host TEXT NOT NULL DEFAULT '',
    address TEXT NOT NULL,
    notify TEXT NOT NULL,
    original TEXT NOT NULL,
    PRIMARY KEY (id, number)
) WITHOUT ROWID;

CREATE TABLE domains (
    name TEXT PRIMARY KEY,
    tenant INTEGER NOT NULL,
    catch_all TEXT NOT NULL,
    settings TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE addresses (
    address TEXT PRIMARY KEY,
    tenant INTEGER NOT NULL,
    kind TEXT NOT NULL,             -- account, alias, group, reserved
    account INTEGER NOT NULL,       -- the account it leads to alone, else 0
    targets TEXT NOT NULL,          -- one a line
    reserved_until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX addresses_account ON addresses (account) WHERE account > 0;

CREATE TABLE credentials (
    account INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    secret TEXT NOT NULL,
    scopes TEXT NOT NULL,
    expires INTEGER NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (account, kind, name)
) WITHOUT ROWID;

CREATE TABLE tokens (
    account INTEGER NOT NULL,
    digest BLOB NOT NULL,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    expires INTEGER NOT NULL,
    created INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (account, digest)
) WITHOUT ROWID;
CREATE UNIQUE INDEX tokens_digest ON tokens (digest);

CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    time INTEGER NOT NULL,
    subject TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    outcome TEXT NOT NULL,
    trace TEXT NOT NULL,
    detail TEXT NOT NULL
);

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- The last frame of every live worker session, with what it was answered: exactly once over a crash of
-- the writer, and the source of receipts over a crash of the worker.
CREATE TABLE handovers (
    session INTEGER PRIMARY KEY,
    frame INTEGER NOT NULL,
    process TEXT NOT NULL,
    fingerprints BLOB NOT NULL,     -- one a transaction of the frame, MessagePack
    answer BLOB NOT NULL            -- one outcome a transaction, MessagePack
);

CREATE TABLE receipts (
    fingerprint BLOB NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    results BLOB NOT NULL,
    PRIMARY KEY (fingerprint, number)
) WITHOUT ROWID;

CREATE TABLE commits (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    number INTEGER NOT NULL
);
INSERT INTO commits VALUES (1, 0);
