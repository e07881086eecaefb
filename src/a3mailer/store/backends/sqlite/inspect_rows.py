"""Looking for rows that contradict one another: one query a rule, each naming what breaks it.

A query gives (where, text) of each breach. The rules are the invariants the writer keeps; whatever breaks
them came from a damaged page, a bug, or another program. They read what there really is from ``VIEWS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

VIEWS: Final = """
CREATE TEMP VIEW counted AS -- flags: 1 is Seen, 8 is Deleted (mail.flags)
    SELECT b.account, b.mailbox, count(m.uid) AS messages, coalesce(sum(m.flags & 1 = 0), 0) AS unseen,
        coalesce(sum(m.flags & 8 <> 0), 0) AS deleted, coalesce(sum(m.size), 0) AS octets
    FROM mailboxes b LEFT JOIN messages m USING (account, mailbox) GROUP BY b.account, b.mailbox;
CREATE TEMP VIEW used AS
    SELECT a.account, coalesce(sum(m.size), 0) AS octets, count(m.uid) AS messages
    FROM accounts a LEFT JOIN messages m USING (account) GROUP BY a.account;
CREATE TEMP VIEW held AS
    SELECT account << 32 | email AS id, account, email, max(blob) AS blob, count(*) AS n
    FROM (SELECT account, email, blob FROM messages
          UNION ALL SELECT account, email, blob FROM expunged WHERE kept = 1) GROUP BY account, email;
CREATE TEMP VIEW emails AS
    SELECT f.*, f.id >> 32 AS account, f.id & 4294967295 AS email, a.tenant,
        'account ' || (f.id >> 32) || ' email ' || (f.id & 4294967295) AS place
    FROM fragments f LEFT JOIN accounts a ON a.account = f.id >> 32;
CREATE TEMP VIEW referred AS
    SELECT tenant, blob, account, count(*) AS n
    FROM (SELECT tenant, blob, account FROM emails WHERE tenant IS NOT NULL
          UNION ALL SELECT tenant, blob, id >> 32 FROM queue
          UNION ALL SELECT a.tenant, u.blob, u.account FROM uploads u JOIN accounts a USING (account)
          UNION ALL SELECT p.tenant, p.part, e.account FROM emails e
              CROSS JOIN blob_parts p ON p.tenant = e.tenant AND p.blob = e.blob
          UNION ALL SELECT p.tenant, p.part, q.id >> 32 FROM queue q
              CROSS JOIN blob_parts p ON p.tenant = q.tenant AND p.blob = q.blob
          UNION ALL SELECT p.tenant, p.part, u.account FROM uploads u JOIN accounts a USING (account)
              CROSS JOIN blob_parts p ON p.tenant = a.tenant AND p.blob = u.blob)
    GROUP BY tenant, blob, account;
CREATE TEMP VIEW composed AS -- what is known of the octets of mails that have parts
    SELECT b.tenant, b.blob, b.size, b.own + coalesce(sum(x.size), 0) AS found
    FROM blobs b LEFT JOIN blob_parts p USING (tenant, blob)
        LEFT JOIN blobs x ON x.tenant = p.tenant AND x.blob = p.part AND x.own IS NULL
    WHERE b.own IS NOT NULL GROUP BY b.tenant, b.blob;
CREATE TEMP VIEW filled AS
    SELECT segment, sum(length) AS live, count(*) AS records FROM blobs GROUP BY segment;
CREATE TEMP VIEW given AS
    SELECT account, mailbox, max(uid) AS uid, max(modseq) AS modseq
    FROM (SELECT account, mailbox, uid, modseq FROM messages
          UNION ALL SELECT account, mailbox, uid, modseq FROM expunged) GROUP BY account, mailbox;
CREATE TEMP VIEW homes AS -- rows that are found by what stands beside their fragments
    SELECT m.account, m.mailbox, m.uid
    FROM messages m CROSS JOIN fragments f ON f.id = m.account << 32 | m.email
    WHERE m.copied = 0 AND (f.mailbox, f.uid) <> (m.mailbox, m.uid);
CREATE TEMP VIEW boxes AS
    SELECT *, 'account ' || account || ' mailbox ' || mailbox AS place FROM mailboxes;
"""
STAND_INS: Final = (
    ("blobs", "own", "CREATE TEMP VIEW blobs AS SELECT *, NULL AS own FROM main.blobs"),
    ("blob_parts", "part", "CREATE TEMP TABLE blob_parts (tenant, blob, at, part)"),
    ("documents", "account", "CREATE TEMP TABLE documents (account)"),
    ("grants", "account", "CREATE TEMP TABLE grants (account, mailbox)"),
    ("seen", "account", "CREATE TEMP TABLE seen (account, mailbox, reader, uid, seen)"),
    ("seers", "account", "CREATE TEMP TABLE seers (account, mailbox, reader, seen)"),
    ("uploads", "account", "CREATE TEMP TABLE uploads (account, blob)"),
    (
        "mailboxes",
        "noticed",
        "CREATE TEMP VIEW mailboxes AS SELECT *, uid_next AS noticed FROM main.mailboxes",
    ),
    (
        "messages",
        "copied",
        "CREATE TEMP VIEW messages AS SELECT *, 1 AS copied, uid AS twin FROM main.messages",
    ),
    ("messages", "twin", "CREATE TEMP VIEW messages AS SELECT *, uid AS twin FROM main.messages"),
    (
        "fragments",
        "mailbox",
        "CREATE TEMP VIEW fragments AS SELECT *, 0 AS mailbox, 0 AS uid, NULL AS lineage, NULL AS smime"
        " FROM main.fragments",
    ),
    (
        "fragments",
        "lineage",
        "CREATE TEMP VIEW fragments AS SELECT *, NULL AS lineage, NULL AS smime FROM main.fragments",
    ),
    ("fragments", "smime", "CREATE TEMP VIEW fragments AS SELECT *, NULL AS smime FROM main.fragments"),
)
"""Table, column, and what stands in where a database that an older version wrote last lacks it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``sql`` finds what breaks it; ``repair`` are the statements that put all of it right."""

    kind: str
    sql: str
    repair: tuple[str, ...] = ()


COUNTERS: Final = (
    Rule(
        "mailbox-counters",
        """SELECT b.place, 'stored ' || b.messages || ' messages, ' || b.unseen || ' unseen, ' || b.deleted
            || ' deleted, ' || b.octets || ' octets; there are ' || c.messages || ', ' || c.unseen || ', '
            || c.deleted || ', ' || c.octets
        FROM boxes b JOIN counted c USING (account, mailbox)
        WHERE (b.messages, b.unseen, b.deleted, b.octets) <> (c.messages, c.unseen, c.deleted, c.octets)""",
        (
            """UPDATE mailboxes SET messages = c.messages, unseen = c.unseen, deleted = c.deleted,
                octets = c.octets
            FROM counted c WHERE c.account = mailboxes.account AND c.mailbox = mailboxes.mailbox""",
        ),
    ),
    Rule(
        "seen-marks",
        """SELECT DISTINCT 'account ' || account || ' mailbox ' || mailbox || ' reader ' || reader,
            'marks of messages that are not there'
        FROM seen WHERE (account, mailbox, uid) NOT IN (SELECT account, mailbox, uid FROM messages)""",
        (
            """DELETE FROM seen
            WHERE (account, mailbox, uid) NOT IN (SELECT account, mailbox, uid FROM messages)""",
        ),
    ),
    Rule(
        "seen-marks",
        """SELECT 'account ' || account || ' mailbox ' || mailbox || ' reader ' || reader,
            'stored ' || seen || ' seen; there are ' || found
        FROM (SELECT account, mailbox, reader, max(stored) AS seen, sum(found) AS found
            FROM (SELECT account, mailbox, reader, seen AS stored, 0 AS found FROM seers
                UNION ALL SELECT account, mailbox, reader, -1, seen FROM seen)
            GROUP BY account, mailbox, reader)
        WHERE seen <> found""",
        (
            "DELETE FROM seers",
            """INSERT INTO seers (account, mailbox, reader, seen)
            SELECT account, mailbox, reader, sum(seen) FROM seen GROUP BY account, mailbox, reader""",
        ),
    ),
    Rule(
        "account-usage",
        """SELECT 'account ' || a.account, 'stored ' || a.used_octets || ' octets in ' || a.used_messages
            || ' messages; there are ' || u.octets || ' in ' || u.messages
        FROM accounts a JOIN used u USING (account)
        WHERE (a.used_octets, a.used_messages) <> (u.octets, u.messages)""",
        (
            """UPDATE accounts SET used_octets = u.octets, used_messages = u.messages
            FROM used u WHERE u.account = accounts.account""",
        ),
    ),
    Rule(
        "email-copies",
        """SELECT e.place, 'stored ' || e.copies || '; there are ' || h.n
        FROM held h CROSS JOIN emails e ON e.id = h.id WHERE e.copies <> h.n
        UNION ALL SELECT place, 'stored ' || copies || '; nothing holds it' FROM emails
        WHERE id NOT IN (SELECT id FROM held)""",
        (
            "UPDATE fragments SET copies = h.n FROM held h WHERE h.id = fragments.id",
            "DELETE FROM fragments WHERE id NOT IN (SELECT id FROM held)",
        ),
    ),
    Rule(
        "reference-count",
        """SELECT 'content ' || lower(hex(r.blob)) || ' of account ' || r.account,
            'stored ' || r.count || '; there are ' || coalesce(n, 0)
        FROM blob_refs r LEFT JOIN referred USING (tenant, blob, account) WHERE r.count <> coalesce(n, 0)""",
        (
            """UPDATE blob_refs SET count = n FROM referred o
            WHERE o.tenant = blob_refs.tenant AND o.blob = blob_refs.blob
                AND o.account = blob_refs.account""",
            """DELETE FROM blob_refs
            WHERE (tenant, blob, account) NOT IN (SELECT tenant, blob, account FROM referred)""",
        ),
    ),
    Rule(
        "reference-unused",
        """SELECT 'content ' || lower(hex(blob)), 'nobody refers to it' FROM blobs
        WHERE (tenant, blob) NOT IN (SELECT tenant, blob FROM blob_refs)
        UNION ALL SELECT 'hash of ' || lower(hex(blob)), 'its content is not there' FROM blob_hashes
        WHERE (tenant, blob) NOT IN (SELECT tenant, blob FROM blobs)
        UNION ALL SELECT DISTINCT 'parts of ' || lower(hex(blob)), 'their mail is not there' FROM blob_parts
        WHERE (tenant, blob) NOT IN (SELECT tenant, blob FROM blobs WHERE own IS NOT NULL)""",
        (
            "DELETE FROM blobs WHERE (tenant, blob) NOT IN (SELECT tenant, blob FROM blob_refs)",
            "DELETE FROM blob_hashes WHERE (tenant, blob) NOT IN (SELECT tenant, blob FROM blobs)",
            """DELETE FROM blob_parts
            WHERE (tenant, blob) NOT IN (SELECT tenant, blob FROM blobs WHERE own IS NOT NULL)""",
        ),
    ),
    Rule(
        "segment-usage",
        """SELECT printf('segment %016x', s.segment), 'stored ' || s.live || ' octets in ' || s.records
            || '; there are ' || coalesce(f.live, 0) || ' in ' || coalesce(f.records, 0)
        FROM segments s LEFT JOIN filled f USING (segment)
        WHERE (s.live, s.records) <> (coalesce(f.live, 0), coalesce(f.records, 0))
        UNION ALL SELECT printf('segment %016x', segment), 'not counted' FROM filled
        WHERE segment NOT IN (SELECT segment FROM segments)""",
        (
            "UPDATE segments SET live = 0, records = 0",
            """INSERT OR REPLACE INTO segments (segment, live, records)
            SELECT segment, live, records FROM filled""",
        ),
    ),
)
"""In the order they have to be put right: the later ones count what the earlier ones keep."""

_LAST_VALIDITY: Final = """UPDATE accounts SET last_validity = o.highest
    FROM (SELECT account, max(uid_validity) AS highest FROM mailboxes GROUP BY account) o
    WHERE o.account = accounts.account AND o.highest > accounts.last_validity"""
"""Rising, so that none is given again."""

ORDER: Final = (
    Rule(
        "uid-order",
        """SELECT b.place, 'UIDNEXT is ' || b.uid_next || ' and uid ' || g.uid || ' was given'
        FROM boxes b JOIN given g USING (account, mailbox) WHERE g.uid >= b.uid_next""",
        (
            """UPDATE mailboxes SET uid_next = g.uid + 1 FROM given g
            WHERE g.account = mailboxes.account AND g.mailbox = mailboxes.mailbox
                AND g.uid >= mailboxes.uid_next""",
        ),
    ),
    Rule(
        "uid-order",
        """SELECT place, 'UIDNEXT is ' || uid_next || ' and somebody was told of uids below ' || noticed
        FROM boxes WHERE noticed > uid_next OR noticed < 1""",
        ("UPDATE mailboxes SET noticed = max(min(noticed, uid_next), 1)",),
    ),
    Rule(
        "uid-order",
        """SELECT 'account ' || m.account || ' mailbox ' || m.mailbox || ' uid ' || m.uid,
            'is live and expunged'
        FROM messages m JOIN expunged x USING (account, mailbox, uid)""",
        (
            """DELETE FROM expunged
            WHERE (account, mailbox, uid) IN (SELECT account, mailbox, uid FROM messages)""",
        ),
    ),
    Rule(
        "uid-validity",
        """SELECT b.place, 'UIDVALIDITY is ' || b.uid_validity || ', the last one given ' || a.last_validity
        FROM boxes b JOIN accounts a USING (account)
        WHERE b.uid_validity > a.last_validity OR b.uid_validity NOT BETWEEN 1 AND 4294967295
        UNION ALL SELECT b.place, 'UIDVALIDITY ' || b.uid_validity || ' is another mailbox''s too'
        FROM boxes b JOIN mailboxes o USING (account, uid_validity) WHERE o.mailbox < b.mailbox""",
        (
            "UPDATE mailboxes SET uid_validity = 1 WHERE uid_validity NOT BETWEEN 1 AND 4294967295",
            _LAST_VALIDITY,
            """UPDATE mailboxes SET uid_validity = a.last_validity + mailboxes.mailbox FROM accounts a
            WHERE a.account = mailboxes.account AND EXISTS (SELECT 1 FROM mailboxes o
                WHERE o.account = mailboxes.account AND o.uid_validity = mailboxes.uid_validity
                    AND o.mailbox < mailboxes.mailbox)""",
            _LAST_VALIDITY,
        ),
    ),
    Rule(
        "modseq-order",
        """SELECT b.place, 'HIGHESTMODSEQ is ' || b.modseq || ' and ' || g.modseq || ' was given'
        FROM boxes b JOIN given g USING (account, mailbox) WHERE g.modseq > b.modseq""",
        (
            """UPDATE mailboxes SET modseq = g.modseq FROM given g
            WHERE g.account = mailboxes.account AND g.mailbox = mailboxes.mailbox
                AND g.modseq > mailboxes.modseq""",
        ),
    ),
    Rule(
        "modseq-order",
        """SELECT b.place, 'HIGHESTMODSEQ is ' || b.modseq || ' and the account''s modseq ' || a.modseq
        FROM boxes b JOIN accounts a USING (account) WHERE b.modseq > a.modseq""",
        (
            """UPDATE accounts SET modseq = o.highest
            FROM (SELECT account, max(modseq) AS highest FROM mailboxes GROUP BY account) o
            WHERE o.account = accounts.account AND o.highest > accounts.modseq""",
        ),
    ),
    Rule(
        "email-place",
        """SELECT 'account ' || account || ' mailbox ' || mailbox || ' uid ' || uid,
            'is not found by its email' FROM homes""",
        (
            """UPDATE messages SET copied = 1
            WHERE (account, mailbox, uid) IN (SELECT account, mailbox, uid FROM homes)""",
        ),
    ),
    Rule(
        "unique-id",
        """SELECT 'account ' || account || ' mailbox 1 uid ' || max(uid),
            'has the unique-id of uid ' || min(uid)
        FROM messages WHERE mailbox = 1 GROUP BY account, email, twin HAVING count(*) > 1""",
        (
            """UPDATE messages SET twin = uid WHERE mailbox = 1 AND (account, email, uid) NOT IN
                (SELECT account, email, min(uid) FROM messages WHERE mailbox = 1
                GROUP BY account, email, twin)""",
        ),
    ),
    Rule(
        "modseq-order",
        """SELECT 'account ' || account || ' mailbox ' || mailbox || ' uid ' || uid,
            'came with modseq ' || added || ' and has ' || modseq
        FROM messages WHERE added > modseq""",
        ("UPDATE messages SET added = modseq WHERE added > modseq",),
    ),
)

REFERENCES: Final = (
    Rule(
        "content-missing",
        """SELECT place, 'its content ' || lower(hex(blob)) || ' is not in the store' FROM emails
        WHERE tenant IS NOT NULL AND (tenant, blob) NOT IN (SELECT tenant, blob FROM blobs)
        UNION ALL SELECT place, 'the account has no key to its content ' || lower(hex(blob)) FROM emails
        WHERE tenant IS NOT NULL
            AND (tenant, blob, account) NOT IN (SELECT tenant, blob, account FROM blob_refs)
        UNION ALL SELECT 'queue entry ' || id, 'its content ' || lower(hex(blob)) || ' is not in the store'
        FROM queue WHERE (tenant, blob) NOT IN (SELECT tenant, blob FROM blobs)
            OR (tenant, blob, id >> 32) NOT IN (SELECT tenant, blob, account FROM blob_refs)
        UNION ALL SELECT place, 'parts of its content are not in the store' FROM emails
        WHERE (tenant, blob) IN (SELECT tenant, blob FROM composed WHERE found <> size)
        UNION ALL SELECT 'queue entry ' || id, 'parts of its content are not in the store' FROM queue
        WHERE (tenant, blob) IN (SELECT tenant, blob FROM composed WHERE found <> size)
        UNION ALL SELECT place, 'the account has no key to its part ' || lower(hex(part))
        FROM emails e CROSS JOIN blob_parts p ON p.tenant = e.tenant AND p.blob = e.blob
        WHERE (e.tenant, part, account) NOT IN (SELECT tenant, blob, account FROM blob_refs)
        UNION ALL SELECT 'queue entry ' || id, 'the account has no key to its part ' || lower(hex(part))
        FROM queue q CROSS JOIN blob_parts p ON p.tenant = q.tenant AND p.blob = q.blob
        WHERE (q.tenant, part, id >> 32) NOT IN (SELECT tenant, blob, account FROM blob_refs)""",
    ),
    Rule(
        "fragments-missing",
        """SELECT 'account ' || account || ' email ' || email, 'held by ' || n || ' rows' FROM held
        WHERE id NOT IN (SELECT id FROM fragments)""",
    ),
    Rule(
        "row-orphaned",
        """SELECT 'account ' || account || ' mailbox ' || mailbox,
            count(*) || ' messages without their mailbox'
        FROM messages WHERE (account, mailbox) NOT IN (SELECT account, mailbox FROM mailboxes)
        GROUP BY account, mailbox
        UNION ALL SELECT DISTINCT 'account ' || account || ' mailbox ' || mailbox,
            'rights without their mailbox'
        FROM grants WHERE mailbox > 0 AND (account, mailbox) NOT IN (SELECT account, mailbox FROM mailboxes)
        UNION ALL SELECT 'account ' || account, what || ' without their account'
        FROM (SELECT DISTINCT account, 'mailboxes' AS what FROM mailboxes
              UNION SELECT account, 'emails' FROM emails UNION SELECT account, 'credentials' FROM credentials
              UNION SELECT account, 'tokens' FROM tokens UNION SELECT account, 'documents' FROM documents
              UNION SELECT account, 'uploads' FROM uploads
              UNION SELECT account, 'rights' FROM grants WHERE mailbox = 0
              UNION SELECT account, 'keys' FROM account_keys)
        WHERE account NOT IN (SELECT account FROM accounts)""",
    ),
    Rule(
        "mailbox-lost",
        """SELECT 'account ' || account, address FROM accounts WHERE account > 0
            AND account NOT IN (SELECT account FROM mailboxes WHERE mailbox = 1 AND name = 'INBOX')""",
    ),
    Rule(
        "queue-broken",
        """SELECT 'queue entry ' || id, 'has no recipients' FROM queue
        WHERE id NOT IN (SELECT id FROM queue_recipients)
        UNION ALL SELECT DISTINCT 'queue entry ' || id, 'has recipients and no entry' FROM queue_recipients
        WHERE id NOT IN (SELECT id FROM queue)""",
    ),
    Rule(
        "address-broken",
        """SELECT address, 'account ' || account || ' has no such address' FROM accounts
        WHERE account > 0 AND (address, account) NOT IN
            (SELECT address, account FROM addresses WHERE kind IN ('account', 'list'))
        UNION ALL SELECT address, 'leads to account ' || account || ', which is not there' FROM addresses
        WHERE account > 0 AND account NOT IN (SELECT account FROM accounts)""",
    ),
    Rule(
        "dictionary-missing",
        """SELECT 'tenant ' || tenant, 'dictionary ' || dictionary FROM tenants WHERE dictionary > 0
            AND (tenant, dictionary) NOT IN (SELECT tenant, number FROM dictionaries)
        UNION ALL SELECT 'tenant ' || tenant, 'dictionary ' || dictionary || ' of ' || count(*) || ' contents'
        FROM blobs WHERE dictionary > 0
            AND (tenant, dictionary) NOT IN (SELECT tenant, number FROM dictionaries)
        GROUP BY tenant, dictionary""",
    ),
    Rule(
        "key-damaged",
        """SELECT 'account ' || account, 'has no key' FROM accounts
        WHERE account NOT IN (SELECT account FROM account_keys)""",
    ),
)
RULES: Final = (*REFERENCES, *ORDER, *COUNTERS)
