"""Two of our servers on loopback, the relay of one against the SMTP door of the other (rows 2 and 9)."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from a3mailer.config.tree import Limits, Settings, Smtp
from a3mailer.config.tree import Queue as QueueSettings
from a3mailer.config.tree import Server as ServerSettings
from a3mailer.edge.dial import dial
from a3mailer.edge.listener import Acceptor, Listener
from a3mailer.edge.smtp.profiles import MX
from a3mailer.edge.smtp.session import SmtpDoor
from a3mailer.edge.tls import opportunistic_context
from a3mailer.identity.authenticator import Authenticator
from a3mailer.identity.directory import Directory
from a3mailer.mail.ids import DEFAULT_TENANT
from a3mailer.mail.message import index
from a3mailer.runtime.clock import SystemClock
from a3mailer.runtime.resolver import Mx
from a3mailer.store.operations import Enqueue, QueueRecipient
from a3mailer.store.ports import Content, Transaction
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.forwarding.forward import Forwarding
from a3mailer.transfer.outgoing import canonical
from a3mailer.transfer.policy.policy import Policy
from a3mailer.transfer.queue.queue import Queue
from a3mailer.transfer.receive import Receive
from a3mailer.transfer.signing import Signing
from tests.unit.edge.test_connection import server_tls as server_tls
from tests.unit.identity.world import Audit
from tests.unit.transfer.store import WatchedStore

HOPS = 8


class Node:
    """One server: store, door, queue; ``other_port`` is where it sends its mail."""

    def __init__(self, domain: str, socket_: socket.socket, other_port: int, spool: Path) -> None:
        self.domain = domain
        self.socket = socket_
        self.settings = Settings(
            server=ServerSettings(hostname=f"mail.{domain}", domain=domain),
            smtp=Smtp(hops=HOPS),
            queue=QueueSettings(smtp_port=other_port, retry=(1,)),
            limits=Limits(profile="off"),
        )
        self.clock = SystemClock()
        self.store = WatchedStore(self.clock)
        self.store.put_domain(domain)
        self.user = self.store.put_account(f"user@{domain}")
        self.resolver = FakeResolver()
        for name in ("a.test", "b.test"):
            self.resolver.put(name, "MX", Mx(10, f"mx.{name}"))
            self.resolver.put(f"mx.{name}", "A", "127.0.0.1")
        directory = Directory(self.store, self.settings)
        forwarding = Forwarding(directory, self.settings, self.clock, (domain.encode() * 8,))
        self.policy = Policy(self.store, directory, self.settings, forwarding)
        receive = Receive(self.store, directory, self.settings, self.clock, forwarding=forwarding)
        authenticator = Authenticator(self.store, self.settings, self.clock, Audit(), b"k" * 32)
        self.signing: Signing | None = None
        self.door = SmtpDoor(self.policy, receive, authenticator, lambda: self.settings, None, spool)

    async def queue(self, stop: asyncio.Event) -> None:
        context = opportunistic_context()
        await Queue(
            self.store,
            self.policy,
            self.resolver,
            dial,
            context,
            self.settings,
            self.clock,
            self.domain,
            signing=self.signing,
        ).run(stop)

    async def enqueue(self, to: str, content: bytes) -> None:
        operation = Enqueue(self.user.id, DEFAULT_TENANT, 0, self.user.address, (QueueRecipient(to),))
        await self.store.commit(Transaction((operation,), (Content(content, index(content)),)))

    def inbox(self) -> list[bytes]:
        return self.store.inbox(self.user.id)


@asynccontextmanager
async def two(spool: Path, keys: Path | None = None) -> AsyncIterator[tuple[Node, Node]]:
    """Both, listening and working; with ``keys`` they sign."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [s.getsockname()[1] for s in sockets]
    a, b = Node("a.test", sockets[0], ports[1], spool), Node("b.test", sockets[1], ports[0], spool)
    if keys is not None:
        a.signing, b.signing = (Signing(keys, node.settings) for node in (a, b))
    stop = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as tasks:
            acceptors = []
            for node in (a, b):
                listener = Listener(
                    "smtp", (node.socket,), lambda c, trace, n=node: n.door.serve(c, MX, trace), b"421 no\r\n"
                )
                acceptor = Acceptor((listener,), lambda n=node: n.settings, tasks)
                acceptor.start()
                acceptors.append(acceptor)
                tasks.create_task(node.queue(stop))
            try:
                yield a, b
            finally:
                stop.set()
                for acceptor in acceptors:
                    acceptor.stop()
                    for connection in list(acceptor.connections):
                        connection.close()
    finally:
        for each in sockets:
            each.close()


async def until(said: object) -> None:
    async with asyncio.timeout(20):
        while not said():  # type: ignore[operator]
            await asyncio.sleep(0.01)


def below_trace(octets: bytes) -> bytes:
    """Without Return-Path and our Received on top."""
    octets = octets[octets.index(b"\r\n") + 2 :]
    while True:
        octets = octets[octets.index(b"\r\n") + 2 :]
        if octets[:1] not in (b"\t", b" "):
            return octets


async def test_mails_go_over_tls_in_one_session_and_arrive_as_they_were(
    tmp_path: Path, server_tls: ssl.SSLContext
) -> None:
    async with two(tmp_path) as (a, b):
        b.door.tls = server_tls
        mails = [b"Subject: %d\r\n\r\n.dot\r\n..\r\n\xc3\xa4\r\n" % n for n in range(3)]
        for mail in mails:
            await a.enqueue("user@b.test", mail)
        await until(lambda: len(b.inbox()) == 3)
        await until(lambda: not a.store.entries)
    assert sorted(map(below_trace, b.inbox())) == mails
    for octets in b.inbox():
        assert octets.startswith(
            b"Return-Path: <user@a.test>\r\nReceived: from mail.a.test ([127.0.0.1])\r\n"
        )
        assert b"with ESMTPS id" in octets
        assert b"tls TLS_" in octets


async def test_row_2_one_mail_arrives_as_one_whatever_its_line_ends(
    tmp_path: Path, rng: random.Random
) -> None:
    pieces = (
        b"\r",
        b"\n",
        b"\r\n",
        b".",
        b"x",
        b"\r.\r\n",
        b"\n.\n",
        b"\r\n.\r\n",
        b"MAIL FROM:<e@e>\r\n",
        b"\xff",
    )
    bodies = [b"".join(rng.choices(pieces, k=rng.randrange(40))) for _ in range(60)]
    async with two(tmp_path) as (a, b):
        for n, body in enumerate(bodies):
            await a.enqueue("user@b.test", b"Subject: %d\r\n\r\n%b" % (n, body))
        await until(lambda: len(b.inbox()) >= 60 and not a.store.entries)
    arrived = {below_trace(octets) for octets in b.inbox()}
    expected = set()
    for n, body in enumerate(bodies):
        whole = canonical(b"Subject: %d\r\n\r\n%b" % (n, body))
        expected.add(whole if whole.endswith(b"\r\n") else whole + b"\r\n")
    assert len(b.inbox()) == 60
    assert arrived == expected


async def test_row_9_aliases_of_two_servers_that_lead_in_a_circle_stop(tmp_path: Path) -> None:
    async with two(tmp_path) as (a, b):
        a.store.put_alias("round@a.test", "round@b.test")
        b.store.put_alias("round@b.test", "round@a.test")
        await a.enqueue("round@a.test", b"Subject: round\r\n\r\n")
        await until(lambda: a.inbox() and not a.store.entries and not b.store.entries)
        await asyncio.sleep(0.05)
        assert not a.store.entries
        assert not b.store.entries
    (notice,) = a.inbox()
    assert b"Status: 5.4.6" in notice
    assert not b.inbox()
    assert b"To: user@a.test" not in notice  # it came back the way it went: through every forwarder
    passed = [
        o for node in (a, b) for t in node.store.transactions for o in t.operations if isinstance(o, Enqueue)
    ]
    assert max(o.hops for o in passed) == HOPS


async def test_a_domain_that_comes_back_gets_its_mail(tmp_path: Path) -> None:
    async with two(tmp_path) as (a, b):
        a.resolver.fail("b.test", "MX")
        await a.enqueue("user@b.test", b"Subject: x\r\n\r\n")
        await until(lambda: any(r.attempts for e in a.store.entries for r in e.recipients))
        a.resolver.put("b.test", "MX", Mx(10, "mx.b.test"))
        await until(lambda: b.inbox())


async def test_row_9_a_domain_that_two_servers_hand_to_each_other_stops(tmp_path: Path) -> None:
    async with two(tmp_path) as (a, b):
        for here, there in ((a, b), (b, a)):
            port = there.socket.getsockname()[1]
            here.store.put_domain("r.test", settings=f'{{"relay_to": "127.0.0.1:{port}"}}')
        await a.enqueue("eve@r.test", b"Subject: round\r\n\r\nx\r\n")
        await until(lambda: a.inbox() and not a.store.entries and not b.store.entries)
    (notice,) = a.inbox()
    assert b"554 5.4.6" in notice or b"Status: 5.4.6" in notice
