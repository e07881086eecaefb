"""Process trees as Linux's /proc shows them: who belongs to a server, its CPU, its memory, its end."""

import contextlib
import os
import pathlib
import signal
import time
from collections.abc import Iterable
from typing import Final

TICKS: Final = os.sysconf("SC_CLK_TCK")
PROCESS_CLOCK: Final = 2  # CPUCLOCK_SCHED of clock_getcpuclockid(3)
PROC: Final = pathlib.Path("/proc")


def stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat after the command name (state is [0], ppid [1]); [] when gone."""
    try:
        text = (PROC / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text[text.rindex(b")") + 2 :].split()


def children(pid: int) -> list[int]:
    """The direct children, in order of their ids."""
    return sorted(p for p in _all() if (fields := stat(p)) and int(fields[1]) == pid)


def tree(root: int) -> list[int]:
    """``root`` first, then its descendants and its session's other members; no zombies.

    The session finds those whose parent was killed: a server is started as leader of its own session.
    """
    fields = {pid: found for pid in _all() if (found := stat(pid))}
    members = [root] if root in fields else []
    members += sorted(p for p, f in fields.items() if p != root and int(f[3]) == root)
    known = set(members)
    for pid in members:
        for child in sorted(p for p, f in fields.items() if int(f[1]) == pid and p not in known):
            members.append(child)
            known.add(child)
    return [p for p in members if fields[p][0] != b"Z"]


def _all() -> list[int]:
    return [int(entry) for entry in os.listdir(PROC) if entry.isdigit()]


def cpu_seconds(pids: Iterable[int]) -> float:
    """User + system seconds of the processes (to the nanosecond, from each one's CPU clock) and of their
    children that ended and were waited for (to the clock tick)."""
    total = 0.0
    for pid in pids:
        if fields := stat(pid):
            total += sum(int(f) for f in fields[13:15]) / TICKS  # cutime cstime
            with contextlib.suppress(OSError):
                total += time.clock_gettime(~pid << 3 | PROCESS_CLOCK)
    return total


def pss_bytes(pids: Iterable[int]) -> int:
    """Proportional set size: shared pages counted by share, so that a sum over processes is honest."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in (PROC / str(pid) / "smaps_rollup").read_bytes().splitlines():
                if line.startswith(b"Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def rss_bytes(pids: Iterable[int]) -> int:
    """Resident set size, shared pages counted in every process that maps them."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += int((PROC / str(pid) / "statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


def kill(pids: Iterable[int]) -> None:
    """SIGKILL; one that is gone already is no error."""
    for pid in pids:
        signal_gently(pid, signal.SIGKILL)


def wait_gone(pids: Iterable[int], timeout: float = 20) -> None:
    """Return when none of the processes runs any more (zombies do not); ``TimeoutError`` else."""
    deadline = time.monotonic() + timeout
    left = list(pids)
    while left := [p for p in left if (fields := stat(p)) and fields[0] != b"Z"]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {left} do not end")
        time.sleep(0.005)


def signal_gently(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that is gone already is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
