"""Accepting: one listener a named port, one owned task a connection, limits before any octet is read."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.edge.connection import Connection, ConnectionLost
from a3mailer.edge.park import Parked, ParkingLot
from a3mailer.runtime.shared import SharedCounts
from a3mailer.runtime.supervise import contained
from a3mailer.telemetry import metrics
from a3mailer.telemetry.events import emit, new_trace

ACCEPT_BURST: Final = 16
"""Connections taken at one wake-up: few, so that the other workers get theirs."""
PATIENCE_SECONDS: Final = 0.003
"""How long the other workers leave a new connection to the first one (ADR 0017)."""
HANDSHAKE_SECONDS: Final = 15.0
"""For implicit TLS and the PROXY header together."""
EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
PAUSE_SECONDS: Final = 0.5
"""How long accepting rests when the kernel has nothing left at all; the connections wait in the backlog."""
TELL_SECONDS: Final = 10.0
"""At most once in so long it is logged that connections are turned away for want of descriptors."""

Serve = Callable[[Connection, str], Awaitable[Parked | None]]
"""A door: serves one connection to its end, or until it may be parked; the text is the trace id."""
Resume = Callable[[Parked, str], Awaitable[Parked | None]]
"""The door goes on with a session it had parked; the text is why: input, change, time or stop."""
PARKED_SWEEP_SECONDS: Final = 10.0
"""How often parked connections are looked at for their time."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One named port: the sockets bound for it, the door behind it, and how it begins."""

    name: str
    sockets: tuple[socket.socket, ...]
    serve: Serve
    refusal: bytes
    """What a connection over a limit is told before it is closed."""
    tls: ssl.SSLContext | None = None
    """Implicit TLS."""
    resume: Resume | None = None
    """For doors that park."""
    limited: bool = True
    """False for private listeners (metrics)."""
    special: Callable[[Connection], Awaitable[ssl.SSLContext | None]] | None = None
    """Looks at a connection before implicit TLS: the context of a handshake that is all it is there for."""
    gathered: bool = False
    """Sessions are short and write: they are gathered at as few workers as can carry them."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A parked connection and what it needs to go on."""

    listener: Listener
    connection: Connection
    ip: str
    session: Parked


@dataclass(slots=True)
class Acceptor:
    """All listeners of one worker, and the connections that came through them."""

    listeners: tuple[Listener, ...]
    settings: Callable[[], Settings]
    tasks: asyncio.TaskGroup
    before: Callable[[Connection], Awaitable[None]] | None = None
    """Runs before TLS on connections of trusted proxies (PROXY protocol)."""
    by_ip: SharedCounts = field(default_factory=SharedCounts)
    """Connections of each address, those of other workers included."""
    connections: set[Connection] = field(default_factory=set)
    sessions: set[asyncio.Task[None]] = field(default_factory=set)
    parked: ParkingLot[Waiting] = field(init=False)
    patience: float = 0.0
    """Seconds for which gathered connections are left to another worker; 0 for the one who takes them."""
    _accepting: bool = False
    _sweep_parked_at: float = 0.0
    _reserve: int = -1
    """A descriptor held back: when all are out it takes a connection just to tell it so."""
    _told_at: float = -TELL_SECONDS

    def __post_init__(self) -> None:
        self.parked = ParkingLot(
            self._wake, lambda waiting: waiting.session.topics, lambda waiting: waiting.connection.deadline
        )

    def start(self) -> None:
        """Begin (or go on) to accept."""
        loop = asyncio.get_running_loop()
        self._accepting = True
        self._hold_back()
        for listener in self.listeners:
            for sock in listener.sockets:
                sock.setblocking(False)
                network = sock.family != socket.AF_UNIX
                if network:  # Linux hands it on to the connections
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                wait = listener.gathered and self.patience > 0
                loop.add_reader(sock.fileno(), self._leave if wait else self._accept, listener, sock, network)

    def stop(self) -> None:
        """Accept no more; what is open goes on."""
        loop = asyncio.get_running_loop()
        self._accepting = False
        self._let_reserve_go()
        self._rest(loop)

    def _rest(self, loop: asyncio.AbstractEventLoop) -> None:
        for listener in self.listeners:
            for sock in listener.sockets:
                loop.remove_reader(sock.fileno())

    def _hold_back(self) -> None:
        if self._reserve < 0:
            with contextlib.suppress(OSError):
                self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _let_reserve_go(self) -> None:
        if self._reserve >= 0:
            os.close(self._reserve)
            self._reserve = -1

    def _leave(self, listener: Listener, sock: socket.socket, network: bool) -> None:
        """Somebody is in the line: look again when the other worker had its time."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock.fileno())
        loop.call_later(self.patience, self._accept_left, listener, sock, network)

    def _accept_left(self, listener: Listener, sock: socket.socket, network: bool) -> None:
        if self._accepting:
            asyncio.get_running_loop().add_reader(sock.fileno(), self._leave, listener, sock, network)
            self._accept(listener, sock, network)

    def _accept(self, listener: Listener, sock: socket.socket, network: bool) -> None:
        for _ in range(ACCEPT_BURST):
            try:
                peer_socket, address = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                if not self._turn_away(listener, sock, error):
                    return
            else:
                self._admit(listener, peer_socket, address[:2] if network else ("", 0))

    def _turn_away(self, listener: Listener, sock: socket.socket, error: OSError) -> bool:
        """Descriptors are out: tell the next one in the line. False when that was all that can be done now.

        QUIRK: Linux takes the descriptor before it looks whether anybody is in the line (accept(2))."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._told_at > TELL_SECONDS:
            self._told_at = loop.time()
            emit("listener.exhausted", level="warning", listener=listener.name, error=str(error))
        self._let_reserve_go()
        try:
            peer_socket, _ = sock.accept()
        except BlockingIOError:
            return False
        except OSError:
            self._rest(loop)
            loop.call_later(PAUSE_SECONDS, self._go_on)
            return False
        else:
            metrics.count("a3_connections_refused_total", listener.name)
            _refuse(peer_socket, b"" if listener.tls else listener.refusal)
            return True
        finally:
            self._hold_back()

    def _go_on(self) -> None:
        if self._accepting:
            self.start()

    def _admit(self, listener: Listener, sock: socket.socket, peer: tuple[str, int]) -> None:
        metrics.count("a3_connections_total", listener.name)
        ip = peer[0]
        limits = self.settings().limits
        if listener.limited and limits.profile != "off":
            crowded = self.by_ip.count(ip) >= limits.connections_per_ip
            if crowded or len(self.connections) >= limits.connections:
                metrics.count("a3_connections_refused_total", listener.name)
                _refuse(sock, b"" if listener.tls else listener.refusal)
                return
        connection = Connection(sock, peer)
        self.connections.add(connection)
        self.by_ip.add(ip, 1)
        metrics.count("a3_connections_open", listener.name)
        self._run(listener, connection, ip, self._session(listener, connection))

    def _run(
        self, listener: Listener, connection: Connection, ip: str, work: Awaitable[Parked | None]
    ) -> None:
        task = self.tasks.create_task(self._serve(listener, connection, ip, work))
        self.sessions.add(task)
        task.add_done_callback(self.sessions.discard)

    async def _serve(
        self, listener: Listener, connection: Connection, ip: str, work: Awaitable[Parked | None]
    ) -> None:
        parked = None
        try:
            parked = await contained(work, listener.name)
        finally:
            self.connections.discard(connection)
            if parked is None or connection.closed:
                self._let_go(listener, connection, ip)
            else:
                self.parked.park(connection.park(), Waiting(listener, connection, ip, parked))
                if connection.draining:
                    self.parked.leave(connection.park(), "stop")

    def _let_go(self, listener: Listener, connection: Connection, ip: str) -> None:
        connection.close()
        metrics.count("a3_connections_open", listener.name, -1)
        self.by_ip.add(ip, -1)

    async def _session(self, listener: Listener, connection: Connection) -> Parked | None:
        trace = new_trace()
        connection.deadline = asyncio.get_running_loop().time() + HANDSHAKE_SECONDS
        try:
            if self.before is not None:
                await self.before(connection)
            if listener.tls is not None:
                special = await listener.special(connection) if listener.special is not None else None
                await connection.start_tls(special or listener.tls)
                if special is not None:
                    return None
            return await listener.serve(connection, trace)
        except ConnectionLost as lost:
            emit("connection.lost", level="debug", trace=trace, listener=listener.name, reason=str(lost))
            return None

    def _wake(self, waiting: Waiting, reason: str) -> None:
        connection = waiting.connection
        self.connections.add(connection)
        work = self._resumed(waiting, reason)
        self._run(waiting.listener, connection, waiting.ip, work)

    async def _resumed(self, waiting: Waiting, reason: str) -> Parked | None:
        try:
            resume = waiting.listener.resume
            return await resume(waiting.session, reason) if resume is not None else None
        except ConnectionLost as lost:
            emit("connection.lost", level="debug", listener=waiting.listener.name, reason=str(lost))
            return None

    def drain_away(self) -> None:
        """The worker is to end: parked and idle sessions say goodbye, busy ones after the piece in hand."""
        for _, waiting in self.parked.records():
            waiting.connection.draining = True
        self.parked.wake_all("stop")
        for connection in tuple(self.connections):
            connection.drain_away()

    def sweep(self) -> None:
        """End the waits whose deadline has passed; called once a second."""
        now = asyncio.get_running_loop().time()
        for connection in self.connections:
            if 0 < connection.deadline < now:
                connection.expire()
        if now >= self._sweep_parked_at:
            self._sweep_parked_at = now + PARKED_SWEEP_SECONDS
            self.parked.sweep(now)


def _refuse(sock: socket.socket, refusal: bytes) -> None:
    sock.setblocking(False)
    try:
        sock.send(refusal)
    except OSError as error:
        emit("connection.lost", level="debug", reason=str(error))
    sock.close()
