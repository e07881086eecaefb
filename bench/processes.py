"""Process trees as Linux's /proc shows them: who belongs to a server, its CPU, its memory, its end."""

import contextlib
import os
import pathlib
import signal
from collections.abc import Iterable
from typing import Final

TICKS: Final = os.sysconf("SC_CLK_TCK")
PROC: Final = pathlib.Path("/proc")


def stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat after the command name (state is [0], ppid [1]); [] when gone."""
    try:
        text = (PROC / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text[text.rindex(b")") + 2 :].split()


def parents() -> dict[int, int]:
    """Every living process with its parent."""
    found = {}
    for entry in os.listdir(PROC):
        if entry.isdigit() and (fields := stat(int(entry))):
            found[int(entry)] = int(fields[1])
    return found


def children(pid: int) -> list[int]:
    """The direct children, in order of their ids."""
    return sorted(p for p, parent in parents().items() if parent == pid)


def tree(root: int) -> list[int]:
    """``root`` first, then its descendants that are no zombies."""
    known = parents()
    if root not in known:
        return []
    found = [root]
    for pid in found:
        found += sorted(p for p, parent in known.items() if parent == pid)
    return [p for p in found if (fields := stat(p)) and fields[0] != b"Z"]


def cpu_seconds(pids: Iterable[int]) -> float:
    """User + system seconds of the processes and of their children that ended and were waited for."""
    ticks = 0
    for pid in pids:
        if fields := stat(pid):
            ticks += sum(int(f) for f in fields[11:15])  # utime stime cutime cstime
    return ticks / TICKS


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
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
