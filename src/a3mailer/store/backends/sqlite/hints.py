"""Hints that something changed: one datagram a batch to every worker, loss allowed.

datagram = number of the batch (8), then (account, mailbox, modseq) of 8 octets each

A worker that misses a number, or sees the store's number ahead of what it heard, is told ``EVERYTHING``.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from a3mailer.mail.changes import EVERYTHING, Change

Hint = tuple[int, int, int]

MAX_HINTS: Final = 2_000
"""Hints in one datagram; what is more becomes EVERYTHING."""
SETTLED_SECONDS: Final = 60.0
"""Younger socket files are left alone: the kernel names a socket before it is found by its name."""
_NUMBER: Final = struct.Struct("<q")
_HINT: Final = struct.Struct("<qqq")
DATAGRAM: Final = _NUMBER.size + MAX_HINTS * _HINT.size
_ALL: Final[Hint] = (EVERYTHING.account, EVERYTHING.mailbox, EVERYTHING.modseq)


def socket_name(session: int) -> str:
    """The file name of a worker session's hint socket."""
    return f"{session:016x}.sock"


def is_bound(path: Path) -> bool:
    """Whether any process has a datagram socket of this name."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            probe.connect(f"/proc/self/fd/{folder}/{path.name}")
    except OSError:
        return False
    finally:
        os.close(folder)
    return True


def sweep(ours: Path) -> None:
    """Take away what killed workers left beside our own new socket, whose time is the file system's now."""
    settled = ours.stat().st_mtime - SETTLED_SECONDS
    for path in ours.parent.glob("*.sock"):
        with contextlib.suppress(FileNotFoundError):  # another worker did
            if path.stat().st_mtime < settled and not is_bound(path):
                path.unlink()


class HintSender:
    """The writer's end towards one worker; what a full queue did not take goes with the next datagram."""

    __slots__ = ("_socket", "_waiting")

    def __init__(self, folder: int, session: int) -> None:
        """``folder`` is a descriptor: a path through /proc is never too long for a Unix socket."""
        self._waiting: dict[tuple[int, int], int] = {}
        self._socket: socket.socket | None = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.connect(f"/proc/self/fd/{folder}/{socket_name(session)}")
        except OSError:  # a worker without a hint socket checks the store's number instead
            self.close()

    def send(self, number: int, hints: Sequence[Hint]) -> bool:
        """Send what waits and these; False while something still waits."""
        if self._socket is None:
            return True
        waiting = self._waiting
        for account, mailbox, modseq in hints:
            waiting[account, mailbox] = modseq
        if not waiting:
            return True
        if len(waiting) > MAX_HINTS:
            waiting.clear()
            waiting[_ALL[0], _ALL[1]] = _ALL[2]
        packed = b"".join([_HINT.pack(*key, modseq) for key, modseq in waiting.items()])
        try:
            self._socket.send(_NUMBER.pack(number) + packed, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            return True
        waiting.clear()
        return True

    def close(self) -> None:
        self._waiting.clear()
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class HintReceiver:
    """A worker's end: ``socket`` becomes readable, ``receive`` says what was heard."""

    def __init__(self, folder: Path, session: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / socket_name(session)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.socket.bind(f"/proc/self/fd/{descriptor}/{socket_name(session)}")
        finally:
            os.close(descriptor)
        sweep(self._path)
        self.number = 0
        """The last batch heard of."""

    def receive_one(self) -> list[Change] | None:
        """What the next datagram says; None when none waits."""
        try:
            datagram = self.socket.recv(DATAGRAM)
        except BlockingIOError:
            return None
        (self.number,) = _NUMBER.unpack_from(datagram)
        return [
            Change(account, mailbox, modseq)
            for account, mailbox, modseq in _HINT.iter_unpack(datagram[_NUMBER.size :])
        ]

    def receive(self) -> list[Change]:
        """All that waits; EVERYTHING where something was lost."""
        heard: list[Change] = []
        while (changes := self.receive_one()) is not None:
            heard += changes
        return heard

    def close(self) -> None:
        self.socket.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
