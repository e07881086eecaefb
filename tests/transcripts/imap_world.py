"""The IMAP door over the memory store, with real logins: what every IMAP transcript talks to."""

from __future__ import annotations

import ssl
from pathlib import Path

from a3mailer.access.events import Events
from a3mailer.access.filing import Filing
from a3mailer.access.labour import SLICE_SECONDS
from a3mailer.access.rights import Rights
from a3mailer.access.scripts import Scripts
from a3mailer.access.watch import Views
from a3mailer.config.tree import Auth, Imap, Limits, Server, Settings
from a3mailer.edge.imap.door import ImapDoor
from a3mailer.edge.imap.services import Services
from a3mailer.identity.authenticator import Authenticator
from a3mailer.identity.credentials import hash_password
from a3mailer.identity.directory import Directory
from a3mailer.identity.tokens import digest
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, AccountId
from a3mailer.mail.message import index
from a3mailer.runtime.shared import SharedTable
from a3mailer.runtime.spool import Spool
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.operations import (
    AccountCreated,
    Append,
    CreateAccount,
    Notice,
    PutCredential,
    PutDomain,
    PutTenant,
    PutToken,
)
from a3mailer.store.ports import Content, Transaction
from a3mailer.telemetry.events import Secret
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.memory_connection import MemoryConnection
from a3mailer.transfer.filtering.events import Events as EventScripts
from a3mailer.transfer.filtering.filtering import Filtering
from a3mailer.transfer.filtering.hourly import Hourly
from a3mailer.transfer.policy.checks.rate import HALF_LIFE, KEYS
from tests.unit.identity.world import Audit

TOKEN = Secret("a3_transcript")
"""A bearer token of alice."""
TRACE = "0123456789abcdef"
STORED = hash_password(Secret("secret-a"))
MAILS = Path(__file__).parent / "imap_mails"
SCRIPTS = Path(__file__).parent / "imap_scripts"


class BusyClock(FakeClock):
    """On which every slice of work takes ``seconds``, and is over at the first look."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def monotonic(self) -> float:
        self.advance(SLICE_SECONDS)
        return super().monotonic()

    def cpu(self) -> float:
        self.advance(self.seconds)
        return super().cpu()


class ImapWorld:
    """One worker; ``options`` are a transcript's: ``messages``, ``quota``, ``tls``, ``secure``,
    ``moving_in`` (UTF8=ACCEPT is off),
    ``sieve``: scripts that alice has, and ``busy``: how many seconds each slice of a long command takes."""

    def __init__(self, spool: Path, options: dict[str, str] | None = None) -> None:
        options = options or {}
        self.settings = Settings(
            server=Server(hostname="mx.example.test", domain="example.test"),
            imap=Imap(
                append_size=int(options.get("append_size", 1024 * 1024)),
                message_limit=int(options.get("message_limit", 1_000_000)),
                utf8_accept="moving_in" not in options,
            ),
            auth=Auth(plaintext="public" not in options),
            limits=Limits(tarpit_seconds=0.0),
        )
        self.options = options
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.authenticator = Authenticator(
            self.store, self.settings, self.clock, Audit(), b"k" * 32, self._sleep
        )
        directory = Directory(self.store, self.settings)
        self.rights = Rights(self.store, directory)
        self.store.watch(directory.heard)
        self.store.watch(self.rights.heard)
        self.views = Views(self.store, self.store)
        self.services = Services(
            store=self.store,
            views=self.views,
            authenticator=self.authenticator,
            settings=self.settings,
            clock=BusyClock(float(options["busy"])) if "busy" in options else self.clock,
            spool=lambda: Spool(spool),
            rights=self.rights,
            tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if "tls" in options else None,
        )
        self.services.jmap = options.get("jmap", "")
        self.user_scripts = Scripts(self.store, self.settings)
        if "sieve" in options:
            table = SharedTable(KEYS, HALF_LIFE)
            filtering = Filtering(
                self.user_scripts,
                self.store,
                directory,
                self.settings,
                Hourly(table, self.clock, self.settings),
                filing=Filing(self.store, self.rights),
            )
            runs = EventScripts(filtering, self.clock)
            self.services.events = Events(self.store, self.user_scripts, runs)
            self.services.imapsieve = "sieve://mx.example.test"
        self.door = ImapDoor(self.services)
        self.accounts: dict[str, AccountId] = {}

    async def _sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def fill(self) -> None:
        """Make the accounts, and the messages the transcript asks for."""
        await self.store.commit(
            Transaction((PutTenant(DEFAULT_TENANT, "first"), PutDomain(DEFAULT_TENANT, "example.test")))
        )
        for name in ("alice", "bob"):
            address = f"{name}@example.test"
            quota = int(self.options.get("quota", 0))
            made = CreateAccount(DEFAULT_TENANT, address, quota=quota)
            (result,) = await self.store.commit(Transaction((made,)))
            assert isinstance(result, AccountCreated)
            self.accounts[name] = result.account
            await self.store.commit(Transaction((PutCredential(result.account, "main", "password", STORED),)))
        bearer = PutToken(self.accounts["alice"], digest(TOKEN), "x", "mailbox message quota smtp", 0, 0)
        await self.store.commit(Transaction((bearer,)))
        for name in self.options.get("sieve", "").split():
            octets = (SCRIPTS / f"{name}.sieve").read_bytes()
            await self.user_scripts.put(self.accounts["alice"], name, octets, int(self.clock.now()))
        for name in self.options.get("messages", "").split():
            await self.deliver((MAILS / f"{name}.eml").read_bytes().replace(b"\n", b"\r\n"))
        await self.store.commit(Transaction((Notice(self.accounts["alice"], INBOX),)))  # nothing is \\Recent

    async def deliver(self, octets: bytes, *, account: str = "alice", flags: int = 0) -> None:
        """Put a mail into an INBOX, as delivery does."""
        content = Content(octets, index(octets))
        append = Append(self.accounts[account], INBOX, 0, flags, check_quota=False)
        await self.store.commit(Transaction((append,), (content,)))
        self.clock.advance(60)

    def connect(self, number: int) -> MemoryConnection:
        """Connections come from loopback, where the listener allows plain text, unless ``public``."""
        connection = MemoryConnection(
            ("192.0.2.1", 40000 + number), ("127.0.0.1", 143), secure="secure" in self.options
        )
        connection.names = tuple(self.options.get("certified", "").split())
        return connection

    async def serve(self, connection: MemoryConnection) -> None:
        await self.door.serve(connection, TRACE)

    def close(self) -> None:
        """End the hashing threads."""
        self.authenticator.close()
