"""Two machines and the wire between them: network namespaces, a veth pair, and nftables that drops packets.

As a program (``python -m tests.faults.wires``, in a network namespace of its own) it plays every scenario
of the table at the end and prints how each went, as JSON: ``""`` or what was wrong. We are 10.9.0.1;
10.9.0.2 and 10.9.0.3 are servers of others. Waits that are minutes in earnest are parts of a second here.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from a3mailer.edge.dial import dial
from a3mailer.edge.listener import Acceptor, Listener
from a3mailer.edge.tls import opportunistic_context
from a3mailer.runtime.resolver import Mx, Server, StubResolver
from a3mailer.testing.nameserver import NameServer
from a3mailer.transfer.relay import relay as relay_module
from a3mailer.transfer.relay import session as session_module
from a3mailer.transfer.relay.relay import SESSIONS_A_DESTINATION, Relay
from a3mailer.transfer.relay.session import Manners
from tests.transcripts.smtp_world import SmtpWorld
from tests.unit.transfer.hostile import Peer, Talk
from tests.unit.transfer.office import CONTENT, Office

CLONE_NEWNET = 0x40000000
OURS, THEIRS, OTHERS = "10.9.0.1", "10.9.0.2", "10.9.0.3"
SCENARIO_SECONDS = 120.0
LIBC = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """The kernel or the container does not let us."""


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def enter(namespace: int) -> None:
    if LIBC.setns(namespace, CLONE_NEWNET):
        raise Refused(f"setns: {os.strerror(ctypes.get_errno())}")


class Wire:
    """We are at this end of it; ``there`` is the other one."""

    def __init__(self) -> None:
        self._here = os.open("/proc/self/ns/net", os.O_RDONLY)
        if LIBC.unshare(CLONE_NEWNET):
            raise Refused(f"unshare: {os.strerror(ctypes.get_errno())}")
        self._there = os.open("/proc/self/ns/net", os.O_RDONLY)
        run("ip", "link", "set", "lo", "up")
        enter(self._here)
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "ours", "type", "veth", "peer", "name", "theirs")
        run("ip", "link", "set", "theirs", "netns", f"/proc/{os.getpid()}/fd/{self._there}")
        run("ip", "address", "add", f"{OURS}/24", "dev", "ours")
        run("ip", "link", "set", "ours", "up")
        with self.there():
            for address in (THEIRS, OTHERS):
                run("ip", "address", "add", f"{address}/24", "dev", "theirs")
            run("ip", "link", "set", "theirs", "up")
        for place in (self.there, self.here):
            with place():  # a retransmission waits 20 ms, not 200: the tests are as slow as the losses
                device = "ours" if place == self.here else "theirs"
                run("ip", "route", "change", "10.9.0.0/24", "dev", device, "rto_min", "20ms")
                run("nft", "add table inet faults; add chain inet faults in "
                    "{ type filter hook input priority 0; }")  # fmt: skip

    @contextmanager
    def there(self) -> Iterator[None]:
        """What is opened meanwhile is opened there."""
        enter(self._there)
        try:
            yield
        finally:
            enter(self._here)

    @contextmanager
    def here(self) -> Iterator[None]:
        yield

    def rule(self, what: str) -> None:
        """Of what comes in there. A blackhole for one of its addresses: ``ip daddr 10.9.0.2 drop``."""
        with self.there():
            run("nft", f"add rule inet faults in {what}")

    def packets(self) -> int:
        """How many the first rule there has met."""
        with self.there():
            counted = run("nft", "list chain inet faults in")
        return int(counted.partition("packets ")[2].partition(" ")[0])

    def rule_here(self, what: str) -> None:
        run("nft", f"add rule inet faults in {what}")

    def heal(self) -> None:
        for place in (self.there, self.here):
            with place():
                run("nft", "flush chain inet faults in")
                run("ip", "tcp_metrics", "flush")  # what the kernel remembers of round trips that failed

    def link(self, state: str) -> None:
        """``up`` or ``down``."""
        run("ip", "link", "set", "ours", state)
        if state == "up":
            run("ip", "route", "replace", "10.9.0.0/24", "dev", "ours", "rto_min", "20ms", "src", OURS)


async def until(what: Callable[[], object]) -> None:
    while not what():
        await asyncio.sleep(0.005)


# --- mail out ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def office(wire: Wire, *peers: Peer) -> AsyncIterator[Office]:
    """``b.test`` is the first peer's domain, at THEIRS, ``c.test`` the second's."""
    made = Office(dial)
    for domain, address, peer in zip(("b.test", "c.test"), (THEIRS, OTHERS), peers, strict=False):
        made.resolver.put(domain, "MX", Mx(10, f"mx.{domain}"))
        made.resolver.put(f"mx.{domain}", "A", address)
        with wire.there():
            sock = socket.create_server((address, 25))
        await peer.listen(sock)
    manners = Manners("mail.a.test", opportunistic_context())
    made.relay = Relay(made.resolver, dial, manners, made.settings, made.clock, made.chance)
    made.desk = made.make_desk("worker-1")
    try:
        yield made
    finally:
        wire.heal()
        await made.relay.close()
        for peer in peers:
            await peer.__aexit__(None, None, None)


async def waits(made: Office, *words: str) -> None:
    """The latest attempt left its mail waiting, for a reason in these words."""
    await made.attempt()
    last = made.outcomes[-1]
    assert last.state == "waiting", last
    assert any(word in last.text for word in words), last


async def arrives(made: Office, peer: Peer, times: int = 1) -> None:
    """In the end; the server has taken it so many times."""
    made.clock.advance(86400.0)
    await made.attempt()
    assert made.outcomes[-1].state == "relayed", made.outcomes[-1]
    assert len(peer.taken) == times, len(peer.taken)


async def blackhole_at_connect(wire: Wire) -> None:
    """Many mails for a host that swallows packets: few try, the others wait, another host has its mail."""
    peer, good = Peer(), Peer()
    async with office(wire, peer, good) as made:
        wire.rule(f"ip daddr {THEIRS} counter drop")
        for _ in range(40):
            await made.enqueue("x@b.test")
        await made.enqueue("x@c.test")
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(made.make_queue().run(stop))
            await until(lambda: good.taken)
            assert not [o for o in made.outcomes if o.host != "mx.c.test"]
            await until(lambda: len(made.settled) >= 41)
            stop.set()
        texts = {o.text for o in made.outcomes if o.state == "waiting"}
        assert texts == {f"no answer from {THEIRS}:25 in 0.4 s"}, texts
        assert 1 <= wire.packets() <= 2 * SESSIONS_A_DESTINATION, wire.packets()
        wire.heal()
        made.clock.advance(86400.0)
        while await made.attempt():
            made.clock.advance(3600.0)
        assert len(peer.taken) == 40


async def rejected_at_connect(wire: Wire) -> None:
    peer = Peer()
    async with office(wire, peer) as made:
        await made.enqueue("x@b.test")
        for how, words in (
            ("tcp reset", "Connection refused"),
            ("icmpx admin-prohibited", "No route to host"),
        ):
            wire.rule(f"ip daddr {THEIRS} tcp dport 25 reject with {how}")
            await waits(made, f"{THEIRS}:25: {words}")
            wire.heal()
            made.clock.advance(86400.0)
        await arrives(made, peer)


async def link_down_at_connect(wire: Wire) -> None:
    peer = Peer()
    async with office(wire, peer) as made:
        await made.enqueue("x@b.test")
        wire.link("down")
        await waits(made, "Network is unreachable", "No route to host")
        wire.link("up")
        await arrives(made, peer)


async def blackhole_in_the_content(wire: Wire) -> None:
    """A large mail of which a part got through: nothing of it counts, it goes again whole."""
    begun = asyncio.Event()

    async def swallows(talk: Talk) -> bool:
        await talk.say(b"354 go\r\n")
        await talk.reader.readexactly(256 * 1024)
        wire.rule(f"ip daddr {THEIRS} drop")
        begun.set()
        await talk.reader.read()
        return False

    peer = Peer({"DATA": swallows})
    async with office(wire, peer) as made:
        await made.enqueue("x@b.test", content=CONTENT + b"x" * 60 + b"\r\n" + b"y" * (24 << 20) + b"\r\n")
        await waits(made, "while the content was sent: too slow")
        assert begun.is_set() and not peer.taken
        wire.heal()
        peer.acts = {}
        await arrives(made, peer)
        assert peer.taken[0].count(b"y") >= 24 << 20


async def link_down_in_the_session(wire: Wire) -> None:
    """Half-open: no packet says that the other side is gone."""

    async def unplugs(talk: Talk) -> bool:
        wire.link("down")
        await talk.reader.read()
        return False

    peer = Peer({"RCPT": unplugs})
    async with office(wire, peer) as made:
        await made.enqueue("x@b.test")
        await waits(made, "no reply in 0.4 s")
        wire.link("up")
        peer.acts = {}
        await arrives(made, peer)


async def answer_lost_after_the_content(wire: Wire) -> None:
    """The protocol's own window (RFC 5321 section 4.5.3.2.6): they have it, we cannot know; never lost."""

    async def takes(talk: Talk) -> bool:
        talk.peer.taken.append(b"taken, unheard")
        wire.rule_here(f"ip saddr {THEIRS} drop")
        await talk.say(b"250 2.0.0 taken\r\n")
        return False

    peer = Peer({"content": takes})
    async with office(wire, peer) as made:
        await made.enqueue("x@b.test")
        await waits(made, "no reply in 0.6 s")
        wire.heal()
        peer.acts = {}
        await arrives(made, peer, 2)


async def kept_session_on_a_dead_link(wire: Wire) -> None:
    """A session that waited for the next mail is dead: a fresh one takes it, in the same attempt."""
    peer = Peer()
    async with office(wire, peer) as made:
        await made.enqueue("x@b.test")
        await made.attempt()
        assert made.relay.idle == 1
        port = made.relay._kept._idle[0].session._wire.local[1]
        wire.rule(f"ip daddr {THEIRS} tcp sport {port} drop")
        await made.enqueue("x@b.test")
        await made.attempt()
        assert [o.state for o in made.outcomes] == ["relayed", "relayed"]
        assert len(peer.taken) == peer.sessions == 2


async def losses(wire: Wire) -> None:
    """Every ninth packet is lost, either way: slow, and each mail is taken once."""
    peer = Peer()
    async with office(wire, peer) as made:
        wire.rule("numgen inc mod 9 4 counter drop")
        wire.rule_here("ip saddr 10.9.0.0/24 numgen inc mod 9 4 counter drop")
        for number in range(5):
            await made.enqueue("x@b.test", content=CONTENT + b"%d" % number * 8000 + b"\r\n")
        while len(made.outcomes) < 5:
            await made.attempt()
            made.clock.advance(60.0)
        assert {o.state for o in made.outcomes} == {"relayed"}, made.outcomes
        assert len(peer.taken) == 5
        assert wire.packets()


async def dns_blackholed(wire: Wire) -> None:
    """Nothing is known of where mail goes: it waits, and goes when the DNS is back."""
    peer = Peer()
    async with office(wire, peer) as made, NameServer() as names:
        names.put("b.test. 300 IN MX 10 mx.b.test.", f"mx.b.test. 300 IN A {THEIRS}")
        resolver = StubResolver([Server("127.0.0.1", names.port)], 0.4, made.clock)
        manners = Manners("mail.a.test", opportunistic_context())
        made.relay = Relay(resolver, dial, manners, made.settings, made.clock, made.chance)
        made.desk = made.make_desk("worker-1")
        wire.rule_here(f"udp dport {names.port} drop")
        wire.rule_here(f"tcp dport {names.port} drop")
        await made.enqueue("x@b.test")
        await waits(made, "the DNS has no answer for MX of b.test")
        assert not peer.sessions
        wire.heal()
        await arrives(made, peer)


# --- mail in -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def door(folder: Path) -> AsyncIterator[tuple[SmtpWorld, Acceptor]]:
    """Our server at OURS, whose patience is short."""
    world = SmtpWorld(folder, {"smtp.command_seconds": "0.4", "smtp.data_seconds": "0.4"})
    listening = socket.create_server((OURS, 25))
    try:
        async with asyncio.TaskGroup() as tasks:
            listener = Listener(
                "smtp", (listening,), lambda c, t: world.door.serve(c, world.profile, t), b"421 full\r\n"
            )
            acceptor = Acceptor((listener,), lambda: world.settings, tasks)
            acceptor.start()

            async def sweep() -> None:
                while True:
                    await asyncio.sleep(0.02)
                    acceptor.sweep()

            sweeper = tasks.create_task(sweep())
            try:
                yield world, acceptor
            finally:
                sweeper.cancel()
                acceptor.stop()
                for connection in list(acceptor.connections):
                    connection.close()
    finally:
        listening.close()


async def client(wire: Wire) -> socket.socket:
    """A connection from there, made while the wire is whole."""
    with wire.there():
        sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (OURS, 25))
    return sock


BEGUN = b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"
VANISH = {
    "after the greeting": b"",
    "after EHLO": b"EHLO x\r\n",
    "between mails": BEGUN + b"one\r\n.\r\n",
    "in a command": b"EHLO x\r\nMAIL FR",
    "in DATA": BEGUN + b"half of",
    "in BDAT": BEGUN[:-6] + b"BDAT 1000\r\nhalf of",
}


async def clients_that_vanish(wire: Wire) -> None:
    """No FIN, no RST: sessions end at their limits, leave nothing, and the next client is served."""
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        async with door(Path(folder)) as (world, acceptor):
            before = len(os.listdir("/proc/self/fd"))
            gone = []
            for said in VANISH.values():
                for _ in range(5):
                    sock = await client(wire)
                    await loop.sock_sendall(sock, said)
                    gone.append(sock)
            await until(lambda: len(acceptor.connections) == len(gone))
            await until(lambda: len(world.kept.arrivals) == 5)
            wire.link("down")
            await until(lambda: not acceptor.connections)
            assert len(os.listdir("/proc/self/fd")) <= before + len(gone)  # theirs, in this process too
            assert not list(Path(folder).iterdir())
            assert len(world.kept.arrivals) == 5
            wire.link("up")
            for sock in gone:
                sock.close()
            sock = await client(wire)
            await loop.sock_sendall(sock, BEGUN + b"two\r\n.\r\n")
            await until(lambda: len(world.kept.arrivals) == 6)
            sock.close()


async def a_client_on_a_bad_line(wire: Wire) -> None:
    """Every ninth packet is lost, either way: each mail is taken once, and whole."""
    with tempfile.TemporaryDirectory() as folder:
        async with door(Path(folder)) as (world, _):
            world.settings = world.settings.__class__(
                **{
                    **{name: getattr(world.settings, name) for name in world.settings.__struct_fields__},
                    "smtp": world.settings.smtp.__class__(),
                }
            )
            loop = asyncio.get_running_loop()
            wire.rule("ip saddr 10.9.0.0/24 numgen inc mod 9 4 counter drop")
            wire.rule_here("ip saddr 10.9.0.0/24 numgen inc mod 9 4 counter drop")
            for number in range(3):
                sock = await client(wire)
                content = b"%d" % number + b"w" * 30_000 + b"\r\n"
                await loop.sock_sendall(sock, BEGUN + content + b".\r\nQUIT\r\n")
                await until(lambda count=number: len(world.kept.arrivals) > count)
                assert content in world.kept.octets[number]
                sock.close()
            assert wire.packets()
            wire.heal()


SCENARIOS: dict[str, Callable[[Wire], Awaitable[None]]] = {
    each.__name__: each
    for each in (
        blackhole_at_connect,
        rejected_at_connect,
        link_down_at_connect,
        blackhole_in_the_content,
        link_down_in_the_session,
        answer_lost_after_the_content,
        kept_session_on_a_dead_link,
        losses,
        dns_blackholed,
        clients_that_vanish,
        a_client_on_a_bad_line,
    )
}
FULL_WAITS = (losses, a_client_on_a_bad_line)
"""These need the waits that people have."""


def play() -> dict[str, str]:
    """How each went."""
    relay_waits = {"CONNECT_SECONDS": 0.4}
    waits_out = {
        "GREETING_SECONDS": 0.4,
        "PIECE_SECONDS": 0.4,
        "FINAL_SECONDS": 0.6,
        "QUIT_SECONDS": 0.1,
        "TICK_SECONDS": 0.1,
    }
    usual = {name: getattr(session_module, name) for name in waits_out}
    usual_connect = relay_module.CONNECT_SECONDS
    wire, said = Wire(), {}
    for name, scenario in SCENARIOS.items():
        full = scenario in FULL_WAITS
        for key, value in (usual if full else waits_out).items():
            setattr(session_module, key, value)
        relay_module.CONNECT_SECONDS = usual_connect if full else relay_waits["CONNECT_SECONDS"]
        began = time.monotonic()
        try:
            asyncio.run(asyncio.wait_for(scenario(wire), SCENARIO_SECONDS))
            said[name] = ""
        except Exception:  # noqa: BLE001 - it is told
            said[name] = traceback.format_exc()
        finally:
            wire.heal()
            wire.link("up")
        print(f"{name}: {time.monotonic() - began:.1f} s", file=sys.stderr)
    return said


if __name__ == "__main__":
    random.seed()
    try:
        print(json.dumps(play()))
    except Refused as error:
        print(json.dumps({"forbidden": str(error)}))
