"""The HTTP door over real sockets and TLS: slow clients (row 11), and the end of a worker."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from a3mailer.config.tree import Limits, Settings
from a3mailer.edge.http import door as module
from a3mailer.edge.http.door import HttpDoor
from a3mailer.edge.http.exchange import Request, Response
from a3mailer.edge.http.routes import Route, Routes
from a3mailer.edge.listener import Acceptor, Listener
from a3mailer.edge.tls import opportunistic_context
from tests.unit.edge.test_connection import server_tls as server_tls

GET = b"GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n"
CROWD = 300
BIG = b"x" * (16 << 20)
"""More than the buffers of both ends take."""


async def big(_request: Request) -> Response:
    return Response(200, BIG)


async def echo(request: Request) -> Response:
    return Response(200, await request.read_body())


ROUTES = Routes((Route(("GET",), "/big", big), Route(("POST",), "/echo", echo, body=1 << 20)))


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Acceptor, int]]:
    """The door behind an acceptor with its sweeper, on a free port of loopback."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    settings = Settings(limits=Limits(connections_per_ip=1000))

    async def sweep(acceptor: Acceptor) -> None:
        while True:
            await asyncio.sleep(0.02)
            acceptor.sweep()

    try:
        async with asyncio.TaskGroup() as tasks:
            listener = Listener("https", (listening,), HttpDoor(ROUTES).serve, b"", tls)
            acceptor = Acceptor((listener,), lambda: settings, tasks)
            acceptor.start()
            sweeper = tasks.create_task(sweep(acceptor))
            try:
                yield acceptor, listening.getsockname()[1]
            finally:
                sweeper.cancel()
                acceptor.stop()
                for connection in list(acceptor.connections):
                    connection.close()
    finally:
        listening.close()


class Clients:
    """Connections that are let go of properly, whatever became of them."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.tls = tls
        self.writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Clients:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for writer in self.writers:
            writer.transport.abort()
        for writer in self.writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        streams = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls)
        self.writers.append(streams[1])
        return streams


async def closed(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(30):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_slow_clients_are_ended_and_others_served_meanwhile(
    monkeypatch: pytest.MonkeyPatch, server_tls: ssl.SSLContext, secure: bool
) -> None:
    """Attack row 11: octets that drip into heads and bodies, and answers that nobody reads."""
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "ANSWER_SECONDS"):
        monkeypatch.setattr(module, name, 0.4)
    monkeypatch.setattr(module, "BODY_RATE", 1 << 30)
    count = CROWD // 10 if secure else CROWD
    tls = opportunistic_context() if secure else None
    async with serving(server_tls if secure else None) as (acceptor, port), Clients(port, tls) as clients:
        slow = [await clients.connect() for _ in range(count)]
        for number, (_, writer) in enumerate(slow):
            body = b"POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\nx"
            writer.write((GET[:-3], body, GET)[number % 3])

        async def drip(writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while not writer.is_closing():
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.05)

        async with asyncio.TaskGroup() as tasks:
            dripping = [tasks.create_task(drip(writer)) for n, (_, writer) in enumerate(slow) if n % 3 == 1]
            reader, writer = await clients.connect()
            writer.write(
                b"POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
            )
            assert (await closed(reader)).endswith(b"\r\n\r\nhi")
            async with asyncio.timeout(30):
                while acceptor.connections:
                    await asyncio.sleep(0.02)
            for task in dripping:
                task.cancel()
        for reader, _ in slow:
            assert len(await closed(reader)) < len(BIG)


async def test_whoever_goes_away_in_a_body_is_no_failure_of_ours(capfd: pytest.CaptureFixture[str]) -> None:
    async with serving() as (acceptor, port), Clients(port) as clients:
        _, writer = await clients.connect()
        writer.write(b"POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\nx")
        while not acceptor.connections:
            await asyncio.sleep(0.01)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
        writer.close()
        async with asyncio.timeout(30):
            while acceptor.connections:
                await asyncio.sleep(0.01)
    assert "task.failed" not in capfd.readouterr().err


async def test_an_idle_connection_ends_with_the_worker_and_a_busy_one_is_answered() -> None:
    async with serving() as (acceptor, port), Clients(port) as clients:
        idle, _ = await clients.connect()
        busy, busy_writer = await clients.connect()
        busy_writer.write(b"POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nh")
        async with asyncio.timeout(30):
            while len(acceptor.connections) < 2 or sum(not c.idle for c in acceptor.connections) != 1:
                await asyncio.sleep(0.01)
        acceptor.stop()
        acceptor.drain_away()
        assert await closed(idle) == b""
        busy_writer.write(b"i")
        answer = await closed(busy)
        assert b"\r\nConnection: close\r\n" in answer and answer.endswith(b"hi")
