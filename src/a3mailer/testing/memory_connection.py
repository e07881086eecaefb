"""A connection without a socket, and a stage to play transcripts against any door.

``Stage(serve)`` runs ``serve(connection)`` in a task of its own for every session it opens; a session's
``feed`` returns when the door waits for input again, so that plays are deterministic.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final

from a3mailer.edge.connection import Connection, ConnectionLost

PATIENCE: Final = 30.0
"""Seconds a door may take before it waits for input again; a test that meets it fails."""


class MemoryConnection(Connection):
    """Has Connection's methods; octets come from ``put`` and go to ``taken``."""

    __slots__ = ("_eof", "_input", "_output", "_tls", "names", "waits", "wake")

    def __init__(
        self,
        peer: tuple[str, int] = ("192.0.2.1", 40000),
        local: tuple[str, int] = ("192.0.2.25", 25),
        *,
        secure: bool = False,
    ) -> None:
        self._input = bytearray()
        self._output = bytearray()
        self._eof = False
        self.names: tuple[str, ...] = ()
        """Addresses in the client's certificate."""
        self._tls = "TLSv1.3 TLS_AES_256_GCM_SHA384"
        self.waits = asyncio.Event()
        self.wake = asyncio.Event()
        self.peer = peer
        self._local = local
        self.secure = secure
        self.closed = False
        self.deadline = 0.0
        self.idle = False
        self.draining = False

    # --- the test's side ---------------------------------------------------------------------------

    def put(self, octets: bytes) -> None:
        """The client sends; nobody hears it once the server has closed."""
        if octets and not self.closed:
            self._input += octets
            self.waits.clear()
            self.wake.set()

    def end(self) -> None:
        """The client has finished."""
        self._eof = True
        self.waits.clear()
        self.wake.set()

    def taken(self) -> bytes:
        """What the server wrote since the last call."""
        out = bytes(self._output)
        self._output.clear()
        return out

    # --- the door's side ---------------------------------------------------------------------------

    async def read(self) -> bytes:
        while not await self.readable():
            pass
        octets = bytes(self._input)
        self._input.clear()
        return octets

    async def attend(self, take: Callable[[bytes], bool]) -> None:
        while take(await self.read()):
            pass

    async def readable(self) -> bool:
        self._nudged = False
        while not self._input and not self._eof and not self._nudged:
            if self.closed:
                raise ConnectionLost("closed")
            self.wake.clear()
            self.waits.set()
            await self.wake.wait()
        if self.closed:
            raise ConnectionLost("closed")
        return not self._nudged

    def nudge(self) -> None:
        """The door has something to say."""
        self._nudged = True
        self.waits.clear()
        self.wake.set()

    def expire(self) -> None:
        """The deadline has passed."""
        self.close()

    def write(self, octets: bytes | memoryview, *, last: bool = False) -> None:
        if not self.closed:
            self._output += octets

    @property
    def unsent(self) -> int:
        return 0

    async def drain(self) -> None:
        return

    async def flushed(self) -> None:
        return

    async def start_tls(self, context: ssl.SSLContext) -> None:
        self.secure = True

    @property
    def tls(self) -> str:
        return self._tls if self.secure else ""

    @property
    def certified(self) -> tuple[str, ...]:
        return self.names

    @property
    def tls_socket(self) -> ssl.SSLSocket | None:
        return None

    @property
    def raw(self) -> socket.socket:
        raise ConnectionLost("a memory connection has no socket")

    @property
    def parkable(self) -> bool:
        return False  # there is no descriptor to wait on

    def close(self) -> None:
        self.closed = True
        self.waits.set()
        self.wake.set()


class MemorySession:
    """A transcript's Session over a MemoryConnection."""

    def __init__(self, connection: MemoryConnection) -> None:
        self.connection = connection

    @property
    def closed(self) -> bool:
        return self.connection.closed

    async def greeting(self) -> bytes:
        return await self.feed(b"")

    async def feed(self, octets: bytes) -> bytes:
        self.connection.put(octets)
        async with asyncio.timeout(PATIENCE):
            await self.connection.waits.wait()
        for _ in range(3):  # whoever was woken by another session's act has had its turn
            await asyncio.sleep(0)
            await self.connection.waits.wait()
        return self.connection.taken()


class Stage:
    """Owns the tasks of the sessions it opens; leaving it ends them all."""

    def __init__(
        self,
        serve: Callable[[MemoryConnection], Awaitable[None]],
        connect: Callable[[int], MemoryConnection] = lambda number: MemoryConnection(("192.0.2.1", number)),
    ) -> None:
        self._serve = serve
        self._connect = connect
        self._group = asyncio.TaskGroup()
        self._connections: list[MemoryConnection] = []

    async def __aenter__(self) -> Stage:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._connections:
            connection.end()
        await self._group.__aexit__(kind, error, trace)

    def open(self, number: int) -> MemorySession:
        """A new connection with its own serving task."""
        connection = self._connect(number)
        self._connections.append(connection)
        self._group.create_task(self._run(connection))
        return MemorySession(connection)

    async def _run(self, connection: MemoryConnection) -> None:
        try:
            await self._serve(connection)
        except ConnectionLost:
            pass
        finally:
            connection.close()
