"""The stage of the rules: a store with one domain, alice and bob, and short words to act on it."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import pytest

from a3mailer.mail.changes import Change
from a3mailer.mail.errors import MailError
from a3mailer.mail.ids import (
    DEFAULT_TENANT,
    INBOX,
    AccountId,
    BlobId,
    EmailId,
    MailboxId,
    ModSeq,
    QueueId,
    TenantId,
    Uid,
)
from a3mailer.mail.message import index
from a3mailer.store import operations as op
from a3mailer.store.operations import Operation, Result
from a3mailer.store.ports import Content, Store, Transaction
from a3mailer.store.rows import Account, AddressEntry, Changes, Mailbox, Message, QueueEntry
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.store.picture import picture

R = TypeVar("R", bound=Result)
HEARD_SECONDS = 5.0
"""How long a hint may take before a test gives up; it is not a goal of speed."""


def mail(
    subject: str = "hello", body: str = "Good morning.", message_id: str = "", references: str = ""
) -> bytes:
    """A small mail."""
    lines = [f"Subject: {subject}", "From: <carol@b.test>", "Date: Fri, 15 Jan 2027 08:00:00 +0000"]
    lines += [f"Message-ID: <{message_id}>"] if message_id else []
    lines += [f"References: <{references}>"] if references else []
    return "\r\n".join([*lines, "", body, ""]).encode()


def content(octets: bytes) -> Content:
    """Octets with their index."""
    return Content(octets, index(octets))


async def settle_in(store: Store) -> AccountId:
    """The domain a.test with alice alone."""
    domain, account = op.PutDomain(DEFAULT_TENANT, "a.test"), op.CreateAccount(DEFAULT_TENANT, "alice@a.test")
    _, made = await store.commit(Transaction((domain, account)))
    assert isinstance(made, op.AccountCreated)
    return made.account


class World:
    """A store and who lives in it."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.alice = AccountId(0)
        self.bob = AccountId(0)

    @property
    def now(self) -> int:
        return int(self.clock.now())

    async def settle_in(self) -> None:
        """The domain a.test with alice and bob."""
        await self.do(op.PutTenant(DEFAULT_TENANT, "default"), op.PutDomain(DEFAULT_TENANT, "a.test"))
        self.alice = await self.create("alice@a.test")
        self.bob = await self.create("bob@a.test")

    async def create(self, address: str, tenant: TenantId = DEFAULT_TENANT, quota: int = 0) -> AccountId:
        made = await self.one(op.AccountCreated, op.CreateAccount(tenant, address, quota=quota))
        return made.account

    async def do(self, *operations: Operation, contents: tuple[bytes, ...] = ()) -> tuple[Result, ...]:
        made = tuple(content(octets) for octets in contents)
        return await self.store.commit(Transaction(operations, made))

    async def one(self, kind: type[R], operation: Operation, *contents: bytes) -> R:
        """The result of one operation, of the kind its docstring promises."""
        (result,) = await self.do(operation, contents=contents)
        assert isinstance(result, kind)
        return result

    async def fails(
        self, error: type[MailError], *operations: Operation, contents: tuple[bytes, ...] = ()
    ) -> None:
        """The transaction raises ``error`` and leaves no trace that any reader sees."""
        before = await picture(self.store)
        with pytest.raises(error) as caught:
            await self.do(*operations, contents=contents)
        assert type(caught.value) is error
        assert await picture(self.store) == before

    # --- mail --------------------------------------------------------------------------------------

    async def append(
        self,
        account: AccountId,
        octets: bytes = b"",
        mailbox: MailboxId = INBOX,
        flags: int = 0,
        keywords: tuple[str, ...] = (),
        **more: Any,
    ) -> op.Appended:
        operation = op.Append(account, mailbox, 0, flags, keywords, **more)
        return await self.one(op.Appended, operation, octets or mail())

    async def fill(self, account: AccountId, count: int, mailbox: MailboxId = INBOX) -> list[op.Appended]:
        """``count`` different mails."""
        return [await self.append(account, mail(f"number {n}"), mailbox) for n in range(count)]

    async def box(self, account: AccountId, mailbox: MailboxId = INBOX) -> Mailbox:
        return await self.store.mailbox(account, mailbox)

    async def named(self, account: AccountId, name: str) -> MailboxId:
        return (await self.store.mailbox_named(account, name)).id

    async def names(self, account: AccountId) -> set[str]:
        return {box.name for box in await self.store.mailboxes(account)}

    async def uids(self, account: AccountId, mailbox: MailboxId = INBOX) -> list[int]:
        _, columns = await self.store.columns(account, mailbox)
        return list(columns.uids)

    async def message(self, account: AccountId, uid: Uid, mailbox: MailboxId = INBOX) -> Message:
        (row,) = await self.store.messages(account, mailbox, [uid])
        return row

    async def blob(self, account: AccountId, uid: Uid = Uid(1), mailbox: MailboxId = INBOX) -> BlobId:  # noqa: B008
        return (await self.message(account, uid, mailbox)).blob

    async def changes(self, account: AccountId, since: int = 0, mailbox: MailboxId = INBOX) -> Changes:
        return await self.store.changes(account, mailbox, ModSeq(since))

    async def in_vault(self, account: AccountId) -> list[tuple[MailboxId, Uid]]:
        return sorted((m.mailbox, m.uid) for m in await self.store.vault(account))

    async def flag(
        self,
        account: AccountId,
        uids: tuple[int, ...],
        mode: str,
        flags: int = 0,
        keywords: tuple[str, ...] = (),
        since: int = -1,
    ) -> op.Flagged:
        chosen = tuple(Uid(uid) for uid in uids)
        return await self.one(op.Flagged, op.StoreFlags(account, INBOX, chosen, mode, flags, keywords, since))

    async def expunge(
        self, account: AccountId, *uids: int, mailbox: MailboxId = INBOX, only_deleted: bool = False
    ) -> op.Expunged:
        chosen = tuple(Uid(uid) for uid in uids)
        return await self.one(op.Expunged, op.Expunge(account, mailbox, chosen, only_deleted))

    async def copy(
        self,
        account: AccountId,
        uids: tuple[int, ...],
        target: MailboxId,
        source: MailboxId = INBOX,
        move: bool = False,
    ) -> op.Copied:
        chosen = tuple(Uid(uid) for uid in uids)
        return await self.one(op.Copied, op.Copy(account, source, chosen, target, move))

    async def erase(self, account: AccountId, *emails: EmailId) -> op.Done:
        return await self.one(op.Done, op.EraseEmails(account, emails))

    async def purge(self) -> int:
        """Empty the vault of everything expunged until now."""
        return (await self.one(op.Purged, op.PurgeVault(self.now + 1))).count

    # --- queue and directory -----------------------------------------------------------------------

    async def enqueue(self, *addresses: str, octets: bytes = b"", **more: Any) -> QueueId:
        people = tuple(op.QueueRecipient(address) for address in addresses or ("carol@b.test",))
        operation = op.Enqueue(self.alice, DEFAULT_TENANT, 0, "alice@a.test", people, **more)
        return (await self.one(op.Enqueued, operation, octets or mail())).queue

    async def claim(self, owner: str = "worker", lease: int = 60, limit: int = 100) -> op.Claimed:
        return await self.one(op.Claimed, op.ClaimQueue(owner, self.now, self.now + lease, limit))

    async def entry(self, queue: QueueId) -> QueueEntry:
        return await self.store.queue_entry(queue)

    async def account(self, account: AccountId) -> Account:
        row = await self.store.account(account)
        assert row is not None
        return row

    async def address(self, address: str) -> AddressEntry:
        row = await self.store.address(address)
        assert row is not None
        return row


class Ear:
    """What a watcher heard, and waiting for more."""

    def __init__(self, store: Store) -> None:
        self.changes: list[Change] = []
        self._more = asyncio.Event()
        self.stop = store.watch(self._hear)

    def _hear(self, change: Change) -> None:
        self.changes.append(change)
        self._more.set()

    def places(self) -> list[tuple[int, int]]:
        """(account, mailbox) of each change."""
        return [(change.account, change.mailbox) for change in self.changes]

    async def hears_of(self, account: int, mailbox: int) -> None:
        """Wait for a change of this place. Errors: TimeoutError."""
        async with asyncio.timeout(HEARD_SECONDS):
            while (account, mailbox) not in self.places():
                self._more.clear()
                await self._more.wait()


class StoreCase:
    """A class of rules. A backend's test class gives the ``store``, made with the ``clock``."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    async def world(self, store: Store, clock: FakeClock) -> World:
        world = World(store, clock)
        await world.settle_in()
        return world
