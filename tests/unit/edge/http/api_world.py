"""The API over a store, with alice (a.test) who has a password and tokens, and bob."""

from __future__ import annotations

import base64
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a3mailer.app.public import public
from a3mailer.app.verbs.office import Office
from a3mailer.config.tree import Limits, Server, Settings
from a3mailer.edge.http.door import HttpDoor
from a3mailer.identity.authenticator import Authenticator
from a3mailer.identity.credentials import HashPool, hash_password
from a3mailer.identity.directory import Directory
from a3mailer.identity.tokens import issue
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, AccountId
from a3mailer.runtime.http import HttpClient
from a3mailer.runtime.shared import SharedTable
from a3mailer.store import operations as op
from a3mailer.store.operations import Operation
from a3mailer.store.ports import Store, Transaction
from a3mailer.telemetry.events import Secret
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.memory_connection import MemoryConnection, Stage
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.applications.sending import Sending
from a3mailer.transfer.policy.checks import CHECKS
from a3mailer.transfer.policy.policy import Policy
from a3mailer.transfer.policy.stages import Stages
from a3mailer.transfer.receive import Receive
from tests.unit.identity.world import Audit

STORED = hash_password(Secret("secret-a"))


@dataclass
class Answer:
    """What came back."""

    status: int
    head: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class ApiWorld:
    """One server's API; ``settle`` first."""

    def __init__(
        self, store: Store, clock: FakeClock, settings: Settings | None = None, *, inside: bool = False
    ) -> None:
        self.store = store
        self.clock = clock
        self.settings = settings or Settings(
            server=Server(hostname="mail.a.test", domain="a.test"), limits=Limits(profile="off")
        )
        directory = Directory(store, self.settings)
        store.watch(directory.heard)
        resolver = FakeResolver()
        tables = SharedTable(64, 3600.0), SharedTable(64, 3600.0)
        stages = Stages(CHECKS, resolver, clock, *tables, self.settings)
        policy = Policy(store, directory, self.settings, stages=stages)
        self.receive = Receive(store, directory, self.settings, clock)
        self.authenticator = Authenticator(store, self.settings, clock, Audit(), b"k" * 32)
        self.sending = Sending(store, policy, self.receive, self.settings, clock)
        self.http = HttpClient(resolver, clock, ssl.create_default_context(), inside=inside)
        self.pool = HashPool()
        self.door = self.make_door(policy)
        self.alice = self.bob = AccountId(0)
        self.token = ""

    def make_door(self, policy: Policy) -> HttpDoor:
        return public(
            lambda: self.settings,
            policy,
            self.sending,
            self.store,
            self.authenticator,
            self.http,
            lambda: Office(self.store, Path("/nonexistent"), self.settings, self.clock, self.pool),
        )

    async def settle(self) -> None:
        """The domain and its people."""
        await self.do(op.PutDomain(DEFAULT_TENANT, "a.test"))
        self.alice = await self._create("alice@a.test")
        self.bob = await self._create("bob@a.test")
        await self.do(op.PutAlias(DEFAULT_TENANT, "away@a.test", ("alice@else.test",)))
        self.token = await self.issue("smtp.submit", "template", "hook")

    async def do(self, *operations: Operation) -> tuple[Any, ...]:
        return await self.store.commit(Transaction(operations))

    async def _create(self, address: str) -> AccountId:
        create = op.CreateAccount(DEFAULT_TENANT, address, credentials=(("password", STORED),))
        return AccountId((await self.do(create))[0].account)

    async def issue(self, *scopes: str) -> str:
        """A token of alice."""
        token, put = issue(self.alice, "test", scopes, now=int(self.clock.now()))
        await self.do(put)
        return token.reveal()

    async def close(self) -> None:
        self.authenticator.close()
        self.pool.close()
        await self.http.close()

    async def raw(self, octets: bytes, *, secure: bool = True, peer: str = "192.0.2.9") -> Answer:
        """One request as it is."""
        stage = Stage(
            lambda connection: self.door.serve(connection, ""),
            lambda number: MemoryConnection((peer, number), ("192.0.2.25", 443), secure=secure),
        )
        async with stage:
            session = stage.open(1)
            await session.greeting()
            answer = await session.feed(octets)
        head, _, body = answer.partition(b"\r\n\r\n")
        return Answer(int(head[9:12]), head.decode(), body)

    async def ask(self, line: str, body: object = None, auth: str | None = None, **fields: str) -> Answer:
        """``line``: method and path; ``auth``: a whole Authorization field, the token's by default."""
        octets = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        lines = [f"{line} HTTP/1.1", "Host: mail.a.test", f"Content-Length: {len(octets)}"]
        auth = f"Bearer {self.token}" if auth is None else auth
        if auth:
            lines.append(f"Authorization: {auth}")
        if body is not None:
            lines.append("Content-Type: application/json")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        return await self.raw("\r\n".join((*lines, "", "")).encode() + octets)

    async def inbox(self, account: AccountId) -> list[bytes]:
        """The mails in somebody's INBOX."""
        _, columns = await self.store.columns(account, INBOX)
        found = await self.store.contents(account, INBOX, list(columns.uids))
        return [octets or b"" for _, octets in sorted(found.items())]


def basic(login: str, password: str) -> str:
    """An Authorization field."""
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()
