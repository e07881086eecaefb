"""Reading the directory, the queue and the audit. A hint says when what is remembered ends."""

from __future__ import annotations

from typing import Any, Final

import apsw

from a3mailer.mail.errors import NoSuchThing
from a3mailer.mail.ids import AccountId, BlobId, ModSeq, QueueId, TenantId
from a3mailer.store.backends.sqlite.apply_mail import NUMBER_BITS
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.rows import (
    Account,
    AddressEntry,
    AuditRecord,
    Credential,
    Domain,
    QueueCounts,
    QueuedRecipient,
    QueueEntry,
    Token,
)

REMEMBERED: Final = 50_000
"""Answers of the directory a worker remembers."""
Row = tuple[Any, ...]

_ACCOUNT: Final = (
    "SELECT account, tenant, address, kind, display_name, role, enabled, epoch, quota, used_octets,"
    " used_messages, modseq, created, settings FROM accounts"
)
_ADDRESS: Final = "SELECT address, tenant, kind, account, targets, reserved_until FROM addresses"
_CREDENTIAL: Final = "SELECT account, name, kind, secret, scopes, expires, created FROM credentials"
_TOKENS: Final = "SELECT account, digest, name, scopes, expires, created, epoch FROM tokens"
_QUEUE: Final = (
    "SELECT id, tenant, blob, size, reverse_path, body, smtputf8, return_content, envelope_id, trace, hops,"
    " created, held, lease_owner, lease_until, not_before, priority, deliver_by, by_mode, tls,"
    " message_id FROM queue"
)
_RECIPIENTS: Final = (
    "SELECT number, address, notify, original, state, attempts, next_attempt, code, enhanced, text, host,"
    " delay_notified FROM queue_recipients WHERE id = ? ORDER BY number"
)


_COUNT: Final = (
    "SELECT (SELECT count(*) FROM queue), (SELECT count(*) FROM queue WHERE due IS NOT NULL),"
    " (SELECT count(*) FROM queue INDEXED BY queue_leased"
    " WHERE lease_until > 0 AND lease_until > ? AND due IS NOT NULL)"
)
"""From the pages' own counts and two partial indexes: no row is read but the leased ones (12 ns an entry)."""


def _to_account(row: Row) -> Account:
    account, tenant, address, kind, display_name, role, enabled, epoch, quota, *rest = row
    used_octets, used_messages, modseq, created, settings = rest
    return Account(
        AccountId(account),
        TenantId(tenant),
        address,
        kind,
        display_name,
        role,
        bool(enabled),
        epoch,
        quota,
        used_octets,
        used_messages,
        ModSeq(modseq),
        created,
        settings,
    )


def _to_address(row: Row) -> AddressEntry:
    targets = tuple(row[4].split("\n")) if row[4] else ()
    return AddressEntry(row[0], TenantId(row[1]), row[2], AccountId(row[3]), targets, row[5])


def _to_recipient(row: Row) -> QueuedRecipient:
    number, address, notify, original, state, attempts, next_attempt, code, enhanced, text, host, notified = (
        row
    )
    return QueuedRecipient(
        number,
        address,
        tuple(notify.split()),
        original,
        state,
        attempts,
        next_attempt,
        code,
        enhanced,
        text,
        host,
        bool(notified),
    )


class ReadDirectory:
    """The DirectoryReader, QueueReader and AuditReader doors (``store.ports``)."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._sql: Execute = connection.execute
        self._addresses: dict[str, AddressEntry | None] = {}
        self._domains: dict[str, Domain | None] = {}
        self._credentials: dict[int, tuple[Credential, ...]] = {}
        self._limited: dict[int, bool] = {}

    def forget_directory(self) -> None:
        """It changed, or may have."""
        self._addresses.clear()
        self._domains.clear()
        self._credentials.clear()
        self._limited.clear()

    # --- directory ---------------------------------------------------------------------------------

    async def domain(self, name: str) -> Domain | None:
        if name in self._domains:
            return self._domains[name]
        row = self._sql(
            "SELECT tenant, name, catch_all, settings FROM domains WHERE name=?", (name,)
        ).fetchone()
        found = Domain(TenantId(row[0]), *row[1:]) if row else None
        if len(self._domains) >= REMEMBERED:
            self._domains.clear()
        self._domains[name] = found
        return found

    async def domains(self) -> tuple[Domain, ...]:
        rows = self._sql("SELECT tenant, name, catch_all, settings FROM domains ORDER BY name").fetchall()
        return tuple([Domain(TenantId(row[0]), *row[1:]) for row in rows])

    async def address(self, address: str) -> AddressEntry | None:
        if address in self._addresses:
            return self._addresses[address]
        row = self._sql(_ADDRESS + " WHERE address=?", (address,)).fetchone()
        found = _to_address(row) if row else None
        if len(self._addresses) >= REMEMBERED:
            self._addresses.clear()
        self._addresses[address] = found
        return found

    async def account(self, account: AccountId) -> Account | None:
        row = self._sql(_ACCOUNT + " WHERE account=? AND account > 0", (account,)).fetchone()
        return _to_account(row) if row else None

    async def is_limited(self, account: AccountId) -> bool:
        limited = self._limited.get(account)
        if limited is None:
            row = self._sql("SELECT quota > 0 FROM accounts WHERE account=?", (account,)).fetchone()
            if len(self._limited) >= REMEMBERED:
                self._limited.clear()
            limited = self._limited[account] = bool(row and row[0])
        return limited

    async def accounts(self, limit: int = 1000, after: int = 0) -> tuple[Account, ...]:
        rows = self._sql(
            _ACCOUNT + " WHERE account > ? ORDER BY account LIMIT ?", (max(after, 0), limit)
        ).fetchall()
        return tuple([_to_account(row) for row in rows])

    async def addresses_of(self, account: AccountId) -> tuple[str, ...]:
        rows = self._sql(
            "SELECT address FROM addresses WHERE account=? AND account > 0"
            " ORDER BY kind <> 'account', address",
            (account,),
        ).fetchall()
        return tuple([row[0] for row in rows])

    async def aliases(self) -> tuple[AddressEntry, ...]:
        rows = self._sql(_ADDRESS + " WHERE kind IN ('alias', 'group') ORDER BY address").fetchall()
        return tuple([_to_address(row) for row in rows])

    async def credentials(self, account: AccountId) -> tuple[Credential, ...]:
        found = self._credentials.get(account)
        if found is None:
            rows = self._sql(_CREDENTIAL + " WHERE account=? ORDER BY kind, name", (account,)).fetchall()
            found = tuple([Credential(AccountId(row[0]), *row[1:]) for row in rows])
            if len(self._credentials) >= REMEMBERED:
                self._credentials.clear()
            self._credentials[account] = found
        return found

    async def token(self, digest: bytes) -> Token | None:
        row = self._sql(_TOKENS + " WHERE digest=?", (digest,)).fetchone()
        return Token(AccountId(row[0]), *row[1:]) if row else None

    async def tokens(self) -> tuple[Token, ...]:
        rows = self._sql(_TOKENS + " ORDER BY account, created, digest").fetchall()
        return tuple([Token(AccountId(row[0]), *row[1:]) for row in rows])

    async def settings(self) -> dict[str, str]:
        return dict(self._sql("SELECT name, value FROM settings ORDER BY name"))

    # --- queue -------------------------------------------------------------------------------------

    async def queue(self, limit: int = 1000, after: int = 0) -> tuple[QueueEntry, ...]:
        rows = self._sql(_QUEUE + " WHERE id > ? ORDER BY id LIMIT ?", (after, limit)).fetchall()
        return tuple([self._to_entry(row) for row in rows])

    async def queue_entry(self, queue: QueueId) -> QueueEntry:
        row = self._sql(_QUEUE + " WHERE id = ?", (queue,)).fetchone()
        if row is None:
            raise NoSuchThing(f"queue entry {queue}")
        return self._to_entry(row)

    async def queue_counts(self, now: int) -> QueueCounts:
        total, free, leased = self._sql(_COUNT, (now,)).fetchone()
        return QueueCounts(waiting=free - leased, trying=leased, held=total - free)

    def _to_entry(self, row: Row) -> QueueEntry:
        number, tenant, blob, size, reverse_path, body, smtputf8, return_content, envelope_id, *rest = row
        trace, hops, created, held, lease_owner, lease_until, *promises = rest
        recipients = [_to_recipient(r) for r in self._sql(_RECIPIENTS, (number,)).fetchall()]
        return QueueEntry(
            QueueId(number),
            AccountId(number >> NUMBER_BITS),
            TenantId(tenant),
            BlobId(blob),
            size,
            reverse_path,
            body,
            bool(smtputf8),
            return_content,
            envelope_id,
            trace,
            hops,
            created,
            bool(held),
            lease_owner,
            lease_until,
            tuple(recipients),
            *promises,
        )

    # --- audit -------------------------------------------------------------------------------------

    async def audit(self, after: int = 0, limit: int = 1000) -> tuple[AuditRecord, ...]:
        rows = self._sql(
            "SELECT number, tenant, time, subject, action, target, outcome, trace, detail FROM audit"
            " WHERE number > ? ORDER BY number LIMIT ?",
            (after, limit),
        ).fetchall()
        return tuple([AuditRecord(row[0], TenantId(row[1]), *row[2:]) for row in rows])
