"""Connections over real sockets: back-pressure, deadlines, TLS, draining, parking, admission."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from a3mailer.config.tree import Limits, Settings
from a3mailer.edge.connection import HIGH_WATER, Connection, ConnectionLost, Draining
from a3mailer.edge.listener import Acceptor, Listener
from a3mailer.edge.park import ParkingLot
from a3mailer.edge.tls import opportunistic_context, server_context


async def pair() -> tuple[Connection, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    return Connection(ours, ("192.0.2.1", 1), ("192.0.2.2", 25)), theirs


@pytest.fixture
def server_tls(tmp_path: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.example.test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return server_context(tmp_path / "cert.pem", tmp_path / "key.pem")


async def test_read_gives_what_came_and_then_the_end() -> None:
    connection, peer = await pair()
    peer.send(b"hello")
    assert await connection.read() == b"hello"
    peer.close()
    assert await connection.read() == b""
    connection.close()


async def test_drain_waits_for_a_slow_peer() -> None:
    connection, peer = await pair()
    loop = asyncio.get_running_loop()
    total = 8 * HIGH_WATER
    connection.write(b"x" * total)
    received = 0

    async def consume() -> None:
        nonlocal received
        while received < total:
            received += len(await loop.sock_recv(peer, 65536))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(consume())
        await connection.drain()
        await connection.flushed()
    assert received == total
    connection.close()
    peer.close()


async def test_unread_input_does_not_spin_a_wait_for_the_peer_to_read() -> None:
    connection, peer = await pair()
    loop = asyncio.get_running_loop()
    loop.call_soon(peer.send, b"first")
    assert await connection.read() == b"first"
    loop.call_later(0.05, peer.send, b"unread")
    connection.write(b"x" * (16 * HIGH_WATER))
    before = time.process_time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await connection.drain()
    assert time.process_time() - before < 0.05  # a spinning wait takes all of the second it gets
    connection.close()
    peer.close()


async def test_a_wait_past_its_deadline_ends() -> None:
    connection, peer = await pair()
    asyncio.get_running_loop().call_soon(connection.expire)
    with pytest.raises(ConnectionLost):
        await connection.read()
    connection.close()
    peer.close()


async def test_draining_ends_an_idle_wait_but_not_a_busy_one() -> None:
    connection, peer = await pair()
    loop = asyncio.get_running_loop()
    connection.idle = False
    loop.call_soon(connection.drain_away)
    loop.call_later(0.01, peer.send, b"rest")
    assert await connection.read() == b"rest"
    connection.idle = True
    with pytest.raises(Draining):
        await connection.read()
    connection.close()
    peer.close()


async def test_tls_on_both_sides_carries_octets(server_tls: ssl.SSLContext) -> None:
    left, right = socket.socketpair()
    server = Connection(left, ("", 0), ("", 0))
    client = Connection(right, ("", 0), ("", 0))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.start_tls(server_tls))
        tasks.create_task(client.start_tls_client(opportunistic_context(), "mail.example.test"))
    payload = bytes(range(256)) * 4096
    client.write(payload)
    got = bytearray()
    while len(got) < len(payload):
        got += await server.read()
    assert bytes(got) == payload
    assert server.secure and server.tls.startswith("TLSv1.")
    assert [x509.load_der_x509_certificate(shown).version.value for shown in client.certificates] == [2]
    assert server.certificates == ()
    server.close()
    client.close()


async def greeted(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, ticket: Any) -> tuple[Any, bool]:
    """A connection that begins with ``ticket`` and hears something: (its own, was the one given used?)."""
    left, right = socket.socketpair()
    server = Connection(left, ("", 0), ("", 0))
    client = Connection(right, ("", 0), ("", 0))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.start_tls(server_tls))
        tasks.create_task(client.start_tls_client(client_tls, "mail.example.test", ticket))
    server.write(b"220 hello\r\n")
    assert await client.read() == b"220 hello\r\n"
    socket_of = client.tls_socket
    assert socket_of is not None
    found = client.tls_ticket, bool(socket_of.session_reused)
    server.close()
    client.close()
    return found


async def test_a_ticket_shortens_the_next_handshake(server_tls: ssl.SSLContext) -> None:
    client_tls = opportunistic_context()
    ticket, reused = await greeted(server_tls, client_tls, None)
    assert ticket is not None and not reused
    assert (await greeted(server_tls, client_tls, ticket))[1]


async def test_a_parked_connection_is_woken_by_input_change_and_time() -> None:
    woken: list[tuple[str, str]] = []
    heard = asyncio.Event()

    def wake(record: str, reason: str) -> None:
        woken.append((record, reason))
        heard.set()

    def topics(record: str) -> tuple[tuple[int, int], ...]:
        return ((1, 1), (1, 2)) if record == "change" else ((2, 2),)

    lot = ParkingLot[str](wake, topics, lambda record: 0.0 if record == "time" else 1e18)
    pairs = []
    for name in ("input", "change", "change", "time"):
        ours, theirs = socket.socketpair()
        pairs += [ours, theirs]
        lot.park(ours.fileno(), name)
    assert len(lot) == 4
    pairs[1].send(b"DONE\r\n")
    async with asyncio.timeout(10):
        await heard.wait()
    lot.wake((1, 2))
    lot.wake((1, 1))
    lot.wake((3, 3))
    lot.sweep(1.0)
    assert woken == [("input", "input"), ("change", "change"), ("change", "change"), ("time", "time")]
    assert len(lot) == 0
    lot.close()
    for sock in pairs:
        sock.close()


@pytest.fixture
async def listening() -> AsyncIterator[socket.socket]:
    sock = socket.create_server(("127.0.0.1", 0))
    yield sock
    sock.close()


async def test_one_address_cannot_take_all_connections(listening: socket.socket) -> None:
    async def serve(connection: Connection, _trace: str) -> None:
        connection.write(b"hi\r\n")
        await connection.read()

    settings = Settings(limits=Limits(connections_per_ip=2))
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        acceptor = Acceptor(
            (Listener("smtp", (listening,), serve, b"421 too many\r\n"),), lambda: settings, tasks
        )
        acceptor.start()
        clients = []
        heard = []
        for _ in range(3):
            client = socket.socket()
            client.setblocking(False)
            await loop.sock_connect(client, listening.getsockname())
            heard.append(await loop.sock_recv(client, 100))
            clients.append(client)
        assert heard == [b"hi\r\n", b"hi\r\n", b"421 too many\r\n"]
        acceptor.stop()
        for client in clients:
            client.close()
    assert not acceptor.connections


async def test_a_failing_door_ends_its_connection_alone(listening: socket.socket) -> None:
    async def serve(connection: Connection, _trace: str) -> None:
        if await connection.read() == b"bug":
            raise RuntimeError("a bug")
        connection.write(b"fine")
        await connection.flushed()

    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        acceptor = Acceptor((Listener("smtp", (listening,), serve, b""),), Settings, tasks)
        acceptor.start()
        answers = []
        for word in (b"bug", b"ok"):
            client = socket.socket()
            client.setblocking(False)
            await loop.sock_connect(client, listening.getsockname())
            await loop.sock_sendall(client, word)
            answers.append(await loop.sock_recv(client, 100))
            client.close()
        acceptor.stop()
    assert answers == [b"", b"fine"]


# --- attending ---------------------------------------------------------------------------------


async def test_attend_gives_what_comes_until_it_is_enough() -> None:
    connection, peer = await pair()
    loop = asyncio.get_running_loop()
    taken: list[bytes] = []

    def take(octets: bytes) -> bool:
        taken.append(octets)
        if octets:
            connection.write(b"+" + octets)
        return octets not in {b"last", b""}

    for seconds, octets in ((0.0, b"one"), (0.02, b"two"), (0.04, b"last")):
        loop.call_later(seconds, peer.send, octets)
    await connection.attend(take)
    assert taken == [b"one", b"two", b"last"]
    assert peer.recv(100) == b"+one+two+last"
    peer.send(b"rest")
    assert await connection.read() == b"rest"
    peer.send(b"last")
    while not connection._ready:  # it is announced while nobody reads
        await asyncio.sleep(0)
    await connection.attend(take)
    assert taken[3:] == [b"last"]
    peer.close()
    await connection.attend(take)
    assert taken[-1] == b""
    connection.close()


async def test_what_take_raises_ends_the_wait() -> None:
    connection, peer = await pair()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)

    def take(octets: bytes) -> bool:
        raise LookupError(octets)

    peer.send(b"a bug")
    with pytest.raises(LookupError):
        await connection.attend(take)
    connection.close()
    peer.close()


async def test_attend_ends_with_its_deadline_and_when_draining() -> None:
    connection, peer = await pair()
    loop = asyncio.get_running_loop()
    loop.call_soon(connection.expire)
    with pytest.raises(ConnectionLost):
        await connection.attend(bool)
    connection.idle = True
    loop.call_soon(connection.drain_away)
    with pytest.raises(Draining):
        await connection.attend(bool)
    connection.close()
    peer.close()


async def test_a_gathered_connection_is_left_to_the_first_worker(listening: socket.socket) -> None:
    served: list[str] = []
    with listening.dup() as same:
        async with asyncio.TaskGroup() as tasks:
            workers = {}
            for name, sock, patience in (("second", same, 0.05), ("first", listening, 0.0)):

                async def serve(connection: Connection, trace: str, name: str = name) -> None:
                    served.append(name)
                    connection.write(b"x")

                door = Listener("smtp", (sock,), serve, b"", gathered=True)
                workers[name] = Acceptor((door,), Settings, tasks, patience=patience)
                workers[name].start()
            for _ in range(5):
                await meet(listening)
            assert served == ["first"] * 5
            workers["first"].stop()  # as one that is dead, or has too much to do
            await meet(listening)
            await meet(listening)
            assert served[5:] == ["second"] * 2
            workers["second"].stop()


async def meet(listening: socket.socket) -> None:
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        assert await reader.read() == b"x"
    writer.close()
