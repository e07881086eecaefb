"""The N-th system call of a process fails, or kills it: strace(1) injects it (man page: "Tampering").

    with Strace(pid, Tampering("fdatasync", "error=EIO", 2), folder / "strace.log") as strace:
        ...
    strace.hit()

strace counts each thread for itself.
"""

from __future__ import annotations

import re
import select
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import pytest

ATTACH_SECONDS: Final = 10.0
HIT: Final = re.compile(rb"\(INJECTED\)|killed by SIGKILL|--- SIGKILL")


@dataclass(frozen=True, slots=True)
class Tampering:
    """Which call of which name meets what: ``error=ENOSPC``, ``signal=KILL`` (strace's words)."""

    call: str
    fault: str
    number: int


def require_strace() -> None:
    """Skip unless strace is here and may attach."""
    if shutil.which("strace") is None:
        pytest.skip("absent: strace")
    with subprocess.Popen(["sleep", "5"]) as victim:
        done = subprocess.run(
            ["timeout", "1", "strace", "-p", str(victim.pid)], capture_output=True, text=True, check=False
        )
        victim.kill()
    if "attached" not in done.stderr:
        pytest.skip(f"forbidden: ptrace ({done.stderr.strip()})")


class Strace:
    """strace attached to one process for the length of a ``with``: to all its threads and children, or
    (``threads`` False) to its main thread alone."""

    def __init__(self, pid: int, tampering: Tampering, log: Path, *, threads: bool = True) -> None:
        self._log = log
        log.unlink(missing_ok=True)
        inject = f"inject={tampering.call}:{tampering.fault}:when={tampering.number}"
        follow = ["-f"] if threads else []
        trace = ["-e", f"trace={tampering.call}", "-e", inject]
        self._process = subprocess.Popen(
            ["strace", *follow, "-p", str(pid), "-o", str(log), *trace], stderr=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        assert self._process.stderr is not None
        deadline = time.monotonic() + ATTACH_SECONDS
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self._process.stderr], [], [], 0.5)
            if ready and b"attached" in (line := self._process.stderr.readline()):
                return self
            if ready and not line:
                break
        raise TimeoutError("strace did not attach")

    def __exit__(self, *exc: object) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(ATTACH_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            if self._process.stderr is not None:
                self._process.stderr.close()

    def hit(self) -> bool:
        """True when the fault happened."""
        return self._log.exists() and HIT.search(self._log.read_bytes()) is not None
