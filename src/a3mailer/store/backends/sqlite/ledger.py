"""The writer's ledger: counters of hot accounts and mailboxes in memory, and the rows of a batch in waiting.

There is one writer, so what it remembers is true. Counters are written once a batch, not once a mail;
rows of deliveries are collected and inserted together. A transaction that fails is undone alone: its
counters are restored from what ``touch_*`` saved, its waiting rows are cut off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

from a3mailer.keys.kek import BadKeyFile, KeyRing
from a3mailer.mail.errors import NoSuchAccount, NoSuchMailbox, NoSuchThing, TooMany
from a3mailer.mail.flags import DELETED, MAX_MAILBOX_KEYWORDS, SEEN
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.backends.sqlite.handover import STALE, Piece

CACHED: Final = 20_000
"""Accounts, and mailboxes, remembered between batches."""
FRESH: Final = 4096
"""Entries of the queue remembered as they came: more than all workers have in memory at once."""
MAX_THREAD_KEYS: Final = 64
"""Message-IDs of one mail looked at to find its thread."""

Row = tuple[Any, ...]


class Fresh(NamedTuple):
    """What has to be known of an entry of the queue when it leaves: its content has no other holder."""

    owner: str
    tenant: int
    trace: str
    message_id: str
    sender: str
    created: int
    addresses: tuple[str, ...]
    account: int
    blob: bytes
    segment: int
    length: int


class Stale(Exception):
    """A piece names a blob that is gone (see ``handover.STALE``)."""

    name = STALE


class AccountState:
    """The counters of one account."""

    __slots__ = (
        "account",
        "last_validity",
        "modseq",
        "next_email",
        "next_mailbox",
        "next_queue",
        "quota",
        "tenant",
        "used_messages",
        "used_octets",
    )

    def __init__(self, account: int, row: Row) -> None:
        self.account = account
        self.restore(row)

    def save(self) -> Row:
        return (
            self.tenant,
            self.modseq,
            self.next_mailbox,
            self.next_email,
            self.next_queue,
            self.last_validity,
            self.used_octets,
            self.used_messages,
            self.quota,
        )

    def restore(self, row: Row) -> None:
        (
            self.tenant,
            self.modseq,
            self.next_mailbox,
            self.next_email,
            self.next_queue,
            self.last_validity,
            self.used_octets,
            self.used_messages,
            self.quota,
        ) = row


class MailboxState:
    """The counters of one mailbox."""

    __slots__ = (
        "account",
        "deleted",
        "keywords",
        "mailbox",
        "messages",
        "modseq",
        "octets",
        "uid_next",
        "uid_validity",
        "unseen",
    )

    def __init__(self, account: int, mailbox: int, row: Row) -> None:
        self.account = account
        self.mailbox = mailbox
        self.restore(row)

    def save(self) -> Row:
        return (
            self.uid_validity,
            self.uid_next,
            self.modseq,
            self.messages,
            self.unseen,
            self.deleted,
            self.octets,
            self.keywords,
        )

    def restore(self, row: Row) -> None:
        (
            self.uid_validity,
            self.uid_next,
            self.modseq,
            self.messages,
            self.unseen,
            self.deleted,
            self.octets,
            self.keywords,
        ) = row

    def count(self, messages: int, flags: int, size: int) -> None:
        """``messages`` (+1 or -1) more of a message with these flags and this size."""
        self.messages += messages
        self.octets += messages * size
        if not flags & SEEN:
            self.unseen += messages
        if flags & DELETED:
            self.deleted += messages


_ACCOUNT: Final = (
    "SELECT tenant, modseq, next_mailbox, next_email, next_queue, last_validity, used_octets, used_messages,"
    " quota FROM accounts WHERE account = ?"
)
_SAVE_ACCOUNT: Final = (
    "UPDATE accounts SET tenant=?, modseq=?, next_mailbox=?, next_email=?, next_queue=?, last_validity=?,"
    " used_octets=?, used_messages=?, quota=? WHERE account=?"
)
_MAILBOX: Final = (
    "SELECT uid_validity, uid_next, modseq, messages, unseen, deleted, octets, keywords FROM mailboxes"
    " WHERE account = ? AND mailbox = ?"
)
_SAVE_MAILBOX: Final = (
    "UPDATE mailboxes SET uid_validity=?, uid_next=?, modseq=?, messages=?, unseen=?, deleted=?, octets=?,"
    " keywords=? WHERE account=? AND mailbox=?"
)

_WAITING: Final = {
    "messages": "INSERT INTO messages (account, mailbox, uid, flags, modseq, added, email, size, keywords,"
    " thread, internal_date, saved_date, blob, copied) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,0)",
    "copies": "INSERT INTO messages (account, mailbox, uid, flags, modseq, added, email, size, keywords,"
    " thread, internal_date, saved_date, blob, twin, copied) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,1)",
    "fragments": "INSERT INTO fragments (id, copies, size, sent_date, has_attachment, blob, envelope,"
    " bodystructure, subject, preview, parts, mailbox, uid, lineage) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    "threads": "INSERT OR IGNORE INTO threads (account, key, thread) VALUES (?,?,?)",
    "blobs": "INSERT INTO blobs (tenant, blob, segment, offset, length, size, dictionary, hash, own)"
    " VALUES (?,?,?,?,?,?,?,?,?)",
    "extents": "INSERT INTO blob_parts (tenant, blob, at, part) VALUES (?,?,?,?)",
    "refs": "INSERT INTO blob_refs (tenant, blob, account, count, wrapped) VALUES (?,?,?,1,?)"
    " ON CONFLICT DO UPDATE SET count = count + 1",
    "hashes": "INSERT OR REPLACE INTO blob_hashes (tenant, hash, blob) VALUES (?,?,?)",
    "deliveries": "INSERT INTO deliveries (account, key, at, mailbox, uid_validity, uid, modseq, email,"
    " thread) VALUES (?,?,?,?,?,?,?,?,?)",
    "queue": "INSERT INTO queue (id, tenant, due, blob, size, reverse_path, body, smtputf8, return_content,"
    " envelope_id, trace, hops, created, not_before, priority, deliver_by, by_mode, tls, message_id,"
    " lease_owner, lease_until) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    "recipients": "INSERT INTO queue_recipients (id, number, state, next_attempt, address, notify, original)"
    " VALUES (?,?,'waiting',?,?,?,?)",
    "finished": "INSERT INTO finished (time, queue, tenant, trace, message_id, sender, created, address,"
    " attempts, state, code, enhanced, text, host) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    "recipients gone": "DELETE FROM queue_recipients WHERE id=?",
    "queue gone": "DELETE FROM queue WHERE id=?",
    "refs gone": "DELETE FROM blob_refs WHERE tenant=? AND blob=? AND account=?",
    "blobs gone": "DELETE FROM blobs WHERE tenant=? AND blob=?",
    "audit": "INSERT INTO audit (tenant, time, subject, action, target, outcome, trace, detail)"
    " VALUES (?,?,?,?,?,?,?,?)",
}
"""Rows that wait, by table, and the statement that writes them, in the order of writing."""
_SEGMENTS: Final = (
    "INSERT INTO segments (segment, live, records) VALUES (?,?,?)"
    " ON CONFLICT DO UPDATE SET live = live + excluded.live, records = records + excluded.records"
)


class Ledger:
    """What the writer knows while it executes transactions. One thread."""

    def __init__(self, connection: apsw.Connection, ring: KeyRing, key_file: Path) -> None:
        self.execute: Execute = connection.execute
        self.connection = connection
        self.ring = ring
        self._key_file = key_file
        self.now = 0
        """Seconds since the epoch, the same for a whole batch."""
        self.commits = 0
        """The number of the batch being made."""
        self.hints: list[tuple[int, int, int]] = []
        """(account, mailbox, modseq) of what changed in this batch."""
        self._accounts: dict[int, AccountState] = {}
        self._mailboxes: dict[tuple[int, int], MailboxState] = {}
        self._undo: dict[AccountState | MailboxState, tuple[Row, bool]] = {}
        self._dirty: dict[AccountState | MailboxState, None] = {}
        self._waiting: dict[str, list[Row]] = {name: [] for name in _WAITING}
        self._threads: dict[tuple[int, bytes], int] = {}
        self._deliveries: dict[tuple[int, bytes], Row] = {}
        self._known: set[bytes] = set()
        """Blobs of this transaction that have their row."""
        self._dictionaries: dict[int, frozenset[int]] = {}
        self._grown: list[tuple[int, int, int]] = []
        """(segment, octets, records) of contents that came to be held; below zero: that were freed."""
        self.fresh: dict[int, Fresh] = {}
        """Entries of the queue as they were enqueued, under the lease they came with; nothing has touched
        them since. Not all of them."""
        self._journal: list[list[Row]] = []
        """Where each row in waiting of this transaction was put."""
        self._hint_mark = 0
        self._grown_mark = 0
        self.seers: set[tuple[int, int]] = set(self.execute("SELECT DISTINCT account, mailbox FROM seers"))
        """(account, mailbox) of all that anybody but the owner has read in; some that are gone, too."""
        self.load_receipts()

    # --- receipts (ADR 0010) -----------------------------------------------------------------------

    def load_receipts(self) -> None:
        """As the database has them."""
        self.receipts = Counter(row[0] for row in self.execute("SELECT fingerprint FROM receipts"))
        """How many there are of each fingerprint; too many after an undone operation, never too few."""

    def make_receipts(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """(fingerprint, encoded outcome) of what somebody may not have heard of."""
        for fingerprint, results in pairs:
            self.execute(
                "INSERT INTO receipts (fingerprint, number, at, results) SELECT ?1,"
                " coalesce((SELECT max(number) FROM receipts WHERE fingerprint=?1), 0) + 1, ?2, ?3",
                (fingerprint, self.now, results),
            )
        self.receipts.update(fingerprint for fingerprint, _ in pairs)

    def take_receipt(self, fingerprint: bytes) -> bytes | None:
        """The outcome that answers this transaction; it is used up."""
        if not self.receipts[fingerprint]:
            return None
        row = self.execute(
            "DELETE FROM receipts WHERE fingerprint=?1 AND number ="
            " (SELECT min(number) FROM receipts WHERE fingerprint=?1) RETURNING results",
            (fingerprint,),
        ).fetchone()
        self.receipts[fingerprint] -= 1
        return row[0] if row else None

    # --- keys --------------------------------------------------------------------------------------

    def use_key(self, key_id: str) -> None:
        """Wrap new keys by this key-encryption key from now on. Errors: NoSuchThing: the file lacks it."""
        if key_id == self.ring.current:
            return
        try:
            ring = KeyRing.load(self._key_file)
        except BadKeyFile as error:
            raise NoSuchThing(str(error)) from None
        if ring.current != key_id:
            raise NoSuchThing(f"key-encryption key {key_id}")
        self.ring = ring

    # --- counters ----------------------------------------------------------------------------------

    def account(self, account: int) -> AccountState:
        """Errors: NoSuchAccount."""
        state = self._accounts.get(account)
        if state is None:
            row = self.execute(_ACCOUNT, (account,)).fetchone()
            if row is None:
                raise NoSuchAccount(str(account))
            state = self._accounts[account] = AccountState(account, row)
        return state

    def mailbox(self, account: int, mailbox: int) -> MailboxState:
        """Errors: NoSuchMailbox."""
        state = self._mailboxes.get((account, mailbox))
        if state is None:
            row = self.execute(_MAILBOX, (account, mailbox)).fetchone()
            if row is None:
                raise NoSuchMailbox(str(mailbox))
            state = self._mailboxes[account, mailbox] = MailboxState(account, mailbox, row)
        return state

    def touch(self, state: AccountState | MailboxState) -> None:
        """Call before changing a state."""
        if state not in self._undo:
            self._undo[state] = (state.save(), state in self._dirty)
        self._dirty[state] = None

    def touch_account(self, account: int) -> AccountState:
        """The account, about to be changed. Errors: NoSuchAccount."""
        state = self.account(account)
        self.touch(state)
        return state

    def touch_mailbox(self, account: int, mailbox: int) -> MailboxState:
        """The mailbox, about to be changed. Errors: NoSuchMailbox."""
        state = self.mailbox(account, mailbox)
        self.touch(state)
        return state

    def next_modseq(self, account: AccountState, *mailboxes: MailboxState) -> int:
        """A new modseq of the (touched) account, given to these (touched) mailboxes."""
        modseq: int = account.modseq + 1
        account.modseq = modseq
        for mailbox in mailboxes:
            mailbox.modseq = modseq
            self.hints.append((account.account, mailbox.mailbox, modseq))
        return modseq

    def forget(self, account: int) -> None:
        """Drop what is remembered of an account whose rows are removed by SQL: HEAVY operations only."""
        self.write()
        self._accounts.pop(account, None)
        for key in [key for key in self._mailboxes if key[0] == account]:
            del self._mailboxes[key]

    def add_keywords(self, mailbox: MailboxState, keywords: str) -> None:
        """Note keywords of a message in the (touched) mailbox. Errors: TooMany."""
        known = set(mailbox.keywords.split())
        wanted = known.union(keywords.split())
        if len(wanted) > len(known):
            if len(wanted) > MAX_MAILBOX_KEYWORDS:
                raise TooMany(f"a mailbox has at most {MAX_MAILBOX_KEYWORDS} keywords")
            mailbox.keywords = " ".join(sorted(wanted))

    # --- rows in waiting ---------------------------------------------------------------------------

    def add(self, table: str, row: Row) -> None:
        """Insert a row with the next ``flush``."""
        rows = self._waiting[table]
        rows.append(row)
        self._journal.append(rows)

    def grow(self, segment: int, octets: int) -> None:
        """A record of this length came to be held."""
        self._grown.append((segment, octets, 1))

    def shrink(self, segment: int, octets: int) -> None:
        """A record of this length is held no more."""
        self._grown.append((segment, -octets, -1))

    def remember(self, queue: int, fresh: Fresh) -> None:
        """An entry begins; of too many the oldest is forgotten."""
        self.fresh[queue] = fresh
        if len(self.fresh) > FRESH:
            del self.fresh[next(iter(self.fresh))]

    def keep(self, pieces: Sequence[Piece], number: int, tenant: int, account: int) -> None:
        """One more email or queue entry of ``account`` holds this piece, and so its parts.

        Errors: Stale, NoSuchAccount."""
        piece = pieces[number]
        if piece.blob not in self._known:
            self._keep_blob(piece, tenant)
            self._known.add(piece.blob)
            if piece.extents and piece.segment:
                for at, part in piece.extents:
                    self.add("extents", (tenant, piece.blob, at, pieces[part].blob))
        wrapped = next((key for owner, key in piece.keys if owner == account), None)
        if wrapped is None:
            raise NoSuchAccount(str(account))
        self.add("refs", (tenant, piece.blob, account, wrapped))
        for _, part in piece.extents:
            self.keep(pieces, part, tenant, account)

    def _keep_blob(self, piece: Piece, tenant: int) -> None:
        if not piece.segment:
            sql = "SELECT 1 FROM blobs WHERE tenant=? AND blob=?"
            if self.execute(sql, (tenant, piece.blob)).fetchone() is None:
                raise Stale
            return
        if piece.dictionary and piece.dictionary not in self.dictionaries(tenant):
            raise Stale  # it was dropped while the content was on its way
        digest = piece.hash or None
        self.add(
            "blobs",
            (
                tenant,
                piece.blob,
                piece.segment,
                piece.offset,
                piece.length,
                piece.size,
                piece.dictionary,
                digest,
                piece.own if piece.extents else None,
            ),
        )
        self.grow(piece.segment, piece.length)
        if digest:
            self.add("hashes", (tenant, digest, piece.blob))

    def dictionaries(self, tenant: int) -> frozenset[int]:
        """The numbers of the tenant's compression dictionaries."""
        found = self._dictionaries.get(tenant)
        if found is None:
            rows = self.execute("SELECT number FROM dictionaries WHERE tenant=?", (tenant,)).fetchall()
            found = self._dictionaries[tenant] = frozenset(row[0] for row in rows)
        return found

    def forget_dictionaries(self) -> None:
        """They are about to change."""
        self._dictionaries.clear()

    def thread(self, account: int, keys: tuple[bytes, ...], email: int) -> int:
        """The thread of a new email: that of the first key another mail had, else a new one named by it.

        Threads that turn out to be one later are not joined."""
        keys = keys[:MAX_THREAD_KEYS]
        thread = 0
        unknown = []
        for key in keys:
            found = self._threads.get((account, key))
            if found is None:
                row = self.execute(
                    "SELECT thread FROM threads WHERE account=? AND key=?", (account, key)
                ).fetchone()
                found = row[0] if row else None
            if found is None:
                unknown.append(key)
            elif not thread:
                thread = found
        thread = thread or email
        for key in unknown:
            self._threads[account, key] = thread
            self.add("threads", (account, key, thread))
        return int(thread)

    def delivery(self, account: int, key: bytes) -> Row | None:
        """(mailbox, uid_validity, uid, modseq, email, thread) of what this delivery key did before."""
        found = self._deliveries.get((account, key))
        if found is None:
            known: Row | None = self.execute(
                "SELECT mailbox, uid_validity, uid, modseq, email, thread FROM deliveries"
                " WHERE account=? AND key=?",
                (account, key),
            ).fetchone()
            return known
        return found

    def add_delivery(self, account: int, key: bytes, row: Row) -> None:
        """Remember what a delivery key did."""
        self._deliveries[account, key] = row
        self.add("deliveries", (account, key, self.now, *row))

    def flush(self) -> None:
        """Write the rows in waiting: before anything reads those tables, and at the end of a batch."""
        many = self.connection.executemany
        for name, rows in self._waiting.items():
            if rows:
                many(_WAITING[name], rows)
                rows.clear()
        if self._grown:
            many(_SEGMENTS, _by_segment(self._grown))
            self._grown.clear()
            self._grown_mark = 0
        self._journal.clear()
        self._threads.clear()
        self._deliveries.clear()

    # --- transactions ------------------------------------------------------------------------------

    def mark(self) -> None:
        """A transaction begins."""
        self._undo.clear()
        self._known.clear()
        self._journal.clear()
        self._hint_mark = len(self.hints)
        self._grown_mark = len(self._grown)

    def undo(self) -> None:
        """The transaction since ``mark`` failed: counters and rows in waiting are what they were."""
        for state, (saved, was_dirty) in self._undo.items():
            state.restore(saved)
            if not was_dirty:
                self._dirty.pop(state, None)
        for rows in self._journal:
            rows.pop()
        self._journal.clear()
        del self._grown[self._grown_mark :]
        del self.hints[self._hint_mark :]
        self._threads = {(row[0], row[1]): row[2] for row in self._waiting["threads"]}
        self._deliveries = {(row[0], row[1]): row[3:] for row in self._waiting["deliveries"]}

    def undo_statements(self) -> None:
        """As ``undo``, after a ROLLBACK TO: rows that were read meanwhile may not exist."""
        self.undo()
        self._dictionaries.clear()
        self._accounts = {key: state for key, state in self._accounts.items() if state in self._dirty}
        self._mailboxes = {key: state for key, state in self._mailboxes.items() if state in self._dirty}

    def write(self) -> None:
        """Write rows in waiting and counters: SQL sees everything now."""
        self.flush()
        self._write_counters()

    def finish(self) -> None:
        """Write everything that waits: the batch is about to be committed."""
        self.write()
        self._undo.clear()
        for cache in (self._accounts, self._mailboxes):
            if len(cache) > CACHED:
                cache.clear()

    def _write_counters(self) -> None:
        accounts = [(*s.save(), s.account) for s in self._dirty if isinstance(s, AccountState)]
        mailboxes = [(*s.save(), s.account, s.mailbox) for s in self._dirty if isinstance(s, MailboxState)]
        if accounts:
            self.connection.executemany(_SAVE_ACCOUNT, accounts)
        if mailboxes:
            self.connection.executemany(_SAVE_MAILBOX, mailboxes)
        self._dirty.clear()

    def reset(self) -> None:
        """The batch was rolled back: nothing that was remembered is sure."""
        self._accounts.clear()
        self._mailboxes.clear()
        self._dictionaries.clear()
        self._undo.clear()
        self._dirty.clear()
        self.fresh.clear()
        self.hints.clear()
        for rows in self._waiting.values():
            rows.clear()
        self._grown.clear()
        self._journal.clear()
        self._threads.clear()
        self._deliveries.clear()


def _by_segment(grown: list[tuple[int, int, int]]) -> list[Row]:
    """(segment, octets, records) of each segment."""
    found: dict[int, tuple[int, int]] = {}
    for segment, octets, more in grown:
        live, records = found.get(segment, (0, 0))
        found[segment] = (live + octets, records + more)
    return [(segment, live, records) for segment, (live, records) in found.items()]
