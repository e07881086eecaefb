"""What is looked up for the domains of this server while it runs, in one worker of an instance.

| look | every | what |
|---|---|---|
| keys | 10 min | the records of DKIM keys that are being rotated (``dkim_rotation``) |
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Final

from a3mailer.keys import selectors
from a3mailer.mail.errors import MailError
from a3mailer.ops.dkim_rotation import turn
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.resolver import Resolver
from a3mailer.store.ports import DirectoryReader
from a3mailer.telemetry.events import emit

KEYS_SECONDS: Final = 600.0


class DomainWatch:
    """``run`` is the work of an instance's first worker; ``look_at_keys`` is one look, for tests."""

    def __init__(self, store: DirectoryReader, directory: Path, resolver: Resolver, clock: Clock) -> None:
        self._store = store
        self._folder = directory / selectors.FOLDER
        self._resolver = resolver
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set."""
        while not stop.is_set():
            await self.look_at_keys(stop)
            with suppress(TimeoutError):
                async with asyncio.timeout(KEYS_SECONDS):
                    await stop.wait()

    async def look_at_keys(self, stop: asyncio.Event) -> None:
        """Let the keys of every domain follow what the DNS shows; one that cannot be read stops no other."""
        try:
            domains = [domain.name for domain in await self._store.domains()]
        except MailError as error:
            emit("dkim.look.put_off", level="warning", error=repr(error))
            return
        for domain in domains:
            if stop.is_set():
                return
            try:
                await turn(domain, self._folder / domain, self._resolver, self._clock.now)
            except (OSError, ValueError) as error:
                emit("dkim.look.failed", level="error", domain=domain, error=str(error))
