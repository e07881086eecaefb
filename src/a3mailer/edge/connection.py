"""One connection, plain or TLS, on a non-blocking socket (ADR 0005): read, write, start TLS, let go.

The descriptor stays ours, so an idle connection can be parked in a raw epoll set (``edge/park.py``) and
a TLS one costs an SSLSocket and nothing more. One reader at a time; writes are taken whole and sent as
the peer allows; ``drain`` waits while more than HIGH_WATER is unsent.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final, cast

RECEIVE: Final = 256 * 1024
"""Octets asked of one recv."""
HIGH_WATER: Final = 256 * 1024
"""Unsent octets above which ``drain`` waits."""

DER: Final = 2
"""``_ssl.ENCODING_DER``."""

_LAST: Final = socket.MSG_MORE
_WANT = (BlockingIOError, InterruptedError, ssl.SSLWantReadError)


class ConnectionLost(ConnectionError):
    """The peer is gone, or was too slow for its deadline. Rooms below know it by its built-in base."""


def in_words(error: OSError) -> str:
    """Why a connection is gone: ``the connection is lost: Connection reset by peer``."""
    return f"the connection is lost: {error.strerror or error}"


class Draining(ConnectionLost):
    """The worker is to end and this connection is between two pieces of work: say goodbye."""


class Connection:
    """A socket with one owner task.

    ``deadline`` is the loop time at which a wait ends in ConnectionLost. While ``idle`` is true (its door
    says so between commands or mails) a draining worker ends the wait in Draining.
    """

    __slots__ = ("_fd", "_local", "_loop", "_nudged", "_reader", "_reading", "_ready", "_sock", "_take",
                 "_unsent", "_unsent_size", "_waiter", "_why", "_writer", "closed", "deadline", "draining",
                 "idle", "peer", "secure")  # fmt: skip

    def __init__(
        self, sock: socket.socket, peer: tuple[str, int], local: tuple[str, int] | None = None
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._fd = sock.fileno()
        self._loop = asyncio.get_running_loop()
        self._nudged = False
        self._reader = False
        self._ready = False
        """Input was announced and not read yet."""
        self._reading = False
        """The wait in progress is for input."""
        self._take: Callable[[bytes], bool] | None = None
        """Who gets what comes, while ``attend`` waits."""
        self._writer = False
        self._unsent: deque[bytes | memoryview] | None = None
        """Made at the first write that the peer does not take at once, dropped when all is sent."""
        self._unsent_size = 0
        self._waiter: asyncio.Future[None] | None = None
        self.peer = peer
        self._local = local
        self._why = "closed"
        """What who waits is told once it is."""
        self.secure = isinstance(sock, ssl.SSLSocket)
        self.closed = False
        self.deadline = 0.0
        self.idle = False
        self.draining = False

    @property
    def local(self) -> tuple[str, int]:
        """Our own address, asked of the kernel when somebody wants to know. Raises ConnectionLost."""
        if self._local is None:
            try:
                self._local = self._sock.getsockname()[:2]
            except OSError as error:
                raise ConnectionLost(str(error)) from error
        return self._local

    # --- reading -----------------------------------------------------------------------------------

    async def read(self) -> bytes:
        """Some octets, as many as came; b"" when the peer has finished. Raises ConnectionLost."""
        while True:
            if self.closed:
                raise ConnectionLost(self._why)
            if self.draining and self.idle:
                raise Draining("draining")
            if self._reader and not self._ready and not self.secure:
                # the loop will say when there is something: no vain recv, and no frame more than one
                waiter = self._waiter = self._loop.create_future()
                self._reading = True
                try:
                    await waiter
                finally:
                    self._waiter = None
                    self._reading = False
                continue
            self._ready = False
            try:
                return self._sock.recv(RECEIVE)
            except _WANT:
                await self._readable()
            except ssl.SSLWantWriteError:
                await self._writable()
            except ssl.SSLZeroReturnError:
                return b""
            except OSError as error:
                raise ConnectionLost(in_words(error)) from error

    async def attend(self, take: Callable[[bytes], bool]) -> None:
        """Give ``take`` what comes as it comes, until it answers False; b"" when the peer is gone.

        The loop calls it, no task has to run for it: it must not wait. Raises ConnectionLost."""
        if self.secure:  # TLS may hold octets that the descriptor knows nothing of
            while take(await self.read()):
                pass
            return
        self._take = take
        try:
            while self._take is not None:
                if self.closed:
                    raise ConnectionLost(self._why)
                if self.draining and self.idle:
                    raise Draining("draining")
                if self._ready:  # input was announced while nobody read
                    self._ready = False
                    self._give(take)
                else:
                    await self._readable()
        finally:
            self._take = None

    def _give(self, take: Callable[[bytes], bool]) -> None:
        """Read once and hand it over."""
        try:
            octets = self._sock.recv(RECEIVE)
        except _WANT:
            return
        except OSError:
            octets = b""
        try:
            if take(octets):
                return
        except BaseException as error:
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(error)  # it ends this connection's task, as if it had been there
            raise
        self._take = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def readable(self) -> bool:
        """Wait until ``read`` would have something (input, or the end): True; or ``nudge``: False."""
        if self.closed:
            raise ConnectionLost(self._why)
        if self.draining and self.idle:
            raise Draining("draining")
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            return True
        self._nudged = False
        await self._readable()
        return not self._nudged

    def nudge(self) -> None:
        """End a wait in ``readable``: its door has something to say (IMAP IDLE)."""
        if self._waiter is not None and not self._waiter.done():
            self._nudged = True
            self._waiter.set_result(None)

    async def _readable(self) -> None:
        if not self._reader:
            self._loop.add_reader(self._fd, self._wake)
            self._reader = True
        self._reading = True
        try:
            await self._wait()
        finally:
            self._reading = False

    async def _wait(self) -> None:
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._take is not None:
            self._give(self._take)
            return
        self._ready = True
        if self._reading and self._waiter is not None:
            if not self._waiter.done():
                self._waiter.set_result(None)
        elif self._reader:  # nobody waits for input: stop hearing of it until somebody does
            self._loop.remove_reader(self._fd)
            self._reader = False

    def expire(self) -> None:
        """End the wait in progress with ConnectionLost: the deadline's sweeper calls this."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionLost("too slow"))

    def drain_away(self) -> None:
        """The worker is to end: an idle wait ends now, a busy connection at its next idle moment."""
        self.draining = True
        if self.idle and self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(Draining("draining"))

    # --- writing -----------------------------------------------------------------------------------

    def write(self, octets: bytes | memoryview, *, last: bool = False) -> None:
        """Send now what the peer takes, keep the rest. Never blocks, never raises: a loss shows in read.

        ``last``: the close follows at once, and leaves in the same packet."""
        if self.closed or not octets:
            return
        if self._unsent is None:
            try:
                sent = self._sock.send(octets, _LAST if last and not self.secure else 0)
            except OSError as error:
                sent = self._unsendable(error, len(octets))
            if sent == len(octets):
                return
            octets = memoryview(octets)[sent:]
            self._unsent = deque()
        self._unsent.append(octets)
        self._unsent_size += len(octets)
        if not self._writer:
            self._loop.add_writer(self._fd, self._flush)
            self._writer = True

    def _unsendable(self, error: OSError, size: int) -> int:
        """How many of ``size`` octets are done with: none for now, or all because nobody takes them."""
        if isinstance(error, (*_WANT, ssl.SSLWantWriteError)):
            return 0
        self._why = in_words(error)
        self.close()
        return size

    def _flush(self) -> None:
        unsent = self._unsent
        while unsent and not self.closed:
            piece = unsent[0]
            try:
                sent = self._sock.send(piece)
            except OSError as error:
                sent = self._unsendable(error, len(piece))
            self._unsent_size -= sent
            if sent < len(piece):
                unsent[0] = memoryview(piece)[sent:]
                break
            unsent.popleft()
        if self.closed:
            self._unsent = None
            self._unsent_size = 0
        elif not unsent:
            self._unsent = None
            self._loop.remove_writer(self._fd)
            self._writer = False
        if self._unsent_size <= HIGH_WATER // 2 and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def unsent(self) -> int:
        """Octets the peer has not taken yet."""
        return self._unsent_size

    async def drain(self) -> None:
        """Return when little is unsent. Raises ConnectionLost."""
        while self._unsent_size > HIGH_WATER:
            await self._wait()
            if self.closed:
                raise ConnectionLost(self._why)

    async def flushed(self) -> None:
        """Return when nothing is unsent. Raises ConnectionLost."""
        while self._unsent:
            await self._wait()
            if self.closed:
                raise ConnectionLost(self._why)

    def _wake_writer(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _writable(self) -> None:
        self._loop.add_writer(self._fd, self._wake_writer)
        try:
            await self._wait()
        finally:
            self._loop.remove_writer(self._fd)

    # --- TLS ---------------------------------------------------------------------------------------

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Server side of the handshake. Raises ConnectionLost. Octets sent before it are not carried over."""
        await self.flushed()
        self._forget()
        try:
            self._sock = context.wrap_socket(
                self._sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
            )
            await self._handshake()
        except (OSError, ValueError) as error:
            self.close()
            raise ConnectionLost(f"TLS: {error}") from error
        self.secure = True

    async def start_tls_client(
        self, context: ssl.SSLContext, name: str, ticket: ssl.SSLSession | None = None
    ) -> None:
        """Client side of the handshake; what ``context`` says decides whether ``name`` is verified.

        ``ticket`` is of an earlier connection under the same context."""
        await self.flushed()
        self._forget()
        try:
            self._sock = context.wrap_socket(
                self._sock, server_hostname=name, do_handshake_on_connect=False, suppress_ragged_eofs=True
            )
            if ticket is not None:
                self._sock.session = ticket
            await self._handshake()
        except (OSError, ValueError) as error:
            self.close()
            raise ConnectionLost(f"TLS: {error}") from error
        self.secure = True

    async def _handshake(self) -> None:
        sock = self._sock
        assert isinstance(sock, ssl.SSLSocket)
        self._fd = sock.fileno()
        while True:
            try:
                return sock.do_handshake()
            except ssl.SSLWantReadError:
                await self._readable()
            except ssl.SSLWantWriteError:
                await self._writable()

    @property
    def tls(self) -> str:
        """Protocol and cipher for trace headers; empty without TLS."""
        if not isinstance(self._sock, ssl.SSLSocket):
            return ""
        cipher = self._sock.cipher()
        return f"{self._sock.version()} {cipher[0]}" if cipher else ""

    @property
    def tls_ticket(self) -> ssl.SSLSession | None:
        """With what a later connection can begin; servers of TLS 1.3 give it with their first octets."""
        session = self._sock.session if isinstance(self._sock, ssl.SSLSocket) else None
        return session if session is not None and session.has_ticket else None

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """What the other side has shown (DER, its own first), verified or not; empty without TLS."""
        layer = getattr(self._sock, "_sslobj", None)  # Python 3.13 has a method of the socket's for it
        shown = layer.get_unverified_chain() if layer is not None else None
        return tuple(each.public_bytes(DER) for each in shown or ())

    @property
    def certified(self) -> tuple[str, ...]:
        """Mail addresses (subjectAltName rfc822Name) in the other side's certificate, if it was verified."""
        shown = self._sock.getpeercert() if isinstance(self._sock, ssl.SSLSocket) else None
        names = cast("tuple[tuple[str, str], ...]", (shown or {}).get("subjectAltName", ()))
        return tuple(value for kind, value in names if kind == "email")

    @property
    def tls_socket(self) -> ssl.SSLSocket | None:
        """The TLS layer, for channel bindings; None without TLS."""
        return self._sock if isinstance(self._sock, ssl.SSLSocket) else None

    @property
    def raw(self) -> socket.socket:
        """The socket itself, for parking."""
        return self._sock

    # --- the end -----------------------------------------------------------------------------------

    @property
    def parkable(self) -> bool:
        """Nothing is on its way in either direction: it may wait in an epoll set (``edge/park.py``)."""
        if self.closed or self._unsent:
            return False
        return not (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending())

    def park(self) -> int:
        """Leave the loop; the descriptor to wait on. Reading or writing comes back to the loop by itself."""
        self._forget()
        self._ready = False
        return self._fd

    def close(self) -> None:
        """Close now; unsent octets are given to the kernel as far as it takes them."""
        if self.closed:
            return
        self.closed = True
        self._forget()
        self._sock.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionLost(self._why))

    def _forget(self) -> None:
        if self._reader:
            self._loop.remove_reader(self._fd)
            self._reader = False
        if self._writer:
            self._loop.remove_writer(self._fd)
            self._writer = False
