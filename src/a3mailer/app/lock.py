"""The lock of a data directory: one flock, held by the supervisor, or by a verb that works alone.

The kernel drops it with its holder, so there is nothing to clean up after a kill -9.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from pathlib import Path
from typing import Final

NAME: Final = "lock"
STATE: Final = Path("run") / "state.json"
"""What the server that holds it says of itself."""
_FLOCK: Final = re.compile(r"FLOCK\s+ADVISORY\s+WRITE\s+\d+\s+[0-9a-f]+:[0-9a-f]+:(\d+)\s")


class Locked(Exception):
    """Another process holds the data directory."""


def acquire(directory: Path) -> int:
    """The descriptor that holds the lock until it is closed. Errors: Locked, OSError."""
    fd = os.open(directory / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Locked(f"{directory} is in use by another process") from None
    except OSError:
        os.close(fd)
        raise
    return fd


def is_held_by(directory: Path, pid: int) -> bool:
    """Does this process hold the lock? Asks the kernel and never takes the lock itself, not for a moment."""
    try:
        inode = (directory / NAME).stat().st_ino
        descriptors = list(Path(f"/proc/{pid}/fdinfo").iterdir())
    except OSError:
        return False
    for each in descriptors:
        with contextlib.suppress(OSError):
            if any(int(number) == inode for number in _FLOCK.findall(each.read_text())):
                return True
    return False
