"""Two domains, three people, an alias, a group: the directory that tests of transfer work in."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from a3mailer.config.tree import Server, Settings
from a3mailer.identity.directory import Directory
from a3mailer.mail.address import NULL_PATH, Address, ReversePath
from a3mailer.mail.envelope import Client, Envelope, Recipient
from a3mailer.mail.errors import MailError
from a3mailer.testing.clock import FakeClock
from a3mailer.transfer.arrival import Arrival, unheard
from a3mailer.transfer.forwarding.forward import Forwarding
from a3mailer.transfer.policy.policy import Policy
from a3mailer.transfer.receive import Receive
from a3mailer.transfer.suppression import Suppressions
from tests.unit.transfer.store import WatchedStore

SETTINGS = Settings(server=Server(hostname="mail.a.test", domain="a.test"))
MX = Client("192.0.2.7", 40000, "mx.b.test")
MAIL = b"From: <carol@b.test>\r\nTo: <alice@a.test>\r\nSubject: hello\r\n\r\nGood morning.\r\n"


def address(text: str) -> Address:
    local_part, _, domain = text.rpartition("@")
    return Address(local_part, domain)


class World:
    """``policy`` and ``receive`` over a store in memory."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.settings = settings
        self.clock = FakeClock()
        self.store = WatchedStore(self.clock)
        self.store.put_domain("a.test")
        self.store.put_domain("tenant.test", tenant=2)
        self.alice = self.store.put_account("alice@a.test")
        self.bob = self.store.put_account("bob@a.test")
        self.admin = self.store.put_account("admin@a.test", "superadmin")
        self.store.put_alias("sales@a.test", "alice@a.test", "bob@a.test", kind="group")
        self.store.put_alias("ally@a.test", "alice@a.test")
        self.store.put_alias("away@a.test", "alice@elsewhere.test")
        self.directory = Directory(self.store, settings)
        self.forwarding = Forwarding(self.directory, settings, self.clock, (b"k" * 32,))
        self.suppressions = Suppressions(self.store, settings, self.clock)
        self.policy = Policy(
            self.store, self.directory, settings, self.forwarding, suppressions=self.suppressions
        )
        self.receive = Receive(self.store, self.directory, settings, self.clock, forwarding=self.forwarding)

    def submitter(self, account: int = 1) -> Client:
        return Client("198.51.100.9", 50000, "laptop.home", account=account, protocol="submission")

    async def send(
        self,
        octets: bytes,
        *recipients: str | Recipient,
        sender: str = "carol@b.test",
        client: Client = MX,
        before: Callable[[], object] = lambda: None,
        kept: Callable[[bytes], None] = unheard,
        **promises: int | str,
    ) -> tuple[MailError | None, ...]:
        """One mail transaction through policy and receive, as a door would run it."""
        reverse_path = ReversePath(address(sender)) if sender else NULL_PATH
        people = tuple(Recipient(address(r)) if isinstance(r, str) else r for r in recipients)
        await self.policy.connect(client)
        await self.policy.sender(client, Envelope(reverse_path))
        envelope = structs.replace(Envelope(reverse_path, people), **promises)
        routes = tuple([await self.policy.recipient(client, envelope, each) for each in people])
        before()
        return await self.receive(Arrival(client, envelope, routes, octets, "0123456789abcdef", kept=kept))
