"""Exclusive leases by number among all processes of an instance: who ends, however it ends, has let go.

A lease is a record lock of one octet (fcntl(2)) in a file that stays empty. Record locks belong to the
process, so it also keeps the set of its own. The file must not be opened twice in one process: closing any
of its descriptors would let all its locks go.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Leases:
    """One file of leases, as one process sees it; open it after the fork."""

    __slots__ = ("_fd", "_held")

    def __init__(self, path: Path) -> None:
        """Errors: OSError."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held: set[int] = set()

    def take(self, number: int) -> bool:
        """Hold it from now on; False when somebody has it. Never waits."""
        if number in self._held:
            return False
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError:  # EACCES or EAGAIN: another process; ENOLCK: the kernel has no more of them
            return False
        self._held.add(number)
        return True

    def release(self, number: int) -> None:
        """Let it go."""
        if number in self._held:
            self._held.discard(number)
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, number)

    def close(self) -> None:
        """Let all go."""
        self._held.clear()
        os.close(self._fd)
