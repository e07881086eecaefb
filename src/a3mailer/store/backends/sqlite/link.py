"""A worker's side of the hand-over: large contents into the segment, then one frame at a time to the writer.

transaction -> (large contents? -> the segment thread: append, one fdatasync) -> ready -> frame -> answer

One thing at a time: the next contents are written when the frame in flight was answered. Overlapping the
two would split those who wait into two groups of half the size, at 1.4 times the CPU a mail and the same
rate (measured, ADR 0004); workers overlap each other. A frame leaves when the loop has nothing else to do,
so that a busy worker hands over more together and an idle one waits for nothing. The next frame leaves only
after the answers of the last one were used, that is after the tasks that waited for them ran and what they
wrote was flushed: so whoever finds frame n in the store knows that the clients of frame n - 1 have their
reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from a3mailer.mail import errors
from a3mailer.mail.errors import BadName, MailError, TryLater, Uncertain
from a3mailer.store.backends.sqlite.handover import (
    STALE,
    Acknowledge,
    Frame,
    FromWorker,
    FromWriter,
    Goodbye,
    Hello,
    Outcome,
    Reassembly,
    TooLong,
    Welcome,
    Work,
    decode_from_writer,
    decode_outcomes,
    encode,
    framed,
)
from a3mailer.store.backends.sqlite.segments import Record, SegmentWriter, refusal
from a3mailer.store.operations import AnyResult
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import observe

RETURN_SECONDS: Final = 20.0
"""How long callers wait for a writer that died to come back."""
RETRY_SECONDS: Final = 0.05
ACKNOWLEDGE_SECONDS: Final = 0.05
"""After this much quiet the writer is told that the last answer was used."""
AWAY: Final = "the store's writer does not answer"
IDLE_ROUND_SECONDS: Final = 40e-6
"""A round of the loop that took no longer did nothing: then what was handed over leaves."""
HOLD_SECONDS: Final = 5e-3
"""What was handed over leaves after this much work of others, however busy the loop is."""
MAX_WORKS: Final = 1000
"""Transactions in one frame."""
RECEIVE: Final = 1 << 20
_ERRORS: Final[dict[str, type[MailError]]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, MailError)
}


class StaleBlob(Exception):
    """A blob the worker found by its hash was gone: hand the content over as a new one."""


class Handover:
    """One transaction on its way."""

    __slots__ = ("future", "has_contents", "places", "records", "work")

    def __init__(
        self,
        work: Work | None,
        records: Sequence[tuple[int, Record]],
        future: asyncio.Future[tuple[AnyResult, ...]],
    ) -> None:
        self.work = work
        """Pieces that have a record get their place when it is written."""
        self.records = records
        """(piece number, record) of the contents to write."""
        self.has_contents = bool(records)
        self.places: asyncio.Future[list[tuple[int, int]]] | None = None
        """Set for contents that are only written: what ``Link.write`` waits for."""
        self.future = future

    def placed(self, places: Sequence[tuple[int, int]]) -> None:
        """Fill in where the records are now."""
        assert self.work is not None
        for (number, _), (segment, offset) in zip(self.records, places, strict=True):
            piece = self.work.pieces[number]
            piece.segment, piece.offset = segment, offset
        self.records = ()

    def fail(self, error: Exception) -> None:
        waits = self.places or self.future
        if not waits.done():
            waits.set_exception(error)

    def succeed(self, results: tuple[AnyResult, ...]) -> None:
        if not self.future.done():
            self.future.set_result(results)


class SegmentThread:
    """Appends and syncs; what queued during one sync goes with the next."""

    def __init__(
        self,
        segments: SegmentWriter,
        done: Callable[[list[Handover], list[tuple[int, int]] | OSError], None],
    ) -> None:
        self._segments = segments
        self._done = done
        self._queue: list[Handover] = []
        self._wake = threading.Condition(threading.Lock())
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="segments", daemon=True)
        self._thread.start()

    def put(self, handovers: list[Handover]) -> None:
        """Write these; ``done`` is called when they are on the disk."""
        with self._wake:
            self._queue += handovers
            self._wake.notify()

    def _take(self) -> list[Handover]:
        with self._wake:
            while not self._queue and not self._stopping:
                self._wake.wait()
            taken, self._queue = self._queue, []
            return taken

    def _run(self) -> None:
        while self._write(self._take()):
            pass

    def _write(self, taken: list[Handover]) -> bool:
        """Nothing of the contents is held when it returns: a caller may close what they were read from."""
        if not taken:
            return False
        began = time.perf_counter()
        places: list[tuple[int, int]] | OSError
        try:
            places = self._segments.write([record for handover in taken for _, record in handover.records])
        except OSError as error:
            places = error.with_traceback(None)
        observe("a3_segment_sync_seconds", time.perf_counter() - began)
        self._done(taken, places)
        return True

    def stop(self) -> None:
        """End when everything queued was written."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()
        self._segments.close()


class Link:
    """The connection to the writer. Lives on one loop; everything but the segment thread runs there."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        segments: SegmentWriter,
        connect: Callable[[], socket.socket],
        process: str,
        welcomed: Callable[[int], None],
        answered: Callable[[], None],
    ) -> None:
        """``connect`` gives a fresh connection or raises OSError; ``welcomed`` hears the store's number.

        ``answered`` is called before those who wait for an answer are told."""
        self._loop = loop
        self._connect = connect
        self._process = process
        self._welcomed = welcomed
        self._answered = answered
        self.session = secrets.randbits(63) | 1
        self._segments = SegmentThread(segments, self._written)
        self._reassembly = Reassembly()
        self._socket: socket.socket | None = None
        self._out = bytearray()
        self._ready: deque[Handover] = deque()
        self._flight: tuple[bytes, list[Handover]] | None = None
        self._number = 0
        self._used = 0
        """The last frame whose answer was used."""
        self._abandoned = 0
        self._unwritten: list[Handover] = []
        self._afoot = 0
        """Transactions whose contents are being written, or wait for their frame or its answer."""
        self._due = False
        """``_round_is_over`` will be called."""
        self._since = 0.0
        self._round_began = 0.0
        self._resting = False
        """The answers of a frame were given out, and those who wait for them have not run yet."""
        self._retry: asyncio.TimerHandle | None = None
        self._quiet: asyncio.TimerHandle | None = None
        self._greeted = False
        """Connected and welcomed: only then a frame is sent. A connection alone says nothing, the listening
        socket is the supervisor's."""
        self._patience: asyncio.TimerHandle | None = None
        self._given_up = False
        self._closed = False
        self._empty: asyncio.Future[None] | None = None
        """Waited for by ``close``: nothing is on its way any more."""
        self._connected: asyncio.Future[None] = loop.create_future()

    # --- from the store ----------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect and be welcomed. Errors: TryLater after RETURN_SECONDS."""
        self._patience = self._loop.call_later(RETURN_SECONDS, self._give_up)
        self._try_connect()
        await self._connected

    def hand_over(
        self, work: Work, records: Sequence[tuple[int, Record]]
    ) -> asyncio.Future[tuple[AnyResult, ...]]:
        """Queue it. The future's errors: those of its operations, TryLater, Uncertain, StaleBlob."""
        future: asyncio.Future[tuple[AnyResult, ...]] = self._loop.create_future()
        handover = Handover(work, records, future)
        if self._closed or self._given_up:
            handover.fail(TryLater(AWAY))
        else:
            (self._unwritten if records else self._ready).append(handover)
            self._soon()
        return future

    def _soon(self) -> None:
        """Go on when the loop has nothing else to do: what it works on now may want to leave with this."""
        if not self._due:
            self._due = True
            self._since = self._round_began = time.perf_counter()
            self._loop.call_soon(self._round_is_over)

    def _round_is_over(self) -> None:
        now = time.perf_counter()
        if now - self._round_began > IDLE_ROUND_SECONDS and now - self._since < HOLD_SECONDS:
            self._round_began = now
            self._loop.call_soon(self._round_is_over)
            return
        self._due = False
        self._go_on()

    async def write(self, records: Sequence[Record]) -> list[tuple[int, int]]:
        """Contents only, without a transaction: their places, durable. Errors: StoreFull, TryLater."""
        handover = Handover(None, [(0, record) for record in records], self._loop.create_future())
        handover.places = self._loop.create_future()
        if self._closed:
            raise TryLater(AWAY)
        self._unwritten.append(handover)
        self._go_on()
        return await handover.places

    async def close(self) -> None:
        """Hand over what waits, then say goodbye. A second time does nothing."""
        if self._closed:
            return
        if self._is_busy() and not self._given_up:
            self._empty = self._loop.create_future()
            await self._empty
        await self._loop.run_in_executor(None, self._segments.stop)
        self._closed = True
        for timer in (self._retry, self._quiet, self._patience):
            if timer is not None:
                timer.cancel()
        self._say(Goodbye())
        self._lost()
        self._give_up()

    # --- contents ----------------------------------------------------------------------------------

    def _write_contents(self) -> None:
        """All that waits, when the last ones are done: those who waited for them share this sync."""
        if self._unwritten and not self._afoot and not self._resting:
            handovers, self._unwritten = self._unwritten, []
            self._afoot = len(handovers)
            self._segments.put(handovers)

    def _done_with(self, handovers: Sequence[Handover]) -> None:
        self._afoot -= sum(handover.has_contents for handover in handovers)

    def _written(self, handovers: list[Handover], places: list[tuple[int, int]] | OSError) -> None:
        """Called by the segment thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._synced, handovers, places)

    def _synced(self, handovers: list[Handover], places: list[tuple[int, int]] | OSError) -> None:
        if isinstance(places, OSError):
            self._failed(handovers, places)
            self._done_with(handovers)
            self._go_on()
            return
        at = 0
        for handover in handovers:
            following = at + len(handover.records)
            self._place(handover, places[at:following])
            at = following
        if self._given_up:
            self._give_up()
        self._go_on()

    def _place(self, handover: Handover, places: list[tuple[int, int]]) -> None:
        if handover.places is None:
            handover.placed(places)
            self._ready.append(handover)
            return
        self._done_with([handover])
        if not handover.places.done():
            handover.places.set_result(places)

    def _failed(self, handovers: list[Handover], error: OSError) -> None:
        """Nothing of it was handed over, so nothing was done."""
        for handover in handovers:
            handover.fail(refusal(error))

    # --- frames ------------------------------------------------------------------------------------

    def _send(self) -> None:
        """The next frame, when the last one is over and there is something to say."""
        if self._flight is not None or self._resting or not self._greeted or not self._ready:
            return
        works, handovers = self._encode()
        if not handovers:
            return
        number = self._number + 1
        octets = framed(Frame(number, tuple(works)))
        self._number = number
        self._flight = (octets, handovers)
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
        self._write(octets)

    def _encode(self) -> tuple[list[msgspec.Raw], list[Handover]]:
        """Those that wait, as they travel; what cannot be encoded was our own mistake and fails with it."""
        works: list[msgspec.Raw] = []
        handovers: list[Handover] = []
        while self._ready and len(works) < MAX_WORKS:
            handover = self._ready.popleft()
            self._afoot -= handover.has_contents
            try:
                works.append(msgspec.Raw(encode(handover.work)))
            except UnicodeEncodeError:
                handover.fail(BadName("half of a surrogate pair is no text"))
            except (TypeError, ValueError, OverflowError) as error:
                handover.fail(error)
            else:
                handovers.append(handover)
                self._afoot += handover.has_contents
        return works, handovers

    def _take(self, message: FromWriter) -> None:
        if isinstance(message, Welcome):
            self._take_welcome(message)
        elif self._flight is not None and message.frame == self._number:
            self._use(message.outcomes)

    def _take_welcome(self, message: Welcome) -> None:
        """Back, or here for the first time: what is in flight was done, or is sent again."""
        self._greeted = True
        self._given_up = False
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._abandoned:
            self._abandoned = 0
            self._number = max(self._number, message.frame)
            self._used = self._number
        self._welcomed(message.commits)
        if not self._connected.done():
            self._connected.set_result(None)
        if self._flight is None:
            self._go_on()
        elif message.frame == self._number:
            self._use(decode_outcomes(message.answer))
        else:
            self._write(self._flight[0])

    def _use(self, outcomes: tuple[Outcome, ...]) -> None:
        assert self._flight is not None
        handovers, self._flight = self._flight[1], None
        self._done_with(handovers)
        self._answered()
        for handover, outcome in zip(handovers, outcomes, strict=True):
            if not outcome.error:
                handover.succeed(outcome.results)
            elif outcome.error == STALE:
                handover.fail(StaleBlob())
            else:
                handover.fail(_ERRORS.get(outcome.error, TryLater)(outcome.text))
        # The waiting tasks run in the next round of the loop and what they write leaves at its end.
        self._resting = True
        self._loop.call_soon(self._loop.call_soon, self._rested)

    def _rested(self) -> None:
        self._resting = False
        self._used = self._number
        self._soon()
        if self._quiet is None and not self._is_busy() and not self._closed:
            self._quiet = self._loop.call_later(ACKNOWLEDGE_SECONDS, self._acknowledge)

    def _is_busy(self) -> bool:
        return bool(self._flight or self._ready or self._unwritten or self._afoot or self._resting)

    def _go_on(self) -> None:
        """Whatever can be done now."""
        self._write_contents()
        self._send()
        if self._empty is not None and not self._empty.done() and not self._is_busy():
            self._empty.set_result(None)

    def _acknowledge(self) -> None:
        self._quiet = None
        self._say(Acknowledge(self._used))

    # --- the connection ----------------------------------------------------------------------------

    def _try_connect(self) -> None:
        self._retry = None
        if self._closed:
            return
        try:
            sock = self._connect()
        except OSError:
            self._retry = self._loop.call_later(RETRY_SECONDS, self._try_connect)
            return
        sock.setblocking(False)
        self._reassembly = Reassembly()
        self._out.clear()
        self._socket = sock
        self._loop.add_reader(sock.fileno(), self._readable)
        self._say(Hello(self.session, self._process, self._used, self._abandoned))

    def _lost(self) -> None:
        """The writer is gone; what is in flight stays so until it is back or RETURN_SECONDS are over."""
        sock, self._socket = self._socket, None
        if sock is None:
            return
        self._loop.remove_reader(sock.fileno())
        self._loop.remove_writer(sock.fileno())
        sock.close()
        self._greeted = False
        if self._closed:
            return
        if self._patience is None and not self._given_up:
            emit("store.writer.lost", level="warning")
            self._patience = self._loop.call_later(RETURN_SECONDS, self._give_up)
        self._retry = self._loop.call_later(RETRY_SECONDS, self._try_connect)

    def _give_up(self) -> None:
        """Nobody waits longer: what was sent is uncertain, what was not sent was not done."""
        self._given_up = True
        self._patience = None
        if not self._connected.done():
            self._connected.set_exception(TryLater(AWAY))
        if self._flight is not None:
            handovers, self._flight = self._flight[1], None
            self._done_with(handovers)
            self._abandoned = self._number
            for handover in handovers:
                handover.fail(Uncertain("the store's writer died and did not come back in time"))
        for handover in (*self._ready, *self._unwritten):
            handover.fail(TryLater(AWAY))
        self._done_with(tuple(self._ready))
        self._ready.clear()
        self._unwritten.clear()
        if self._socket is not None and not self._greeted:
            self._lost()  # the Hello in it does not say what was abandoned
        if self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def _say(self, message: FromWorker) -> None:
        self._write(framed(message))

    def _write(self, octets: bytes) -> None:
        if self._socket is None:
            return
        waiting = bool(self._out)
        self._out += octets
        if not waiting:
            self._flush()

    def _flush(self) -> None:
        if self._socket is None:
            return
        try:
            while self._out:
                del self._out[: self._socket.send(self._out)]
        except BlockingIOError:
            self._loop.add_writer(self._socket.fileno(), self._flush)
            return
        except OSError:  # buffers may be out (ENOBUFS) on a sound connection: end it, a new one goes on
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            return  # the end of the stream is read next, and handled there
        self._loop.remove_writer(self._socket.fileno())

    def _readable(self) -> None:
        if self._socket is None:
            return
        try:
            octets = self._socket.recv(RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        if not octets:
            self._lost()
            return
        try:
            for message in self._reassembly.receive(octets):
                self._take(decode_from_writer(message))
        except (TooLong, msgspec.MsgspecError) as error:
            emit("store.link.protocol", level="error", error=str(error))
            self._lost()
