"""How fast a destination takes mail, learnt from what it says; one pace a lane, shared by all workers.

A lane is whom it matters to: a large provider with all its domains, else one host. It has no pace until
somebody there says that we are too fast. Then every mail takes a turn, GAP_FIRST apart; each further
complaint doubles the gap, each accepted mail takes a tenth off it, and time halves it. So the rate goes down
at once and up slowly. Sessions at once follow from the gap. A mail whose turn is far is put off for about as
long as the line before it needs, and holds nothing meanwhile. ADR 0027 says why it is so.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from a3mailer.runtime.clock import Clock
from a3mailer.runtime.shared import SharedTable

LANES: Final = 16_384
"""Cells of the table all workers share; three a lane, and two a host that does not answer."""
HALF_LIFE: Final = 900.0
"""Seconds in which a pace is forgotten by half, and so is a line."""
GAP_FIRST: Final = 1.0
"""Seconds between two mails after the first complaint."""
GAP_MOST: Final = 120.0
GAP_LEAST: Final = 0.05
"""Below, there is no pace any more."""
EASING: Final = 0.9
"""What an accepted mail leaves of the gap."""
STEP_SECONDS: Final = 10.0
"""Complaints within this time of the last one that counted are the same one, told to several sessions."""
PATIENCE: Final = 5.0
"""Seconds that a mail waits for its turn; longer ones are put off."""
WAITERS: Final = 40
"""Mails that wait for a turn at once, of all lanes of a worker: few of what it can have in hand."""
LEAST_WAIT: Final = 15.0
MOST_WAIT: Final = 900.0
"""Bounds of how long a mail is put off, in seconds."""


QUIET_SECONDS: Final = 1.0
"""So long a worker believes that nothing is known of a lane or host; then it has heard of the others."""
QUIET_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Turn:
    """When a mail may go: after ``wait`` seconds, or not before ``put_off``."""

    wait: float = 0.0
    put_off: float = 0.0


AT_ONCE: Final = Turn()


def sessions(gap: float, most: int) -> int:
    """How many sessions at once a gap leaves of ``most``."""
    return max(1, round(most / (1 + 4 * gap)))


class Paces:
    """One object a process; ``table`` is made before the fork."""

    __slots__ = ("_chance", "_clock", "_quiet", "_table", "_waiting")

    def __init__(self, table: SharedTable, clock: Clock, chance: random.Random) -> None:
        self._table = table
        self._clock = clock
        self._chance = chance
        self._waiting = 0
        self._quiet: dict[str, dict[str, float]] = {"gap": {}, "host": {}}
        """Of what nothing was known, and until when that is believed: nearly all, nearly always."""

    def _is_quiet(self, kind: str, name: str, now: float) -> bool:
        """Is nothing known of it? Asked for every mail: the table is looked at once in QUIET_SECONDS."""
        quiet = self._quiet[kind]
        if now < quiet.get(name, 0.0):
            return True
        if self._table.get(f"{kind} {name}") is not None:
            return False
        if len(quiet) >= QUIET_KEPT:
            quiet.clear()
        quiet[name] = now + QUIET_SECONDS
        return True

    def turn(self, lane: str, active: int, most: int, patience: float = PATIENCE) -> Turn:
        """Take the next turn of a lane, or learn how long to stay away. ``waited`` ends a wait.

        ``active`` mails are on their way already, of ``most`` where there is no pace."""
        now = self._clock.monotonic()
        if self._is_quiet("gap", lane, now):
            return AT_ONCE
        with self._table.locked():
            gap = self._gap(lane, now)
            if not gap:
                return AT_ONCE
            following = self._table.get(f"turn {lane}")
            wait = max(0.0, following[1] - now) if following is not None else 0.0
            full = active >= sessions(gap, most) or (wait and self._waiting >= WAITERS)
            if wait > patience or full:
                return Turn(put_off=self._stand_in_line(lane, gap, now))
            self._table.put(f"turn {lane}", gap, now + wait + gap)
        if wait:
            self._waiting += 1
        return Turn(wait)

    def waited(self) -> None:
        """A wait is over."""
        self._waiting -= 1

    def _stand_in_line(self, lane: str, gap: float, now: float) -> float:
        """How long the line needs, whoever stands in it; shuffled, so that they do not return together."""
        before = self._faded(f"line {lane}", now) + 1.0
        self._table.put(f"line {lane}", before, now)
        return min(max(before * gap * self._chance.uniform(0.5, 1.0), LEAST_WAIT), MOST_WAIT)

    def _faded(self, key: str, now: float) -> float:
        found = self._table.get(key)
        return 0.0 if found is None else found[0] * math.exp2(-max(0.0, now - found[1]) / HALF_LIFE)

    def _gap(self, lane: str, now: float) -> float:
        gap = self._faded(f"gap {lane}", now)
        return gap if gap >= GAP_LEAST else 0.0

    def gap(self, lane: str) -> float:
        """Seconds between two mails; 0 for no pace."""
        return self._gap(lane, self._clock.monotonic())

    def slower(self, lane: str) -> bool:
        """They complained. False when this complaint is one with the last."""
        now = self._clock.monotonic()
        self._quiet["gap"].pop(lane, None)
        with self._table.locked():
            told = self._table.get(f"told {lane}")
            if told is not None and now - told[1] < STEP_SECONDS:
                return False
            gap = min(max(2 * self._gap(lane, now), GAP_FIRST), GAP_MOST)
            self._table.put(f"gap {lane}", gap, now)
            self._table.put(f"told {lane}", gap, now)
            self._table.put(f"turn {lane}", gap, now + gap)
        return True

    def faster(self, lane: str) -> None:
        """They took a mail."""
        now = self._clock.monotonic()
        if self._is_quiet("gap", lane, now):
            return
        with self._table.locked():
            gap = self._gap(lane, now) * EASING
            if gap >= GAP_LEAST:
                self._table.put(f"gap {lane}", gap, now)
            else:
                self._table.remove(f"gap {lane}")
            self._table.put(f"line {lane}", max(0.0, self._faded(f"line {lane}", now) - 1.0), now)

    # --- hosts that do not answer ------------------------------------------------------------------

    def cooling(self, host: str) -> float:
        """Seconds for which a host is left alone, whatever domain its mail is for."""
        now = self._clock.monotonic()
        if self._is_quiet("host", host, now):
            return 0.0
        found = self._table.get(f"host {host}")
        return max(0.0, found[1] - now) if found is not None else 0.0

    def failed(self, host: str, first: float) -> None:
        """It could not be connected to: leave it alone for ``first`` seconds, doubled each time."""
        now = self._clock.monotonic()
        self._quiet["host"].pop(host, None)
        with self._table.locked():
            found = self._table.get(f"host {host}")
            if found is not None and found[1] > now:
                return  # somebody beside us has just found out
            times = 0.0 if found is None or now - found[1] > MOST_WAIT else found[0]
            wait = min(first * 2.0 ** min(times, 10.0), MOST_WAIT)
            self._table.put(f"host {host}", times + 1.0, now + wait)

    def answered(self, host: str) -> None:
        """It could."""
        if not self._is_quiet("host", host, self._clock.monotonic()):
            with self._table.locked():
                self._table.remove(f"host {host}")
