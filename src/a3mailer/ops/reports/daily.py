"""Reports that go out once a day, for the day that is past, to each domain that was counted.

For each domain a time after midnight UTC is drawn, so that no domain hears of everybody at once. What cannot
be sent is tried again at every look until it is too late; what nobody wants is forgotten.
"""

from __future__ import annotations

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final

from a3mailer.config.tree import Settings
from a3mailer.mail.errors import MailError
from a3mailer.ops.reports.posting import Sender, sender_of
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.resolver import Resolver
from a3mailer.runtime.rest import rest
from a3mailer.store.operations import Operation
from a3mailer.store.ports import Content, Store, Transaction
from a3mailer.telemetry.events import emit

DAY: Final = 86_400
LOOK_SECONDS: Final = 300.0
LEAST_SECONDS: Final = 1800
"""After midnight: all workers have written down what they counted."""
SPREAD_SECONDS: Final = 4 * 3600


class Daily(ABC):
    """``run`` is the work of an instance's first worker; ``round`` is one look."""

    kind: ClassVar[str]
    """Of the tallies."""
    contact: ClassVar[str]
    """The local part it writes from."""
    give_up_seconds: ClassVar[int]
    """After the first attempt."""

    def __init__(
        self,
        store: Store,
        resolver: Resolver,
        clock: Clock,
        settings: Callable[[], Settings],
        signs: Callable[[str], bool],
    ) -> None:
        """``signs``: whether mail of a domain of ours leaves with a DKIM signature."""
        self._store = store
        self._resolver = resolver
        self._clock = clock
        self._settings = settings
        self._signs = signs

    @abstractmethod
    def is_on(self) -> bool:
        """Does the operator want them sent?"""

    @abstractmethod
    async def report(self, period: int, domain: str) -> None:
        """Send what was counted of a domain on the day that began at ``period``. Errors: MailError."""

    @abstractmethod
    def forgotten(self, period: int, domain: str) -> tuple[Operation, ...]:
        """The operations that forget it."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set."""
        while not stop.is_set():
            await self.round(stop)
            await rest(stop, LOOK_SECONDS)

    async def round(self, stop: asyncio.Event) -> None:
        """Send what is due. What cannot be sent now is sent at the next look."""
        now = int(self._clock.now())
        try:
            for period, domain in await self._store.tallied(self.kind, now // DAY * DAY):
                if stop.is_set():
                    return
                late = now - period - DAY - self._delay(period, domain)
                if not self.is_on() or late > self.give_up_seconds:
                    await self.commit(*self.forgotten(period, domain))
                elif late >= 0:
                    await self.report(period, domain)
        except MailError as error:
            emit(f"reports.{self.kind}.put_off", level="warning", error=repr(error))

    def _delay(self, period: int, domain: str) -> int:
        """The same whenever it is asked."""
        drawn = hashlib.blake2b(f"{self.sender().domain} {domain} {period}".encode(), digest_size=8)
        return LEAST_SECONDS + int.from_bytes(drawn.digest(), "big") % SPREAD_SECONDS

    def sender(self) -> Sender:
        """In whose name it reports."""
        return sender_of(self._settings(), self.contact)

    async def commit(self, *operations: Operation, contents: tuple[Content, ...] = ()) -> None:
        """Errors: MailError."""
        if operations:
            await self._store.commit(Transaction(operations, contents))
