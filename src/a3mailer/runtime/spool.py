"""A content while it arrives: in memory below a bound, in an unlinked temporary file beyond it.

Pieces are kept as they come and joined once; small ones are gathered, so that a client that sends octet by
octet costs its octets and no more.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import tempfile
from pathlib import Path
from typing import Final

IN_MEMORY: Final = 1024 * 1024
"""Octets a spool holds in memory."""
SMALL: Final = 1024
"""Pieces below this many octets are gathered into larger ones."""
GATHERED: Final = 64 * 1024
_NO_TMPFILE: Final = (errno.EISDIR, errno.EOPNOTSUPP)
"""What file systems without O_TMPFILE say."""


class SpoolError(OSError):
    """The temporary file could not be made, written or mapped; ``errno`` says why."""


class Spool:
    """Append, then ``finish`` once. ``close`` lets go of what it holds; it may be called at any time."""

    __slots__ = ("_directory", "_fd", "_limit", "_map", "_pieces", "_small", "size")

    def __init__(self, directory: Path, limit: int = IN_MEMORY) -> None:
        self._directory = directory
        self._limit = limit
        self._pieces: list[bytes] = []
        self._small = bytearray()
        self._fd = -1
        self._map: mmap.mmap | None = None
        self.size = 0

    def append(self, octets: bytes) -> None:
        """Keep these octets. Raises SpoolError."""
        self.size += len(octets)
        if len(octets) < SMALL:
            self._small += octets
            if len(self._small) >= GATHERED:
                self._gather()
        else:
            if self._small:
                self._gather()
            self._pieces.append(octets)
        if self._fd >= 0 or self.size > self._limit:
            self._spill()

    def finish(self) -> bytes | mmap.mmap:
        """All octets; a map stays valid until ``close``. Raises SpoolError."""
        if self._fd < 0:
            if self._small:
                self._gather()
            return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._gather()
        self._spill()
        try:
            self._map = mmap.mmap(self._fd, self.size, access=mmap.ACCESS_READ)
        except OSError as error:
            raise SpoolError(error.errno, error.strerror) from error
        return self._map

    def close(self) -> None:
        """Free memory and file."""
        self._pieces.clear()
        self._small.clear()
        if self._map is not None:
            with contextlib.suppress(BufferError):  # somebody still looks at it: freed with the last view
                self._map.close()
            self._map = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _gather(self) -> None:
        if self._small:
            self._pieces.append(bytes(self._small))
            self._small.clear()

    def _spill(self) -> None:
        try:
            if self._fd < 0:
                self._fd = _unlinked(self._directory)
            for piece in self._pieces:
                view = memoryview(piece)
                while view:
                    view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise SpoolError(error.errno, error.strerror) from error
        self._pieces.clear()


def _unlinked(directory: Path) -> int:
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in _NO_TMPFILE:
            raise
        fd, name = tempfile.mkstemp(dir=directory)
        Path(name).unlink()
        return fd
