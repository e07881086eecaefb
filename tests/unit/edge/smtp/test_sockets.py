"""The SMTP door over real sockets: TLS (row 3), slow clients (row 11), PROXY headers (row 14), draining."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from a3mailer.config.tree import Limits, Server
from a3mailer.edge.listener import Acceptor, Listener
from a3mailer.edge.proxy import ProxyProtocol, is_trusted
from a3mailer.edge.tls import opportunistic_context
from a3mailer.identity.credentials import make_verifier
from a3mailer.telemetry.events import Secret
from a3mailer.wire.proxy import SIGNATURE
from tests.transcripts.smtp_world import SmtpWorld
from tests.unit.edge.test_connection import server_tls as server_tls
from tests.unit.identity.test_sasl import ScramClient

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
MAIL = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"


class Served:
    """A served world and the connections made to it."""

    def __init__(self, acceptor: Acceptor, port: int) -> None:
        self.acceptor = acceptor
        self.port = port
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> Streams:
        streams = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(streams[1])
        return streams

    async def close(self) -> None:
        for writer in self.writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def serving(world: SmtpWorld) -> AsyncIterator[Served]:
    """The world behind an acceptor with its sweeper, on a free port of loopback."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)

    async def sweep(acceptor: Acceptor) -> None:
        while True:
            await asyncio.sleep(0.02)
            acceptor.sweep()

    try:
        async with asyncio.TaskGroup() as tasks:
            listener = Listener(
                "smtp",
                (listening,),
                lambda c, trace: world.door.serve(c, world.profile, trace),
                b"421 full\r\n",
            )
            acceptor = Acceptor(
                (listener,), lambda: world.settings, tasks, before=ProxyProtocol(lambda: world.settings)
            )
            acceptor.start()
            sweeper = tasks.create_task(sweep(acceptor))
            served = Served(acceptor, listening.getsockname()[1])
            try:
                yield served
            finally:
                await served.close()
                sweeper.cancel()
                acceptor.stop()
                for connection in list(acceptor.connections):
                    connection.close()
    finally:
        listening.close()


async def say(streams: Streams, octets: bytes, replies: int = 1) -> bytes:
    """Send, and read so many replies, each to its last line."""
    reader, writer = streams
    writer.write(octets)
    said = b""
    while replies:
        line = await reader.readline()
        said += line
        replies -= line[3:4] != b"-"
    return said


async def until_closed(streams: Streams) -> bytes:
    async with asyncio.timeout(20):
        try:
            return await streams[0].read()
        except ConnectionError:
            return b""


# --- TLS ------------------------------------------------------------------------------------------------


async def test_a_reply_does_not_wait_for_more(tmp_path: Path) -> None:
    """Nagle's algorithm is off on what was accepted: the kernel hands it on from the listener."""
    async with serving(SmtpWorld(tmp_path)) as served:
        reader, _ = await served.connect()
        await reader.readline()
        (connection,) = served.acceptor.connections
        assert connection.raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert connection.local == ("127.0.0.1", served.port)


async def test_the_bye_leaves_with_the_close(tmp_path: Path) -> None:
    """EOF follows the last reply at once."""
    async with serving(SmtpWorld(tmp_path)) as served:
        streams = await served.connect()
        await streams[0].readline()
        streams[1].write(b"NOOP\r\nQUIT\r\n")
        assert await until_closed(streams) == b"250 2.0.0 OK\r\n221 2.0.0 bye\r\n"


async def test_a_pipelined_group_has_its_replies_in_one_segment(tmp_path: Path) -> None:
    """The first time its recipient is looked up, then it is known and no task has its turn for it."""
    async with serving(SmtpWorld(tmp_path)) as served:
        reader, writer = await served.connect()
        writer.write(b"EHLO c.test\r\n")
        await reader.readuntil(b"250 HELP\r\n")
        for _ in range(3):
            writer.write(MAIL)
            replies = await reader.read(4096)
            assert [line[:3] for line in replies.splitlines()] == [b"250", b"250", b"354"]
            writer.write(b"Subject: x\r\n\r\nhello\r\n.\r\nNOOP\r\n")
            assert (await reader.readline()).startswith(b"250 2.0.0 accepted")
            assert (await reader.readline()) == b"250 2.0.0 OK\r\n"


async def test_starttls_and_a_mail_under_it(tmp_path: Path, server_tls: ssl.SSLContext) -> None:
    world = SmtpWorld(tmp_path)
    world.door.tls = server_tls
    async with serving(world) as served:
        streams = await served.connect()
        assert (await say(streams, b"")).startswith(b"220 ")
        assert b"250-STARTTLS" in await say(streams, b"EHLO a.example\r\n")
        assert await say(streams, b"STARTTLS\r\n") == b"220 2.0.0 ready to start TLS\r\n"
        await streams[1].start_tls(opportunistic_context())
        assert b"STARTTLS" not in await say(streams, b"EHLO b.example\r\n")
        assert (await say(streams, MAIL + b"x\r\n.\r\n", 4)).count(b"\n") == 4
    client = world.kept.arrivals[0].client
    assert (client.helo, client.extended, client.account) == ("b.example", True, 0)
    assert client.tls.startswith("TLSv1.3 ")
    assert client.ip == "127.0.0.1"


@pytest.mark.parametrize("split", [False, True])
async def test_octets_before_the_handshake_never_run(
    split: bool, tmp_path: Path, server_tls: ssl.SSLContext
) -> None:
    """Attack row 3 (CVE-2021-33515): in one segment they are dropped; after it they break the handshake."""
    world = SmtpWorld(tmp_path)
    world.door.tls = server_tls
    async with serving(world) as served:
        streams = await served.connect()
        await say(streams, b"EHLO a.example\r\n", 2)
        evil = b"EHLO evil\r\n" + MAIL + b"x\r\n.\r\n"
        answer = await say(streams, b"STARTTLS\r\n" + (b"" if split else evil))
        assert answer.startswith(b"220 ")
        if split:
            streams[1].write(evil)
            assert b"250" not in await until_closed(streams)
        else:
            await streams[1].start_tls(opportunistic_context())
            assert (
                await say(streams, b"MAIL FROM:<a@example.org>\r\n")
                == b"503 5.5.1 bad sequence of commands\r\n"
            )
    assert not world.kept.arrivals


@pytest.mark.parametrize("intercepted", [False, True])
async def test_a_login_bound_to_our_certificate(
    intercepted: bool, tmp_path: Path, server_tls: ssl.SSLContext
) -> None:
    """SCRAM-SHA-256-PLUS: the client signs the certificate it saw; somebody in between shows another."""
    world = SmtpWorld(tmp_path, {"profile": "submission", "scram": ""})
    world.door.tls = server_tls
    verifier = make_verifier(Secret("secret-a"), 4096)
    world.rows.put_account("carol@example.test", secret=verifier.encode(), kind="scram-sha-256")
    async with serving(world) as served:
        streams = await served.connect()
        await say(streams, b"EHLO a.example\r\nSTARTTLS\r\n", 3)
        await streams[1].start_tls(opportunistic_context())
        offered = await say(streams, b"EHLO a.example\r\n")
        assert b"AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" in offered
        seen = streams[1].get_extra_info("ssl_object").getpeercert(binary_form=True)
        bound = b"another" if intercepted else hashlib.sha256(seen).digest()
        client = ScramClient("secret-a", "p=tls-server-end-point,,", "carol@example.test", bound)
        first = base64.b64encode(client.first())
        challenge = await say(streams, b"AUTH SCRAM-SHA-256-PLUS " + first + b"\r\n")
        answer = await say(streams, base64.b64encode(client.final(base64.b64decode(challenge[4:]))) + b"\r\n")
        if intercepted:
            assert answer.startswith(b"535 ")
        else:
            assert base64.b64decode(answer[4:]) == b"v=" + base64.b64encode(client.server)
            assert (await say(streams, b"\r\n")).startswith(b"235 ")


# --- slow clients (row 11) --------------------------------------------------------------------------------


async def trickle(streams: Streams, octets: bytes) -> None:
    """An octet now and then, never silent for long, until the server closes."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        for octet in octets:
            streams[1].write(bytes([octet]))
            await streams[1].drain()
            sent += 1
            await asyncio.sleep(0.02)
            if streams[0].at_eof():
                break
    assert 1 < sent < len(octets)
    await until_closed(streams)


@pytest.mark.parametrize("begin", [b"", b"EHLO a\r\nMAIL FROM:<a@example.org>\r\n"])
async def test_a_trickled_command_ends_at_its_deadline(begin: bytes, tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path, {"smtp.command_seconds": "0.3"})
    async with serving(world) as served:
        streams = await served.connect()
        await say(streams, begin, 3 if begin else 1)
        await trickle(streams, b"N" * 1000)
        assert not served.acceptor.connections


@pytest.mark.parametrize("begin", [MAIL, MAIL[:-6] + b"BDAT 5000\r\n"])
async def test_a_trickled_content_ends_at_its_deadline(begin: bytes, tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path, {"smtp.data_seconds": "0.3"})
    async with serving(world) as served:
        streams = await served.connect()
        await say(streams, b"HELO a\r\n", 2)
        await say(streams, begin, 3 if begin == MAIL else 2)
        await trickle(streams, b"x" * 1000)
        assert not served.acceptor.connections
    assert not world.kept.arrivals


async def test_a_client_that_never_reads_is_closed(tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path, {"smtp.command_seconds": "0.5", "smtp.bad_commands": "1000000"})
    async with serving(world) as served:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", served.port))
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(30):
            with contextlib.suppress(ConnectionError):
                while True:
                    await loop.sock_sendall(sock, b"BOGUS\r\n" * 10_000)
            while served.acceptor.connections:
                await asyncio.sleep(0.02)
        sock.close()


async def test_a_silent_client_is_told_the_time(tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path, {"smtp.command_seconds": "0.2"})
    async with serving(world) as served:
        streams = await served.connect()
        assert (await until_closed(streams)).endswith(b"421 4.4.2 timeout\r\n")


async def test_a_client_lost_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path)
    async with serving(world) as served:
        streams = await served.connect()
        await say(streams, b"HELO a\r\n" + MAIL, 5)
        streams[1].write(b"y" * 3_000_000)
        await streams[1].drain()
        streams[1].transport.abort()
        while served.acceptor.connections:
            await asyncio.sleep(0.01)
    assert not world.kept.arrivals
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.long)])
async def test_slow_clients_cost_the_good_ones_nothing(count: int, tmp_path: Path) -> None:
    """Every good mail is taken while the slow clients are held; then each of those meets its deadline."""
    world = SmtpWorld(
        tmp_path, {"smtp.command_seconds": str(4 + count / 200), "smtp.data_seconds": str(4 + count / 200)}
    )
    world.settings = msgspec.structs.replace(world.settings, limits=Limits(connections_per_ip=10_000))
    async with serving(world) as served:
        slow = [await served.connect() for _ in range(count)]
        for number, streams in enumerate(slow):
            streams[1].write((b"EH", b"HELO a\r\nMA", b"HELO a\r\n" + MAIL + b"x")[number % 3])
        for _ in range(50):
            good = await served.connect()
            said = await say(good, b"HELO a\r\n" + MAIL + b"x\r\n.\r\nQUIT\r\n", 7)
            assert b"\n250 2.0.0 accepted as " in said
            for streams in slow[:20]:
                streams[1].write(b"x")
        assert len(world.kept.arrivals) == 50
        async with asyncio.timeout(30):
            while served.acceptor.connections:
                await asyncio.sleep(0.05)
    assert len(world.kept.arrivals) == 50


# --- draining ---------------------------------------------------------------------------------------------


async def test_draining_waits_for_the_mail_in_hand(tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path)
    async with serving(world) as served:
        idle, busy = await served.connect(), await served.connect()
        await say(idle, b"HELO a\r\n", 2)
        await say(busy, b"HELO a\r\n" + MAIL, 5)
        for connection in served.acceptor.connections:
            connection.drain_away()
        assert await until_closed(idle) == b"421 4.3.2 shutting down; try again\r\n"
        busy[1].write(b"x\r\n.\r\n")
        said = await until_closed(busy)
        assert said.startswith(b"250 2.0.0 accepted as ")
        assert said.endswith(b"421 4.3.2 shutting down; try again\r\n")
    assert len(world.kept.arrivals) == 1


# --- PROXY (row 14) ---------------------------------------------------------------------------------------

V1 = b"PROXY TCP4 198.51.100.7 192.0.2.1 5000 25\r\n"
V2 = SIGNATURE + b"\x21\x11\x00\x0c" + bytes([198, 51, 100, 7, 192, 0, 2, 1]) + b"\x13\x88\x00\x19"


def trusting(world: SmtpWorld, *networks: str) -> SmtpWorld:
    server = msgspec.structs.replace(world.settings.server, proxy_from=networks)
    assert isinstance(server, Server)
    world.settings = msgspec.structs.replace(world.settings, server=server)
    return world


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("cut", [0, 3, 14])
async def test_a_trusted_proxy_is_believed(header: bytes, cut: int, tmp_path: Path) -> None:
    world = trusting(SmtpWorld(tmp_path), "127.0.0.0/8")
    async with serving(world) as served:
        streams = await served.connect()
        streams[1].write(header[:cut])
        await streams[1].drain()
        await asyncio.sleep(0.05)
        said = await say(streams, header[cut:] + b"HELO a\r\n" + MAIL + b"x\r\n.\r\n", 6)
        assert said.splitlines()[-1].startswith(b"250 2.0.0 accepted")
    assert (world.kept.arrivals[0].client.ip, world.kept.arrivals[0].client.port) == ("198.51.100.7", 5000)


@pytest.mark.parametrize(
    "begin",
    [
        b"HELO a\r\n",
        b"PROXY TCP4 1.2.3.4 junk\r\n",
        b"PROXY " + b"x" * 200,
        SIGNATURE + b"\x21\x11\x00\x02ab",
        b"\x16\x03\x01",
    ],
)
async def test_a_trusted_proxy_without_a_good_header_is_closed(begin: bytes, tmp_path: Path) -> None:
    world = trusting(SmtpWorld(tmp_path), "127.0.0.1")
    async with serving(world) as served:
        streams = await served.connect()
        streams[1].write(begin)
        assert await until_closed(streams) == b""


@pytest.mark.parametrize("header", [V1, V2, b"XCLIENT ADDR=198.51.100.7\r\n"], ids=["v1", "v2", "xclient"])
async def test_a_stranger_is_not_believed(header: bytes, tmp_path: Path) -> None:
    """CVE-2026-42008 and its like: the header is a bad command, and the address stays the peer's."""
    world = trusting(SmtpWorld(tmp_path), "203.0.113.0/24")
    async with serving(world) as served:
        streams = await served.connect()
        streams[1].write(header + b"\r\nEHLO a.example\r\n" + MAIL + b"x\r\n.\r\nQUIT\r\n")
        said = await until_closed(streams)
        assert b"\r\n500 5.5.2 " in said
        assert said.endswith(b"221 2.0.0 bye\r\n")
    assert world.kept.arrivals[0].client.ip == "127.0.0.1"


@pytest.mark.parametrize(
    ("ip", "trusted"),
    [
        ("127.0.0.1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("fe80::1%lo", False),
        ("", False),
    ],
)
def test_trust(ip: str, trusted: bool) -> None:
    assert is_trusted(ip, ("127.0.0.0/8", "2001:db8::/32")) is trusted
    assert not is_trusted(ip, ())
