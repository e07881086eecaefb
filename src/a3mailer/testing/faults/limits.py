"""Resources of running processes run out: limits set from the outside, as prlimit(1) does."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable, Iterable, Iterator


@contextlib.contextmanager
def limited(pids: Iterable[int], resource_id: int, limit: Callable[[int], int]) -> Iterator[None]:
    """Give each process the soft limit ``limit(pid)`` (``resource.RLIMIT_...``); those that are still there
    afterwards get their old one back."""
    limits = {pid: resource.prlimit(pid, resource_id) for pid in pids}
    try:
        for pid, (_, hard) in limits.items():
            resource.prlimit(pid, resource_id, (limit(pid), hard))
        yield
    finally:
        for pid, former in limits.items():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource_id, former)
