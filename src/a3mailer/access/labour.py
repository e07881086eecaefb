"""Long work for one command: in slices with the loop free in between, counted, told of, ended at its budget.

What a client asks for may cost seconds (a search through contents, a thread of a million messages). Whoever
does it asks ``over`` as often as it likes (some tens of nanoseconds) and ``rest``s when the slice is over;
then others get their turn, and the processor time used so far is compared with the budget. What others use
in between does not count, nor does waiting. The clock door supplies all three clocks (ADR 0038).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from a3mailer.mail.errors import TooCostly
from a3mailer.runtime.clock import Clock

SLICE_SECONDS: Final = 0.005
"""Work done before others get their turn."""
TOLD_SECONDS: Final = 10.0
"""How long nothing is said of a work in progress, at first and from one time to the next (RFC 9585)."""

T = TypeVar("T")


def _nobody(done: int, goal: int) -> None:
    """Nobody wants to know."""


class Labour:
    """The work of one command. ``tell`` hears of (steps done, steps to do) now and then; budget 0: none."""

    __slots__ = ("_began", "_clock", "_slice_until", "_tell", "_tell_at", "budget", "done", "goal", "spent")

    def __init__(
        self, clock: Clock, budget: float = 0.0, tell: Callable[[int, int], None] = _nobody, goal: int = 0
    ) -> None:
        self._clock = clock
        self._tell = tell
        self.budget = budget
        self.goal = goal
        """Steps to do; 0: nobody knows."""
        self.done = 0
        self.spent = 0.0
        """Seconds of the processor used until the last rest."""
        self._begin()
        self._tell_at = self._clock.monotonic() + TOLD_SECONDS

    def _begin(self) -> None:
        self._began = self._clock.cpu() if self.budget else 0.0
        self._slice_until = self._clock.monotonic() + SLICE_SECONDS

    @property
    def over(self) -> bool:
        """Whether this slice is used up: ``rest`` is due."""
        return self._clock.monotonic() >= self._slice_until

    async def step(self, steps: int = 1) -> None:
        """So many more steps are done; rest where that is due. Errors: TooCostly."""
        self.done += steps
        if self._clock.monotonic() >= self._slice_until:
            await self.rest()

    async def reach(self, done: int) -> None:
        """So many steps are done in all, if not more; rest where that is due. Errors: TooCostly."""
        self.done = max(self.done, done)
        if self._clock.monotonic() >= self._slice_until:
            await self.rest()

    async def rest(self) -> None:
        """Let others work. Errors: TooCostly when the budget is used up."""
        if self.budget:
            self.spent += self._clock.cpu() - self._began
            if self.spent > self.budget:
                raise TooCostly
        if self._clock.monotonic() >= self._tell_at:
            self._tell_at = self._clock.monotonic() + TOLD_SECONDS
            self._tell(self.done, self.goal)
        await asyncio.sleep(0)
        self._begin()

    async def apart(self, work: Callable[[], T]) -> T:
        """Work on a thread, whose time counts as well. Errors: TooCostly, and those of the work."""
        await self.rest()

        def counted() -> T:
            began = self._clock.cpu()
            try:
                return work()
            finally:
                self.spent += self._clock.cpu() - began

        try:
            return await asyncio.to_thread(counted)
        finally:
            self._begin()
