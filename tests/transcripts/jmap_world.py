"""JMAP over the memory store, with real logins: what every JMAP transcript talks to.

A transcript's line is a request and one line of the answer stands for each part of it::

    C: [["Core/echo",{"a":1},"c0"]]        method calls, with all capabilities but mail:share
    S: ["Core/echo",{"a":1},"c0"]          each response; objects have their names in order, and no spaces
    C: {"using":[...],"methodCalls":[...]} a whole Request object (createdIds follow as a line of their own)
    C: POST /jmap/api not JSON             any request; its answer is the status and the body (and ETag ...)
    S: 400 {"type":"urn:ietf:params:jmap:error:notJSON",...}
    C: as bob                              who asks from here on (alice at first)
    C: sharing                             mailboxes have shareWith from here on
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from a3mailer.access.account_mail import AllMail
from a3mailer.access.blobs import Blobs
from a3mailer.access.loans import Loans
from a3mailer.access.people import People
from a3mailer.access.pushes import Making
from a3mailer.access.rights import Rights
from a3mailer.access.scripts import Scripts
from a3mailer.access.sharing import Sharing
from a3mailer.access.signatures import Authorities, Signatures
from a3mailer.access.watch import Views
from a3mailer.config.tree import Auth, Limits, Server, Settings
from a3mailer.edge.http.api.authorise import Authorise
from a3mailer.edge.http.door import HttpDoor
from a3mailer.edge.http.jmap.capabilities import CAPABILITIES, SHARE
from a3mailer.edge.http.jmap.door import Jmap
from a3mailer.edge.http.jmap.services import Services
from a3mailer.edge.http.routes import Routes
from a3mailer.identity.authenticator import Authenticator
from a3mailer.identity.credentials import hash_password
from a3mailer.identity.directory import Directory
from a3mailer.identity.principal import Principal
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, AccountId
from a3mailer.mail.message import index
from a3mailer.mail.rights import of_account
from a3mailer.runtime.http import HttpFailure
from a3mailer.runtime.shared import SharedTable
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.operations import (
    AccountCreated,
    Append,
    ChangeGrant,
    CreateAccount,
    PutCredential,
    PutDomain,
    PutTenant,
)
from a3mailer.store.ports import Content, Store, Transaction
from a3mailer.telemetry.events import Secret
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.memory_connection import MemoryConnection, MemorySession, Stage
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.applications.submitting import Submitting
from a3mailer.transfer.policy.checks import CHECKS
from a3mailer.transfer.policy.policy import Policy
from a3mailer.transfer.policy.stages import Stages
from a3mailer.transfer.receive import Receive
from a3mailer.wire.webpush.vapid import private_key
from tests.unit.identity.world import Audit

STORED = hash_password(Secret("secret-a"))
MAILS = Path(__file__).parent / "imap_mails"
SHOWN = ("content-type", "content-disposition", "content-range", "location", "accept-ranges")
"""Fields of an answer that is no JSON."""


def permitted(url: str) -> None:
    """As the guarded client says it of URLs that name no address inside."""
    if "127.0.0.1" in url or "localhost" in url:
        raise HttpFailure("refused", "not a public address")


def submitting_of(store: Store, clock: FakeClock, settings: Settings) -> Submitting:
    """The way out, with checks of no stage."""
    directory = Directory(store, settings)
    store.watch(directory.heard)
    tables = SharedTable(64, 3600.0), SharedTable(64, 3600.0)
    stages = Stages(CHECKS, FakeResolver(), clock, *tables, settings)
    policy = Policy(store, directory, settings, stages=stages)
    return Submitting(store, directory, policy, Receive(store, directory, settings, clock), settings, clock)


class JmapWorld:
    """One worker; ``options`` are a transcript's: ``messages``, ``quota``, ``lent`` (what bob may do with
    alice's INBOX)."""

    def __init__(self, options: dict[str, str] | None = None) -> None:
        options = options or {}
        self.settings = Settings(
            server=Server(hostname="mx.example.test", domain="example.test"),
            auth=Auth(plaintext=True),
            limits=Limits(profile="off"),
        )
        self.options = options
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.views = Views(self.store, self.store)
        self.authenticator = Authenticator(self.store, self.settings, self.clock, Audit(), b"k" * 32)
        self.scripts = Scripts(self.store, self.settings)
        self.mail = AllMail(self.store)
        directory = Directory(self.store, self.settings)
        self.rights = Rights(self.store, directory)
        self.store.watch(directory.heard)
        self.store.watch(self.rights.heard)
        self.sharing = Sharing(self.store, self.rights, self.clock)
        self.jmap = Jmap.of(
            Services(
                self.store,
                self.clock,
                lambda: self.settings,
                Blobs(self.store, self.clock),
                self.mail,
                Making(permitted),
                private_key(b"v" * 32),
                submitting_of(self.store, self.clock, self.settings),
                self.scripts,
                Loans(self.store, self.rights, self.clock),
                Signatures(
                    self.store, self.clock, Authorities(MAILS, lambda: self.settings, "authority.pem")
                ),
                People(self.store, self.rights, lambda: self.settings),
                self.sharing,
            ),
            self.authenticator.current,
        )
        self.accounts: dict[str, AccountId] = {}
        self.open_door()

    def open_door(self) -> None:
        """The door, over the routes of ``jmap``."""
        self.door = HttpDoor(
            Routes(self.jmap.routes()),
            now=self.clock.now,
            authorise=Authorise(self.authenticator, lambda: self.settings),
        )

    async def fill(self) -> None:
        """Make the accounts, and the messages the transcript asks for."""
        await self.store.commit(
            Transaction((PutTenant(DEFAULT_TENANT, "first"), PutDomain(DEFAULT_TENANT, "example.test")))
        )
        for name in ("alice", "bob"):
            quota = int(self.options.get("quota", 0))
            made = CreateAccount(DEFAULT_TENANT, f"{name}@example.test", quota=quota)
            (result,) = await self.store.commit(Transaction((made,)))
            assert isinstance(result, AccountCreated)
            self.accounts[name] = result.account
            await self.store.commit(Transaction((PutCredential(result.account, "main", "password", STORED),)))
        if letters := self.options.get("lent"):
            to = of_account(self.accounts["bob"])
            grant = ChangeGrant(self.accounts["alice"], INBOX, to, "=", letters)
            alice = Principal(grant.account, DEFAULT_TENANT, "alice@example.test", "user", "alice")
            await self.store.commit(Transaction(await self.sharing.announced(alice, grant)))
            self.rights.forget()
        for name in self.options.get("messages", "").split():
            await self.deliver((MAILS / f"{name}.eml").read_bytes().replace(b"\n", b"\r\n"))

    async def deliver(self, octets: bytes, *, account: str = "alice", flags: int = 0) -> None:
        """Put a mail into an INBOX, as delivery does."""
        content = Content(octets, index(octets))
        append = Append(self.accounts[account], INBOX, 0, flags, check_quota=False)
        await self.store.commit(Transaction((append,), (content,)))
        self.clock.advance(60)

    def stage(self) -> Stage:
        """Where connections of this world are made."""
        return Stage(
            lambda connection: self.door.serve(connection, ""),
            lambda number: MemoryConnection(
                ("127.0.0.1", 40000 + number), ("127.0.0.1", 443), secure="plain" not in self.options
            ),
        )

    @staticmethod
    def basic(who: str) -> str:
        """An Authorization field of somebody."""
        return "Basic " + base64.b64encode(f"{who}@example.test:secret-a".encode()).decode()

    def close(self) -> None:
        """End the hashing threads."""
        self.views.close()
        self.scripts.close()
        self.authenticator.close()


class JmapSession:
    """A transcript's session: its lines become requests, and answers become lines."""

    shares = False
    """Whether mailboxes are those of who shares them (``C: sharing``)."""

    def __init__(self, inner: MemorySession, split: Callable[[bytes], Iterable[bytes]]) -> None:
        self._inner = inner
        self._split = split
        self._lines = b""
        self._who = "alice"

    @property
    def closed(self) -> bool:
        return self._inner.closed

    async def greeting(self) -> bytes:
        return await self._inner.greeting()

    async def feed(self, octets: bytes) -> bytes:
        """Whole lines only become requests."""
        self._lines += octets
        said = b""
        while b"\r\n" in self._lines:
            line, _, self._lines = self._lines.partition(b"\r\n")
            said += await self._ask(line.decode())
        return said

    async def _ask(self, line: str) -> bytes:
        if line == "sharing":
            self.shares = True
            return b""
        if line.startswith("as "):
            self._who = line[3:]
            return b""
        answer = b""
        for piece in self._split(self._request(line)):
            answer += await self._inner.feed(piece)
        return b"".join(each.encode() + b"\r\n" for each in _lines_of(answer, line))

    def _request(self, line: str) -> bytes:
        media = "application/json"
        if line.startswith("["):
            using = [each.urn for each in CAPABILITIES if each.urn != SHARE or self.shares]
            line = "POST /jmap/api " + json.dumps({"using": using, "methodCalls": json.loads(line)})
        elif line.startswith("{"):
            line = "POST /jmap/api " + line
        verb, path, *rest = line.split(" ", 2)
        body = "".join(rest).encode()
        fields = []
        while body.startswith(b"<") and b">" in body:  # <Field: value> before the body
            field, _, body = body[1:].partition(b">")
            body = body.lstrip(b" ")
            name, _, value = field.decode().partition(": ")
            if name.lower() == "content-type":
                media = value
            else:
                fields.append(f"{name}: {value}")
        lines = [f"{verb} {path} HTTP/1.1", "Host: mx.example.test", f"Content-Length: {len(body)}"]
        if self._who:
            lines.append(f"Authorization: {JmapWorld.basic(self._who)}")
        if verb == "POST":
            lines.append(f"Content-Type: {media}")
        return "\r\n".join((*lines, *fields, "", "")).encode() + body


def _lines_of(answer: bytes, line: str) -> list[str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head[9:12].decode()
    told = {
        name.lower(): value
        for name, _, value in (each.partition(": ") for each in head.decode().split("\r\n")[1:])
    }
    if "json" not in told.get("content-type", ""):
        shown = " ".join(f"<{told[name]}>" for name in SHOWN if name in told)
        return [f"{status} {shown} {body.decode('utf-8', 'backslashreplace')}".rstrip()]
    made = json.loads(body)
    if status != "200" or line.startswith(("GET", "POST")):
        return [f"{status} {_compact(made)}"]
    found = [_compact(each) for each in made["methodResponses"]]
    return [*found, _compact(made["createdIds"])] if "createdIds" in made else found


def _compact(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
