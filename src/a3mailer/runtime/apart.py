"""Work on what strangers made, in a process of its own that may use little: a bug or a bomb ends it alone.

The process is forked and has limits of the kernel (RLIMIT_CPU, RLIMIT_AS, no files to write) and a deadline;
what it says is read up to a bound. It blocks: for processes that serve nobody.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn


@dataclass(frozen=True, slots=True)
class Allowed:
    """``seconds`` of CPU, and twice as long by the clock; ``memory`` more octets than the parent has."""

    seconds: int
    memory: int
    answer: int
    """Octets."""


def apart(work: Callable[[], bytes], allowed: Allowed) -> bytes | None:
    """What ``work`` returns, cut at ``allowed.answer``; None when it did not come to its end."""
    near, far = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _work(work, allowed, far)
    os.close(far)
    try:
        return _answer(near, allowed, pid)
    finally:
        os.close(near)


def _answer(near: int, allowed: Allowed, pid: int) -> bytes | None:
    until = time.monotonic() + 2 * allowed.seconds
    pieces: list[bytes] = []
    left = allowed.answer
    while left > 0 and (wait := until - time.monotonic()) > 0:
        if not select.select([near], [], [], wait)[0]:
            break
        piece = os.read(near, min(left, 1 << 16))
        if not piece:
            _, status = os.waitpid(pid, 0)
            return b"".join(pieces) if status == 0 else None
        pieces.append(piece)
        left -= len(piece)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None if left else b"".join(pieces)


def _work(work: Callable[[], bytes], allowed: Allowed, far: int) -> NoReturn:
    """In the child, which never returns."""
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDWR), 2)
        used = int(resource.getrusage(resource.RUSAGE_SELF).ru_utime)
        for limit, most in (
            (resource.RLIMIT_CPU, used + allowed.seconds),
            (resource.RLIMIT_AS, _memory() + allowed.memory),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
        ):
            resource.setrlimit(limit, (most, most))
        octets = work()[: allowed.answer]
        while octets:
            octets = octets[os.write(far, octets) :]
        status = 0
    finally:
        os._exit(status)


def _memory() -> int:
    """Octets of address space this process has."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - one read, in a child that must do little
        return int(file.read().split()[0]) * resource.getpagesize()
