"""A shorter turn on the processor for a thread that many wait for and that computes little at a time.

The kernel's scheduler (EEVDF) lets a thread that wakes up go before the one that runs when its turn would
end earlier; a short turn is how a thread says so (sched_setattr(2), Linux 6.12; older kernels ignore it).
It is no priority: the share of the processor stays what it was, and no privilege is needed.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from typing import Final

_CALLS: Final = {"x86_64": 314, "aarch64": 274}
"""Numbers of sched_setattr; the C library has a name for it only since 2025."""
_ATTRIBUTES: Final = struct.Struct("=IIQiIQQQ")
"""``struct sched_attr``: size, policy, flags, nice, priority, runtime (ns), deadline, period."""


def shorten(seconds: float) -> bool:
    """Let the turns of this thread be ``seconds`` (0.1 ms to 100 ms) long; False where that cannot be said.

    Threads it starts later inherit it. Leaves alone a thread that has another policy than the usual one."""
    if os.sched_getscheduler(0) != os.SCHED_OTHER or platform.machine() not in _CALLS:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    turn = int(seconds * 1e9)
    wanted = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, turn, 0, 0)
    return bool(ctypes.CDLL(None).syscall(_CALLS[platform.machine()], 0, wanted, 0) == 0)
