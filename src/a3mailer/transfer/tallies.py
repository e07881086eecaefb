"""Counts for reports to others, gathered in a worker and written in bulk (ADR 0025).

What is counted costs an addition in memory. Once in FLUSH_SECONDS, and when the worker stops, the counts
become rows of the store; a worker that is killed loses what it gathered since. Reports are of whole days in
UTC, so that is what a count belongs to.
"""

from __future__ import annotations

import asyncio
from typing import Final

from a3mailer.mail.errors import MailError
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.rest import rest
from a3mailer.store.operations import AddTallies, Tallied, Tally
from a3mailer.store.ports import Transaction, Writer
from a3mailer.telemetry.events import emit

DAY: Final = 86_400
FLUSH_SECONDS: Final = 60.0
MOST: Final = 10_000
"""Things counted apart that are gathered between two writes; beyond that only those that are known count."""
BITE: Final = 500
"""Rows of one transaction: the writer is held up for some milliseconds."""

_Place = tuple[str, int, str, str]
"""Kind, period, domain, key."""


class Tallies:
    """One object a process."""

    __slots__ = ("_clock", "_counts", "_left_out", "_writer")

    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._counts: dict[_Place, int] = {}
        self._left_out = 0

    def add(self, kind: str, domain: str, key: str, count: int = 1) -> None:
        """Count for today's report of a kind to a domain; ``key`` is JSON, as the kind writes it."""
        place = (kind, int(self._clock.now()) // DAY * DAY, domain, key)
        known = self._counts.get(place)
        if known is None and len(self._counts) >= MOST:
            self._left_out += count
            return
        self._counts[place] = (known or 0) + count

    async def flush(self) -> None:
        """Write what was gathered. What cannot be written now is kept for the next time."""
        counts, self._counts = self._counts, {}
        left_out, self._left_out = self._left_out, 0
        for kind in {place[0] for place in counts}:
            rows = [(place, count) for place, count in counts.items() if place[0] == kind]
            for at in range(0, len(rows), BITE):
                bite = rows[at : at + BITE]
                try:
                    left_out += await self._write(kind, bite)
                except MailError as error:
                    emit("tallies.put_off", level="warning", kind=kind, error=repr(error))
                    self._take_back(bite)
        if left_out:
            emit("tallies.left_out", level="warning", count=left_out)

    async def _write(self, kind: str, rows: list[tuple[_Place, int]]) -> int:
        tallies = tuple(Tally(period, domain, key, count) for (_, period, domain, key), count in rows)
        (result,) = await self._writer.commit(Transaction((AddTallies(kind, tallies),)))
        assert isinstance(result, Tallied)
        return result.left_out

    def _take_back(self, rows: list[tuple[_Place, int]]) -> None:
        for place, count in rows:
            self._counts[place] = self._counts.get(place, 0) + count

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set, and once more then."""
        while not stop.is_set():
            await rest(stop, FLUSH_SECONDS)
            await self.flush()
