"""The writer: one process (or thread) that executes what the workers hand over, batch by batch.

A plain epoll loop. A batch is what arrived while the last one was being synced: no artificial delay. The
order of every round is: take what there is, commit, answer, hint. A database that cannot be written ends
the writer without an answer; the next one finds out from the database what was done.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from a3mailer.config.tree import Settings
from a3mailer.runtime import timeslice
from a3mailer.runtime.clock import Clock, SystemClock
from a3mailer.store.backends.sqlite.checkpoint import Checkpointer
from a3mailer.store.backends.sqlite.commit import Committer, Session, decode_frame, place_carried
from a3mailer.store.backends.sqlite.connection import HINTS, KEY_FILE, SEGMENTS
from a3mailer.store.backends.sqlite.handover import (
    Acknowledge,
    Answer,
    Frame,
    FromWorker,
    FromWriter,
    Goodbye,
    Hello,
    Outcome,
    Reassembly,
    TooLong,
    Welcome,
    decode_from_worker,
    framed,
)
from a3mailer.store.backends.sqlite.hints import HintSender
from a3mailer.store.backends.sqlite.prepare import open_for_writing
from a3mailer.store.backends.sqlite.segments import SegmentWriter
from a3mailer.store.backends.sqlite.unsynced import Slots
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import count, observe

RECEIVE: Final = 1 << 20
RETURN_SECONDS: Final = 30.0
"""How long a worker session without connection is waited for, when its process still lives."""
PF_EXITING: Final = 4
"""The kernel's flag of a process that has begun to end: its connections close before it is a zombie."""
ROUND_SECONDS: Final = 1.0
HINT_RETRY_SECONDS: Final = 0.02
TURN_SECONDS: Final = 0.5e-3
"""About what a batch computes. All workers wait for the writer, which itself waits for the disk mostly."""


class _Peer:
    """One connected worker."""

    __slots__ = ("hints", "memory", "out", "reassembly", "session", "socket")

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.memory = -1
        """A descriptor of its process's ``/proc/.../statm``."""
        self.session = 0
        self.reassembly = Reassembly()
        self.out = bytearray()
        self.hints: HintSender | None = None

    def know(self, process: str) -> None:
        """Who it is: ``identity_of_this`` of its process."""
        self.forget()
        with contextlib.suppress(OSError):
            number = process.partition(":")[2].partition(":")[0]
            self.memory = os.open(f"/proc/{number}/statm", os.O_RDONLY | os.O_CLOEXEC)
        if not still_alive(process):  # that number may be another process by now: nothing is known of it
            self.forget()

    def is_dying(self) -> bool:
        """Whether its process has begun to end: its memory goes first, its connections one by one later."""
        if self.memory < 0:
            return False
        try:
            return os.pread(self.memory, 2, 0) == b"0 "
        except OSError:
            return True  # it has ended

    def forget(self) -> None:
        if self.memory >= 0:
            os.close(self.memory)
            self.memory = -1

    def close(self) -> None:
        self.forget()
        self.socket.close()
        if self.hints is not None:
            self.hints.close()


class WriterLoop:
    """Serves until ``stop``. ``listener`` is a listening Unix socket, ``connected`` ends of socket pairs."""

    def __init__(
        self,
        directory: Path,
        settings: Settings,
        listener: socket.socket | None = None,
        connected: tuple[socket.socket, ...] = (),
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        opened = open_for_writing(directory, clock)
        self._lock = opened.lock
        self._connection = opened.connection
        self._committer = Committer(opened.connection, opened.ring, directory / KEY_FILE, clock)
        self._segments = SegmentWriter(directory / SEGMENTS, settings.store.segment_size, clock)
        self._slots = Slots(opened.connection, self._segments)
        self._checkpointer = Checkpointer(directory)
        self._connection.set_wal_hook(self._grown)
        hints = directory / HINTS
        hints.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._hints = os.open(hints, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._poll = select.epoll()
        self._peers: dict[int, _Peer] = {}
        self._frames: list[tuple[_Peer, Frame]] = []
        self._gone: list[_Peer] = []
        self._hints_wait = False
        self._stopping = False
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll.register(self._stop, select.EPOLLIN)
        self._listener = listener
        if listener is not None:
            listener.setblocking(False)
            self._poll.register(listener.fileno(), select.EPOLLIN)
        for sock in connected:
            self._accept(sock)

    def _grown(self, _connection: object, _name: str, pages: int) -> int:
        self._checkpointer.grown(pages)
        return 0

    def stop(self) -> None:
        """End after the round in hand; may be called once, from a signal handler or another thread.

        The loop takes the word from the descriptor, so it cannot have closed it before it was given."""
        os.eventfd_write(self._stop, 1)

    def run(self) -> None:
        """Serve. Errors: apsw.Error or Unsure when the disk cannot be written; nothing was answered then."""
        self._checkpointer.start()
        timeslice.shorten(TURN_SECONDS)  # after that start: the checkpoint has time
        try:
            while not self._stopping:
                self._round()
            self._slots.settle()
        finally:
            self._close()

    def _round(self) -> None:
        wait = HINT_RETRY_SECONDS if self._hints_wait else ROUND_SECONDS
        events = self._poll.poll(wait)
        if not events:
            self._slots.settle()
        for fd, event in events:
            if fd == self._stop:
                self._stopping = True
                continue
            if self._listener is not None and fd == self._listener.fileno():
                self._take_connections()
            elif (peer := self._peers.get(fd)) is not None:
                self._serve(peer, event)
        self._settle()

    def _take_connections(self) -> None:
        assert self._listener is not None
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            self._accept(sock)

    def _accept(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._peers[sock.fileno()] = _Peer(sock)
        self._poll.register(sock.fileno(), select.EPOLLIN)

    # --- one peer ----------------------------------------------------------------------------------

    def _serve(self, peer: _Peer, event: int) -> None:
        if event & select.EPOLLOUT:
            self._flush(peer)
        if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            try:
                alive = self._receive(peer)
            except (TooLong, msgspec.MsgspecError) as error:
                emit("store.writer.protocol", level="error", error=str(error))
                alive = False
            if not alive:
                self._gone.append(peer)

    def _receive(self, peer: _Peer) -> bool:
        """Read what there is; False at the end of the stream: it has to be seen in the round it came, for
        the frames of a worker that is gone come first."""
        while True:
            try:
                octets = peer.socket.recv(RECEIVE)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not octets:
                return False
            for message in peer.reassembly.receive(octets):
                self._take(peer, decode_from_worker(message))

    def _take(self, peer: _Peer, message: FromWorker) -> None:
        sessions = self._committer.sessions
        if isinstance(message, Frame):
            self._frames.append((peer, message))
        elif isinstance(message, Hello):
            self._welcome(peer, message)
        elif isinstance(message, Acknowledge):
            sessions[peer.session].acknowledged = message.frame
        elif isinstance(message, Goodbye):
            self._committer.end_session(peer.session, clean=True)

    def _welcome(self, peer: _Peer, hello: Hello) -> None:
        peer.session = hello.session
        known = self._committer.sessions.setdefault(hello.session, Session(hello.process))
        known.acknowledged = max(known.acknowledged, hello.frame)
        if hello.abandoned:
            self._committer.abandon(hello.session, hello.abandoned)
        peer.know(hello.process)
        peer.hints = HintSender(self._hints, hello.session)
        self._send(peer, Welcome(known.frame, known.answer, self._committer.commits))

    def _send(self, peer: _Peer, message: FromWriter) -> None:
        peer.out += framed(message)
        self._flush(peer)

    def _flush(self, peer: _Peer) -> None:
        try:
            while peer.out:
                del peer.out[: peer.socket.send(peer.out)]
        except BlockingIOError:
            self._poll.modify(peer.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)
            return
        except OSError:  # buffers may be out (ENOBUFS) on a sound connection: end it, the worker comes back
            with contextlib.suppress(OSError):
                peer.socket.shutdown(socket.SHUT_RDWR)
            return  # its end of stream is read in this round or the next
        self._poll.modify(peer.socket.fileno(), select.EPOLLIN)

    # --- the round ---------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Commit what came. Frames of workers that are gone first: a client of theirs may try again."""
        if self._frames:
            self._find_dying()
        if self._gone:
            last = [pair for pair in self._frames if pair[0] in self._gone]
            self._frames = [pair for pair in self._frames if pair[0] not in self._gone]
            self._batch(last)
            for peer in self._gone:
                self._drop(peer)
            self._gone.clear()
        self._end_lost_sessions()
        frames, self._frames = self._frames, []
        self._batch(frames)
        if self._hints_wait:
            self._hint([])

    def _find_dying(self) -> None:
        """A client of a dying worker can be back with another one before this end sees the end."""
        for peer in self._peers.values():
            if peer not in self._gone and peer.is_dying():
                self._serve(peer, select.EPOLLIN)  # its last words
                if peer not in self._gone:
                    self._gone.append(peer)

    def _batch(self, frames: list[tuple[_Peer, Frame]]) -> None:
        frames = [(peer, frame) for peer, frame in frames if self._is_next(peer, frame)]
        if not frames:
            return
        began = time.perf_counter()
        batches = [decode_frame(peer.session, frame) for peer, frame in frames]
        outcomes = self._committer.commit(batches, place_carried(batches, self._slots))
        observe("a3_store_commit_seconds", time.perf_counter() - began)
        count("a3_store_batches_total")
        count("a3_store_commits_total", by=sum(map(len, outcomes)))
        self._hint(self._committer.take_hints())  # first: who has an answer has heard of its changes
        for (peer, frame), outcome in zip(frames, outcomes, strict=True):
            self._answer(peer, frame.number, outcome)

    def _is_next(self, peer: _Peer, frame: Frame) -> bool:
        """A frame that is done already was sent again over a new connection: Welcome answered it."""
        known = self._committer.sessions.get(peer.session)
        return known is not None and frame.number > known.frame

    def _answer(self, peer: _Peer, number: int, outcomes: tuple[Outcome, ...]) -> None:
        self._send(peer, Answer(number, outcomes, self._committer.commits))

    def _hint(self, hints: list[tuple[int, int, int]]) -> None:
        number = self._committer.commits
        self._hints_wait = False
        for peer in self._peers.values():
            if peer.hints is not None and not peer.hints.send(number, hints):
                self._hints_wait = True

    def _drop(self, peer: _Peer) -> None:
        """The connection ended: of a process that died its session ends too, else it may come back."""
        fd = peer.socket.fileno()
        if self._peers.pop(fd, None) is None:
            return
        self._poll.unregister(fd)
        peer.close()
        if (known := self._committer.sessions.get(peer.session)) is not None:
            known.seen = time.monotonic()
            if not still_alive(known.process):
                self._committer.end_session(peer.session, clean=False)

    def _end_lost_sessions(self) -> None:
        """Sessions without connection end when their process is gone or after RETURN_SECONDS."""
        connected = {peer.session for peer in self._peers.values()}
        if self._committer.sessions.keys() <= connected:
            return
        now = time.monotonic()
        for session, known in list(self._committer.sessions.items()):
            if session not in connected and (
                now - known.seen > RETURN_SECONDS or not still_alive(known.process)
            ):
                self._committer.end_session(session, clean=False)

    def _close(self) -> None:
        self._connection.close()
        self._checkpointer.stop()
        self._segments.close()
        for peer in self._peers.values():
            peer.close()
        self._poll.close()
        os.close(self._stop)
        os.close(self._hints)
        os.close(self._lock)


def identity_of_this() -> str:
    """Boot, process id and start time of this process: never the same for two processes."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}:{os.getpid()}:{_start_time(os.getpid())}"


def _start_time(pid: int) -> str:
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    fields = text[text.rindex(")") + 2 :].split()
    ended = fields[0] == "Z" or int(fields[6]) & PF_EXITING
    return "" if ended else fields[19]


def still_alive(identity: str) -> bool:
    """Whether the process of ``identity_of_this`` still runs."""
    boot, _, rest = identity.partition(":")
    pid, _, started = rest.partition(":")
    if boot != Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip():
        return False
    try:
        return _start_time(int(pid)) == started
    except (OSError, ValueError):
        return False


def run_writer(
    directory: Path, settings: Settings, listener: socket.socket, ready: Callable[[], None]
) -> None:
    """The writer process: serves ``listener`` until SIGTERM or SIGINT; ``ready`` is called when it does.

    Errors: StoreUnusable; apsw.Error or Unsure when the disk cannot be written, after which the process has
    to end and a new one to be started: workers wait for it and lose nothing."""
    loop = WriterLoop(directory, settings, listener)

    def stop(*_: object) -> None:
        with contextlib.suppress(OSError):  # it has ended already
            loop.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    ready()
    loop.run()
