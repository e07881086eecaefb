"""The clock door: wall time for dates, monotonic for durations, the processor's for budgets; replaceable."""

from __future__ import annotations

import time
from typing import Final, Protocol


class Clock(Protocol):
    """Wall time may jump; ``monotonic`` never goes back. Deadlines are counted on the latter only."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def cpu(self) -> float:
        """Seconds of the processor that the calling thread has used."""
        ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def cpu(self) -> float:
        return time.thread_time()


SYSTEM: Final = SystemClock()
