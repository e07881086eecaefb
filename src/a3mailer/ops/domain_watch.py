"""What is looked up for the domains of this server while it runs, in one worker of an instance.

| look | every | what |
|---|---|---|
| keys | 10 min | the records of DKIM keys that are being rotated (``dkim_rotation``) |
| domains | ``dns.check_hours`` | ``domain check``; what became worse is an event (``domain_history``) |
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from a3mailer.keys import selectors
from a3mailer.mail.errors import MailError
from a3mailer.ops import domain_history as history
from a3mailer.ops.dkim_rotation import turn
from a3mailer.ops.domain_check import Section
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.resolver import Resolver
from a3mailer.runtime.rest import rest
from a3mailer.store.ports import DirectoryReader
from a3mailer.telemetry.events import emit

ROUND_SECONDS: Final = 600.0
FIRST_SECONDS: Final = (600.0, 1200.0)
"""The first look at domains begins somewhere between: all servers of the world were not started at once."""
JITTER: Final = 0.05
"""Of the time between two looks."""

Examine = Callable[[str], Awaitable[tuple[str, Sequence[Section]]]]
"""A domain -> who validated, and what ``domain check`` finds. Errors: MailError, OSError, ValueError."""


class DomainWatch:
    """``run`` is the work of an instance's first worker; ``look_at_*`` are one look, for tests."""

    def __init__(
        self,
        store: DirectoryReader,
        directory: Path,
        resolver: Resolver,
        clock: Clock,
        hours: Callable[[], float],
        examine: Examine | None,
        chance: random.Random,
    ) -> None:
        """``examine`` None: nobody out there reaches this instance, so no domain is looked at."""
        self._store = store
        self._directory = directory
        self._resolver = resolver
        self._clock = clock
        self._hours = hours
        self._examine = examine
        self._begin = clock.monotonic() + chance.uniform(*FIRST_SECONDS)
        self._stretch = 1.0 + chance.uniform(-JITTER, JITTER)

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set."""
        while not stop.is_set():
            await self.look_at_keys(stop)
            if self._clock.monotonic() >= self._begin:
                await self.look_at_domains(stop)
            await rest(stop, ROUND_SECONDS)

    async def _domains(self) -> list[str]:
        try:
            return [domain.name for domain in await self._store.domains()]
        except MailError as error:
            emit("domain.look.put_off", level="warning", error=repr(error))
            return []

    async def look_at_keys(self, stop: asyncio.Event) -> None:
        """Let the keys of every domain follow what the DNS shows; one that cannot be read stops no other."""
        for domain in await self._domains():
            if stop.is_set():
                return
            try:
                folder = self._directory / selectors.FOLDER / domain
                await turn(domain, folder, self._resolver, self._clock.now)
            except (OSError, ValueError) as error:
                emit("dkim.look.failed", level="error", domain=domain, error=str(error))

    async def look_at_domains(self, stop: asyncio.Event) -> None:
        """Check the domains whose last look is too long ago, one after another."""
        hours = self._hours()
        if self._examine is None or not hours:
            return
        looks = await asyncio.to_thread(history.read, self._directory)
        domains = await self._domains()
        for domain in domains:
            if stop.is_set():
                return
            last, now = looks.get(domain), self._clock.now()
            if last is not None and 0 <= now - last.checked < hours * 3600.0 * self._stretch:
                continue
            try:
                validator, sections = await self._examine(domain)
                found = history.merged(last, history.look_of(int(now), validator, sections))
                looks = {name: each for name, each in looks.items() if name in domains} | {domain: found}
                await asyncio.to_thread(history.write, self._directory, looks)
            except (MailError, OSError, ValueError) as error:
                emit("domain.look.failed", level="error", domain=domain, error=str(error))
                continue
            history.tell(domain, last, found)
