"""``MemoryStore``: the doors of ``store/ports.py`` over plain dictionaries."""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from a3mailer.mail.changes import Change
from a3mailer.mail.errors import MailError, NoSuchMessage, NoSuchThing
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import AccountId, BlobId, EmailId, MailboxId, ModSeq, QueueId, TenantId, ThreadId, Uid
from a3mailer.mail.message import identifiers
from a3mailer.mail.message.headers import header_end
from a3mailer.runtime.clock import Clock, SystemClock
from a3mailer.store import operations as op
from a3mailer.store.backends.memory import account as whole
from a3mailer.store.backends.memory import (
    directory,
    documents,
    grants,
    mail,
    queue,
    reports,
    seen,
    sharing,
    uploads,
)
from a3mailer.store.backends.memory.queue import finished_page
from a3mailer.store.backends.memory.state import State
from a3mailer.store.operations import Operation, Result, Tally
from a3mailer.store.ports import Transaction
from a3mailer.store.rows import (
    Account,
    AccountChanges,
    AccountColumns,
    AddressEntry,
    AuditRecord,
    Changes,
    Columns,
    Credential,
    Document,
    Domain,
    FinishedPage,
    Fragments,
    Grant,
    Mailbox,
    Message,
    QueueCounts,
    QueueEntry,
    Report,
    Token,
)
from a3mailer.store.texts import Likely, Matches, Sought, TextCounts

APPLY: Final[dict[type[Operation], Callable[[State, Any], Result]]] = {
    op.CreateMailbox: mail.create_mailbox,
    op.RenameMailbox: mail.rename_mailbox,
    op.DeleteMailbox: mail.delete_mailbox,
    op.SetMailbox: mail.set_mailbox,
    op.ChangeGrant: sharing.change_grant,
    op.Notice: mail.notice,
    op.SeeNewest: sharing.see_newest,
    op.Append: mail.append,
    op.AppendInto: mail.append_into,
    op.Copy: mail.copy,
    op.StoreFlags: mail.store_flags,
    op.Expunge: mail.expunge,
    op.Undelete: mail.undelete,
    op.ChangeEmail: whole.change_email,
    op.DestroyEmails: whole.destroy_emails,
    op.RememberSignature: whole.remember_signature,
    op.PurgeVault: mail.purge_vault,
    op.ExpireMailboxes: mail.expire_mailboxes,
    op.EraseEmails: mail.erase_emails,
    op.DropTombstones: mail.drop_tombstones,
    op.Sweep: directory.sweep,
    op.Enqueue: queue.enqueue,
    op.ClaimQueue: queue.claim_queue,
    op.SettleQueue: queue.settle_queue,
    op.ChangeQueue: queue.change_queue,
    op.PutTenant: directory.put_tenant,
    op.PutDomain: directory.put_domain,
    op.RemoveDomain: directory.remove_domain,
    op.CreateAccount: directory.create_account,
    op.ChangeAccount: directory.change_account,
    op.RenameAccount: directory.rename_account,
    op.RemoveAccount: directory.remove_account,
    op.ResetAccount: directory.reset_account,
    op.BumpEpoch: directory.bump_epoch,
    op.PutAlias: directory.put_alias,
    op.RemoveAlias: directory.remove_alias,
    op.PutCredential: directory.put_credential,
    op.RenewCredential: directory.renew_credential,
    op.RemoveCredential: directory.remove_credential,
    op.PutToken: directory.put_token,
    op.RemoveToken: directory.remove_token,
    op.PutDocument: documents.put_document,
    op.PutUpload: uploads.put_upload,
    op.RemoveDocument: documents.remove_document,
    op.Audit: directory.audit,
    op.Doubt: directory.doubt,
    op.PutSetting: directory.put_setting,
    op.AddTallies: reports.add_tallies,
    op.DropTallies: reports.drop_tallies,
    op.PutReport: reports.put_report,
    op.DropReports: reports.drop_reports,
}
"""Operations of stored keys, dictionaries and compaction concern segments only: there are none here."""


class MemoryStore:
    """A store that forgets everything at its end. Not for more than one process."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._state = State()
        self._watchers: list[Callable[[Change], None]] = []

    # --- texts: there is no index, everything is read -------------------------------------------------

    async def texts_with(
        self,
        account: AccountId,
        sought: Sequence[Sought],
        emails: Collection[int],
        turn: Callable[[], Awaitable[None]],
    ) -> Matches:
        return Matches(tuple(set() for _ in sought), 0)

    async def texts_likely(
        self, account: AccountId, sought: Sequence[Sought], turn: Callable[[], Awaitable[None]]
    ) -> Likely:
        return tuple(None for _ in sought)

    async def text_counts(self, account: AccountId) -> TextCounts:
        boxes = await self.mailboxes(account)
        return TextCounts(sum(box.messages for box in boxes), 0, 0)

    def forget_texts(self, account: AccountId) -> None:
        """There is none."""

    # --- writing -----------------------------------------------------------------------------------

    async def commit(self, transaction: Transaction) -> tuple[Result, ...]:
        await asyncio.sleep(0)
        state = self._state
        if state.doubted[transaction.fingerprint] > 0:
            state.doubted[transaction.fingerprint] -= 1
            return ()
        state.now = int(self._clock.now())
        state.contents = transaction.contents
        state.stored.clear()
        state.changes.clear()
        try:
            results = tuple(APPLY[type(o)](state, o) for o in transaction.operations)
        except (MailError, KeyError) as error:
            state.undo()
            if isinstance(error, KeyError):
                raise NoSuchThing(f"operation {error}") from error
            raise
        state.journal.clear()
        loop = asyncio.get_running_loop()
        for change in state.changes:
            for heard in tuple(self._watchers):
                loop.call_soon(heard, change)
        return results

    def watch(self, heard: Callable[[Change], None]) -> Callable[[], None]:
        self._watchers.append(heard)
        return lambda: self._watchers.remove(heard)

    async def close(self) -> None:
        self._watchers.clear()

    # --- mail --------------------------------------------------------------------------------------

    async def mailboxes(self, account: AccountId) -> tuple[Mailbox, ...]:
        rows = [box for (owner, _), box in self._state.mailboxes.items() if owner == account]
        return tuple(sorted(rows, key=lambda box: box.name))

    async def mailbox(self, account: AccountId, mailbox: MailboxId) -> Mailbox:
        return self._state.mailbox(account, mailbox)

    async def mailbox_named(self, account: AccountId, name: str) -> Mailbox:
        return mail.find_mailbox(self._state, account, name)

    async def columns(self, account: AccountId, mailbox: MailboxId) -> tuple[Mailbox, Columns]:
        box = self._state.mailbox(account, mailbox)
        return box, _columns(self._state.messages[account, mailbox].values())

    async def first_unseen(self, account: AccountId, mailbox: MailboxId) -> tuple[ModSeq, int]:
        box = self._state.mailbox(account, mailbox)
        messages = self._state.messages[account, mailbox].values()
        places = (at for at, message in enumerate(messages) if not message.flags & SEEN)
        return box.modseq, next(places, -1)

    async def preceding(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[int]
    ) -> tuple[ModSeq, list[int]]:
        box = self._state.mailbox(account, mailbox)
        there = sorted(self._state.messages[account, mailbox])
        return box.modseq, [bisect_left(there, uid) for uid in uids]

    async def twins(self, account: AccountId, mailbox: MailboxId) -> dict[int, int]:
        """Numbers by uid."""
        return {
            uid: twin
            for (owner, number, uid), twin in self._state.twins.items()
            if (owner, number) == (account, mailbox)
        }

    async def changes(self, account: AccountId, mailbox: MailboxId, since: ModSeq) -> Changes:
        box = self._state.mailbox(account, mailbox)
        key = (account, mailbox)
        changed = [m for m in self._state.messages[key].values() if m.modseq > since]
        vanished = sorted(g.uid for g in self._state.gone[key].values() if g.modseq > since)
        complete = since >= self._state.forgotten.get(key, 0)
        return Changes(_columns(changed), array("Q", vanished), box.modseq, box.uid_next, complete)

    async def messages(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[Uid]
    ) -> tuple[Message, ...]:
        live = self._state.messages.get((account, mailbox), {})
        gone = self._state.gone.get((account, mailbox), {})
        found = []
        for uid in sorted(set(uids)):
            row = live.get(uid) or (gone[uid].message if uid in gone else None)
            if row is not None:
                found.append(row)
        return tuple(found)

    async def envelopes(self, account: AccountId, emails: array[int]) -> list[bytes]:
        rows = self._state.fragments
        return [f.envelope if (f := rows.get((account, EmailId(e)))) else b"" for e in emails]

    async def bodystructures(self, account: AccountId, emails: array[int]) -> list[bytes]:
        rows = self._state.fragments
        return [f.bodystructure if (f := rows.get((account, EmailId(e)))) else b"" for e in emails]

    async def subjects(self, account: AccountId, emails: array[int]) -> list[str | None]:
        known = self._state.fragments
        return [one.subject if (one := known.get((account, EmailId(email)))) else None for email in emails]

    async def sent_dates(self, account: AccountId, emails: array[int]) -> list[int | None]:
        known = self._state.fragments
        return [one.sent_date if (one := known.get((account, EmailId(email)))) else None for email in emails]

    async def lineages(self, account: AccountId, emails: array[int]) -> list[bytes | None]:
        known, blobs = self._state.fragments, self._state.blobs
        rows = (known.get((account, EmailId(email))) for email in emails)
        return [None if row is None else _lineage(blobs[row.blob]) for row in rows]

    async def internal_dates(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[int]
    ) -> list[int | None]:
        known = self._state.messages.get((account, mailbox), {})
        return [one.internal_date if (one := known.get(Uid(uid))) else None for uid in uids]

    async def fragments(self, account: AccountId, emails: Iterable[EmailId]) -> tuple[Fragments, ...]:
        return tuple(f for e in emails if (f := self._state.fragments.get((account, e))))

    async def octets(self, account: AccountId, blob: BlobId, start: int = 0, end: int | None = None) -> bytes:
        if not self._refers(account, blob):
            raise NoSuchMessage(blob.hex())
        return self._state.blobs[blob][start:end]

    async def content_size(self, account: AccountId, blob: BlobId) -> int:
        return len(await self.octets(account, blob))

    async def many_octets(self, account: AccountId, blobs: Sequence[BlobId]) -> list[bytes | None]:
        return [self._state.blobs[b] if self._refers(account, b) else None for b in blobs]

    async def contents(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[int]
    ) -> dict[int, bytes | None]:
        rows = await self.messages(account, mailbox, [Uid(uid) for uid in uids])
        found = await self.many_octets(account, [row.blob for row in rows])
        return {row.uid: octets for row, octets in zip(rows, found, strict=True)}

    def _refers(self, account: AccountId, blob: BlobId) -> bool:
        if blob not in self._state.blobs:
            return False
        held = any(f.blob == blob for (owner, _), f in self._state.fragments.items() if owner == account)
        held = held or uploads.holds(self._state, account, blob)
        return held or any(e.blob == blob and e.account == account for e in self._state.queue.values())

    async def vault(self, account: AccountId) -> tuple[Message, ...]:
        return tuple(
            gone.message
            for (owner, _), table in self._state.gone.items()
            if owner == account
            for gone in table.values()
            if gone.message is not None and not gone.moved
        )

    async def account_columns(self, account: AccountId) -> AccountColumns:
        return whole.columns(self._state, account)

    async def account_changes(self, account: AccountId, since: ModSeq) -> AccountChanges:
        return whole.changes(self._state, account, since)

    async def places(self, account: AccountId, emails: Sequence[EmailId]) -> tuple[Message, ...]:
        wanted = frozenset(emails)
        return whole.by_email(m for m in whole.rows(self._state, account) if m.email in wanted)

    async def thread_places(self, account: AccountId, threads: Sequence[ThreadId]) -> tuple[Message, ...]:
        wanted = frozenset(threads)
        return whole.by_email(m for m in whole.rows(self._state, account) if m.thread in wanted)

    async def blob_places(self, account: AccountId, blobs: Sequence[BlobId]) -> tuple[Message, ...]:
        wanted = frozenset(blobs)
        return whole.by_email(m for m in whole.rows(self._state, account) if m.blob in wanted)

    # --- queue -------------------------------------------------------------------------------------

    async def queue(self, limit: int = 1000, after: int = 0) -> tuple[QueueEntry, ...]:
        rows = sorted((e for e in self._state.queue.values() if e.id > after), key=lambda e: e.id)
        return tuple(rows[:limit])

    async def queue_entry(self, queue: QueueId) -> QueueEntry:
        try:
            return self._state.queue[queue]
        except KeyError:
            raise NoSuchThing(f"queue entry {queue}") from None

    async def finished(self, about: str = "", queue: int = 0, before: int = 0) -> FinishedPage:
        return finished_page(self._state, about, queue, before)

    async def queue_counts(self, now: int) -> QueueCounts:
        free = [e for e in self._state.queue.values() if not e.held]
        leased = sum(e.lease_until > now for e in free)
        return QueueCounts(len(free) - leased, leased, len(self._state.queue) - len(free))

    # --- directory ---------------------------------------------------------------------------------

    async def domain(self, name: str) -> Domain | None:
        return self._state.domains.get(name)

    async def domains(self) -> tuple[Domain, ...]:
        return tuple(sorted(self._state.domains.values(), key=lambda d: d.name))

    async def address(self, address: str) -> AddressEntry | None:
        return self._state.addresses.get(address)

    async def account(self, account: AccountId) -> Account | None:
        return self._state.accounts.get(account)

    async def is_limited(self, account: AccountId) -> bool:
        row = self._state.accounts.get(account)
        return row is not None and row.quota > 0

    async def accounts(self, limit: int = 1000, after: int = 0) -> tuple[Account, ...]:
        rows = sorted((a for a in self._state.accounts.values() if a.id > after), key=lambda a: a.id)
        return tuple(rows[:limit])

    async def addresses_of(self, account: AccountId) -> tuple[str, ...]:
        row = self._state.accounts.get(account)
        if row is None:
            return ()
        aliases = sorted(a for a, e in self._state.addresses.items() if e.account == account)
        return (row.address, *(a for a in aliases if a != row.address))

    async def aliases(self) -> tuple[AddressEntry, ...]:
        rows = [e for e in self._state.addresses.values() if e.kind in ("alias", "group")]
        return tuple(sorted(rows, key=lambda e: e.address))

    async def credentials(self, account: AccountId) -> tuple[Credential, ...]:
        return tuple(c for (owner, _, _), c in self._state.credentials.items() if owner == account)

    async def token(self, digest: bytes) -> Token | None:
        return self._state.tokens.get(digest)

    async def tokens(self) -> tuple[Token, ...]:
        return tuple(sorted(self._state.tokens.values(), key=lambda t: (t.account, t.created, t.digest)))

    async def document(self, account: AccountId, kind: str, name: str) -> Document | None:
        row = self._state.documents.get((account, kind, name))
        return row if row is not None and not 0 < row.expires <= self._clock.now() else None

    async def documents(
        self, account: AccountId, kind: str, prefix: str = "", limit: int = 1000, after: str = ""
    ) -> tuple[Document, ...]:
        return documents.named(self._state, self._clock.now(), (account, kind, prefix), limit, after)

    async def documents_due(self, kind: str, until: int, limit: int = 100) -> tuple[Document, ...]:
        return documents.due(self._state, self._clock.now(), kind, until, limit)

    async def grants(self, account: AccountId) -> tuple[Grant, ...]:
        return grants.ordered(self._state, lambda owner, _: owner == account)

    async def granted(self, tenant: TenantId, identifiers: Sequence[str]) -> tuple[Grant, ...]:
        accounts, wanted = self._state.accounts, frozenset(identifiers)
        return grants.ordered(
            self._state, lambda owner, name: name in wanted and accounts[owner].tenant == tenant
        )

    async def grantees(self, tenant: TenantId, prefix: str) -> tuple[str, ...]:
        accounts = self._state.accounts
        rows = grants.ordered(
            self._state, lambda owner, name: name.startswith(prefix) and accounts[owner].tenant == tenant
        )
        return tuple(sorted({row.identifier for row in rows}))

    async def mailboxes_seen_by(self, reader: AccountId, account: AccountId) -> tuple[Mailbox, ...]:
        return tuple([seen.box_of(self._state, box, reader) for box in await self.mailboxes(account)])

    async def mailbox_seen_by(self, reader: AccountId, account: AccountId, mailbox: MailboxId) -> Mailbox:
        return seen.box_of(self._state, self._state.mailbox(account, mailbox), reader)

    async def columns_seen_by(
        self, reader: AccountId, account: AccountId, mailbox: MailboxId
    ) -> tuple[Mailbox, Columns]:
        box = self._state.mailbox(account, mailbox)
        rows = self._state.messages[account, mailbox].values()
        return seen.box_of(self._state, box, reader), _columns(
            seen.as_seen(self._state, row, reader) for row in rows
        )

    async def first_unseen_by(
        self, reader: AccountId, account: AccountId, mailbox: MailboxId
    ) -> tuple[ModSeq, int]:
        box, columns = await self.columns_seen_by(reader, account, mailbox)
        return box.modseq, next((at for at, flags in enumerate(columns.flags) if not flags & SEEN), -1)

    async def changes_seen_by(
        self, reader: AccountId, account: AccountId, mailbox: MailboxId, since: ModSeq
    ) -> Changes:
        found = await self.changes(account, mailbox, since)
        rows = self._state.messages[account, mailbox].values()
        changed = [row for row in (seen.as_seen(self._state, m, reader) for m in rows) if row.modseq > since]
        return replace(found, changed=_columns(changed))

    async def settings(self) -> dict[str, str]:
        return dict(self._state.settings)

    async def audit(self, after: int = 0, limit: int = 1000) -> tuple[AuditRecord, ...]:
        rows = sorted((r for r in self._state.audit.values() if r.number > after), key=lambda r: r.number)
        return tuple(rows[:limit])

    # --- reports -----------------------------------------------------------------------------------

    async def reports(
        self, kind: str = "", domain: str = "", since: int = 0, after: int = 0, limit: int = 1000
    ) -> tuple[Report, ...]:
        rows = [
            r
            for number, r in sorted(self._state.reports.items())
            if number > after and r.received >= since and kind in ("", r.kind) and domain in ("", r.domain)
        ]
        return tuple(rows[:limit])

    async def report(self, number: int) -> Report:
        try:
            return self._state.reports[number]
        except KeyError:
            raise NoSuchThing(f"report {number}") from None

    async def tallied(self, kind: str, before: int) -> tuple[tuple[int, str], ...]:
        found = {(p, d) for k, p, d, _ in self._state.tallies if k == kind and p < before}
        return tuple(sorted(found))

    async def tallies(self, kind: str, period: int, domain: str) -> tuple[Tally, ...]:
        rows = sorted((place[3], count) for place, count in self._state.tallies.items()
                      if place[:3] == (kind, period, domain))  # fmt: skip
        return tuple(Tally(period, domain, key, count) for key, count in rows)


def _lineage(octets: bytes) -> bytes:
    return identifiers.lineage_of(octets[: header_end(octets, 0, len(octets))])


def _columns(messages: Iterable[Message]) -> Columns:
    rows = sorted(messages, key=lambda m: m.uid)
    return Columns(
        uids=array("Q", (m.uid for m in rows)),
        flags=bytearray(m.flags for m in rows),
        keywords={m.uid: m.keywords for m in rows if m.keywords},
        modseqs=array("Q", (m.modseq for m in rows)),
        emails=array("Q", (m.email for m in rows)),
        sizes=array("Q", (m.size for m in rows)),
    )
