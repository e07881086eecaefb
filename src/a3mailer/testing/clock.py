"""A clock that goes when it is told to, and whose wall can jump while durations stay true (attack row 69)."""

from __future__ import annotations

START = 1_800_000_000.0
"""Where wall time begins: 15 January 2027, 08:00 UTC."""


class FakeClock:
    """Satisfies ``runtime.clock.Clock``."""

    __slots__ = ("_monotonic", "_wall")

    def __init__(self, now: float = START, monotonic: float = 1000.0) -> None:
        self._wall = now
        self._monotonic = monotonic

    def now(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    def cpu(self) -> float:
        """All that passes was used."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Time passes, on both clocks."""
        if seconds < 0:
            raise ValueError("time does not run backwards; use jump")
        self._wall += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Somebody set the wall clock, forwards or (negative) backwards; no time has passed."""
        self._wall += seconds
