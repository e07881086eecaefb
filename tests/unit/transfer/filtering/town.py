"""The world of transfer with scripts: alice has one, what comes goes through it."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from a3mailer.access.filing import Filing
from a3mailer.access.rights import Rights
from a3mailer.access.scripts import Scripts
from a3mailer.config.tree import Settings
from a3mailer.mail.envelope import Client, Recipient
from a3mailer.mail.errors import MailError
from a3mailer.mail.ids import AccountId, MailboxId
from a3mailer.runtime.shared import SharedTable
from a3mailer.store import operations as op
from a3mailer.store.ports import Transaction
from a3mailer.store.rows import Message
from a3mailer.transfer.filtering import site
from a3mailer.transfer.filtering.filtering import Filtering
from a3mailer.transfer.filtering.hourly import Hourly
from a3mailer.transfer.policy.checks.rate import HALF_LIFE, KEYS
from a3mailer.transfer.receive import Receive
from tests.unit.transfer.world import MX, SETTINGS, World

LMTP = Client("192.0.2.7", 40000, "mx.b.test", protocol="LMTP")


class Town(World):
    """``filtering`` before every mailbox."""

    def __init__(self, directory: Path | None = None, **sieve: object) -> None:
        settings = structs.replace(SETTINGS, sieve=structs.replace(SETTINGS.sieve, **sieve))
        super().__init__(settings)
        self.scripts = Scripts(self.store, settings)
        self.rights = Rights(self.store, self.directory)
        self.table = SharedTable(KEYS, HALF_LIFE)
        self.filtering = self.filters(settings, directory)
        self.receive = Receive(
            self.store,
            self.directory,
            settings,
            self.clock,
            forwarding=self.forwarding,
            filtering=self.filtering,
        )

    def filters(self, settings: Settings, directory: Path | None = None) -> Filtering:
        """What a further worker has."""
        return Filtering(
            self.scripts,
            self.store,
            self.directory,
            settings,
            Hourly(self.table, self.clock, settings),
            self.forwarding,
            lambda new: site.NONE if directory is None else site.compiled(directory, new),
            Filing(self.store, self.rights),
        )

    async def script(self, text: str, account: AccountId | None = None, name: str = "main") -> None:
        """It runs from now on."""
        account = self.alice.id if account is None else account
        await self.scripts.put(account, name, text.encode(), int(self.clock.now()))
        await self.scripts.activate(account, name)

    async def took(
        self, octets: bytes, *to: str | Recipient, sender: str = "carol@b.test", client: Client = MX
    ) -> tuple[MailError | None, ...]:
        """Whether a mail to alice, or others, was taken."""
        return await self.send(octets, *(to or ("alice@a.test",)), sender=sender, client=client)

    async def mailbox(self, name: str, account: AccountId | None = None) -> list[Message]:
        """What lies in it, oldest first."""
        account = self.alice.id if account is None else account
        box = await self.store.mailbox_named(account, name)
        columns = (await self.store.columns(account, box.id))[1]
        return list(await self.store.messages(account, box.id, list(columns.uids)))  # type: ignore[arg-type]

    async def octets(self, name: str, account: AccountId | None = None) -> list[bytes]:
        """The same, as it lies there."""
        account = self.alice.id if account is None else account
        return [await self.store.octets(account, row.blob) for row in await self.mailbox(name, account)]

    async def make(self, name: str, account: AccountId | None = None) -> MailboxId:
        """A mailbox."""
        account = self.alice.id if account is None else account
        (made,) = await self.store.commit(Transaction((op.CreateMailbox(account, name),)))
        assert isinstance(made, op.MailboxCreated)
        return made.mailbox

    async def counts(self, account: AccountId | None = None) -> dict[str, int]:
        """How many mails there are, by mailbox, where there are any."""
        boxes = await self.store.mailboxes(self.alice.id if account is None else account)
        return {box.name: box.messages for box in boxes if box.messages}
