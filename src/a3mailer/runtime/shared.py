"""Memory that forked processes share, made before the fork: counts by key, and a bounded table of pairs.

Keys are hashed with a secret of the instance's life, so that a stranger cannot choose where his lie.  What is
counted here bounds strangers; it is forgotten at a restart, and an error of a hash that collides is an error
on the strict side.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import mmap
import os
import struct
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Final

COUNT_SLOTS: Final = 1 << 14
REMEMBERED: Final = 1024
"""Keys whose places are kept; when full, they are worked out anew."""
WAYS: Final = 8
"""Pairs that may lie in the place of a key; the least of them makes room."""
LEAST: Final = 2.0**-30
LOCK_TRIES: Final = 200
"""Then it is done without the lock: one count may get lost, nobody waits for a process that is stopped."""
MAGIC: Final = b"a3table\1"
SECRET: Final = 16
HEADER: Final = len(MAGIC) + SECRET
"""Octets before the cells: what the file is, and the secret its keys are hashed with."""
_CELL: Final = struct.Struct("<Qdd")
_SPOTS: Final = struct.Struct("<II")


class SharedCounts:
    """How many of a key there are over all processes.  Each process counts in a row of its own: that needs no
    lock, and is cleared when the process is replaced.  Two slots a key; the smaller sum counts."""

    __slots__ = ("_at", "_cells", "_known", "_map", "_secret", "_slots")

    def __init__(self, rows: int = 1, slots: int = COUNT_SLOTS) -> None:
        self._secret = os.urandom(16)
        self._slots = slots
        self._map = mmap.mmap(-1, rows * slots * 4)
        self._cells = memoryview(self._map).cast("I")
        self._known: dict[str, frozenset[int]] = {}
        """Where keys lie that were asked for lately: who comes soon goes, and often comes again."""
        self._at = 0

    def take_row(self, row: int) -> None:
        """Count in this row from now on; what its former owner had counted is gone with it."""
        self._at = row * self._slots
        self._map[self._at * 4 : (self._at + self._slots) * 4] = bytes(self._slots * 4)

    def _spots(self, key: str) -> frozenset[int]:
        spots = self._known.get(key)
        if spots is None:
            digest = blake2b(key.encode("utf-8", "replace"), key=self._secret, digest_size=8).digest()
            spots = frozenset(spot % self._slots for spot in _SPOTS.unpack(digest))
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = spots
        return spots

    def add(self, key: str, by: int) -> None:
        """One more (1) or one less (-1) in this process."""
        for spot in self._spots(key):
            self._cells[self._at + spot] = max(0, self._cells[self._at + spot] + by)

    def count(self, key: str) -> int:
        """How many there are in all processes; never too few."""
        return min(sum(self._cells[spot :: self._slots]) for spot in self._spots(key))


class SharedTable:
    """Key -> (amount, time): amounts fall to half in ``half_life`` seconds.  Bounded: where it is full, the
    least by now goes first, so that a flood of new keys pushes out its own.

    With a ``path`` it is that file's memory: it outlives the processes, and what a power cut loses of it is
    merely forgotten.  A file of another size or kind is begun anew."""

    __slots__ = ("_buckets", "_fd", "_half_life", "_map", "_secret")

    def __init__(self, slots: int, half_life: float, path: Path | None = None) -> None:
        self._half_life = half_life
        self._buckets = max(1, slots // WAYS)
        size = HEADER + self._buckets * WAYS * _CELL.size
        if path is None:
            self._fd = os.memfd_create("a3mailer-shared", os.MFD_CLOEXEC)
        else:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        kept = os.fstat(self._fd).st_size == size and os.pread(self._fd, len(MAGIC), 0) == MAGIC
        if not kept:
            os.ftruncate(self._fd, 0)
            os.ftruncate(self._fd, size)  # zeros, which take no memory until they are written to
            if path is not None:
                os.posix_fallocate(self._fd, 0, size)  # without room now a write later would be a SIGBUS
        self._map = mmap.mmap(self._fd, size)
        if not kept:
            self._map[:HEADER] = MAGIC + os.urandom(SECRET)
        self._secret = self._map[len(MAGIC) : HEADER]

    def __del__(self) -> None:
        os.close(self._fd)

    @contextmanager
    def locked(self) -> Generator[None, None, None]:
        """Nobody else changes the table meanwhile; ends with the process that holds it."""
        held = self._lock()
        try:
            yield
        finally:
            if held:
                fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def _lock(self) -> bool:
        for _ in range(LOCK_TRIES):
            with contextlib.suppress(BlockingIOError):
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
        return False

    def _place(self, key: str) -> tuple[int, int]:
        """(tag, offset of its bucket)."""
        digest = blake2b(key.encode("utf-8", "replace"), key=self._secret, digest_size=12).digest()
        bucket = int.from_bytes(digest[8:], "little") % self._buckets
        return int.from_bytes(digest[:8], "little") or 1, HEADER + bucket * WAYS * _CELL.size

    def _cells(self, at: int) -> list[tuple[int, float, float]]:
        return list(_CELL.iter_unpack(self._map[at : at + WAYS * _CELL.size]))

    def get(self, key: str) -> tuple[float, float] | None:
        """The pair of a key."""
        tag, at = self._place(key)
        for found, first, second in self._cells(at):
            if found == tag:
                return first, second
        return None

    def put(self, key: str, first: float, second: float) -> None:
        """Keep a pair: in its own cell, an empty one, or the least one's."""
        tag, at = self._place(key)
        cells = self._cells(at)
        ranks = [(cell[0] != tag, cell[0] != 0, self._rank(cell[1], cell[2])) for cell in cells]
        number = min(range(WAYS), key=ranks.__getitem__)
        _CELL.pack_into(self._map, at + number * _CELL.size, tag, first, second)

    def _rank(self, amount: float, time: float) -> float:
        """In the order of what the amounts have fallen to, whatever the time is now."""
        return math.log2(max(amount, LEAST)) + time / self._half_life

    def remove(self, key: str) -> None:
        """Forget a key."""
        tag, at = self._place(key)
        for number, cell in enumerate(self._cells(at)):
            if cell[0] == tag:
                _CELL.pack_into(self._map, at + number * _CELL.size, 0, 0.0, 0.0)
