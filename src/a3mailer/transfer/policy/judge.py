"""Everything that looks at a whole mail before it is stored, in ``ORDER``, under one deadline.

A judge is given the mail as the judges before it have left it and gives back what it makes of it: fields for
the top, other octets, other recipients, a place. It refuses the mail by raising a ``mail.errors`` value. When
its time is over it says itself what that means (``temperror``, fail open, try later); one that does not
return is cut off a little later, and the sender tries again.

Where no judge wants a mail (``profile=plain`` has none at all) nothing is made and nothing waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from a3mailer.config.tree import Settings
from a3mailer.mail.envelope import Recipient
from a3mailer.mail.errors import MailError, TryLater
from a3mailer.telemetry.events import emit
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.route import Route

ORDER: Final[tuple[str, ...]] = (
    "authenticate",
    "reports",
    "policy hook",
    "milters",
    "scripts",
    "header rules",
)
"""Names of the judges as they look: what they add lies further up, the later they come."""
SECONDS: Final = 60.0
"""For all judges of one mail together."""
GRACE_SECONDS: Final = 2.0
"""After which a judge that has not kept its time is cut off."""


class Judged(msgspec.Struct, frozen=True):
    """A mail and what is known of it so far. ``msgspec.structs.replace`` makes the next one."""

    arrival: Arrival
    """Its octets, recipients and routes may differ from what came; ``routes`` has one entry a recipient."""
    top: bytes = b""
    """Whole fields with CRLF, to lie above our Received field (RFC 8601 section 4)."""
    junk: bool = False
    """It goes to Junk where it would have gone to an INBOX."""
    discarded: bool = False
    """It is answered for as if taken, and thrown away."""
    author: str = ""
    """The domain of its author, where that was proved."""

    def with_top(self, fields: bytes) -> Judged:
        """The same with fields above those of the judges before."""
        return msgspec.structs.replace(self, top=fields + self.top)

    def with_octets(self, octets: bytes) -> Judged:
        """The same mail with other octets."""
        return msgspec.structs.replace(self, arrival=msgspec.structs.replace(self.arrival, octets=octets))

    def with_recipients(self, people: tuple[tuple[Recipient, tuple[Route, ...]], ...]) -> Judged:
        """The same mail to others; who is left out is answered for as if taken."""
        envelope = msgspec.structs.replace(self.arrival.envelope, recipients=tuple(r for r, _ in people))
        arrival = msgspec.structs.replace(
            self.arrival, envelope=envelope, routes=tuple(routes for _, routes in people)
        )
        return msgspec.structs.replace(self, arrival=arrival)


class Judge(Protocol):
    """One that looks at whole mails. It owns no task that outlives a call."""

    def wants(self, arrival: Arrival) -> bool:
        """Does it look at this mail? Asked at once for every mail: it must not wait and be cheap."""
        ...

    async def judge(self, mail: Judged, seconds: float) -> Judged:
        """Look, for no longer than ``seconds``. Errors: a MailError refuses the mail for all recipients."""
        ...

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        ...


class Judges:
    """Those of ``ORDER`` that this process has, by name."""

    __slots__ = ("_judges",)

    def __init__(self, judges: Mapping[str, Judge] | None = None) -> None:
        given = judges or {}
        if unknown := given.keys() - set(ORDER):
            raise LookupError(f"not in the order: {sorted(unknown)}")
        self._judges = tuple((name, given[name]) for name in ORDER if name in given)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        for _, judge in self._judges:
            judge.reconfigure(settings)

    def wanted(self, arrival: Arrival) -> bool:
        """Does anybody look at this mail?"""
        for _, judge in self._judges:  # noqa: SIM110 - no object is made for a mail that nobody looks at
            if judge.wants(arrival):
                return True
        return False

    async def __call__(self, arrival: Arrival) -> Judged:
        """Let all look that want to. Errors: MailError."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SECONDS
        judged = Judged(arrival)
        for name, judge in self._judges:
            if not judge.wants(judged.arrival) or judged.discarded:
                continue
            left = max(0.0, until - loop.time())
            try:
                async with asyncio.timeout(left + GRACE_SECONDS):
                    judged = await judge.judge(judged, left)
            except TimeoutError as error:
                emit("mail.judge.late", level="warning", trace=arrival.trace, judge=name)
                raise TryLater from error
            except MailError as error:
                emit("mail.judge.refused", trace=arrival.trace, judge=name, error=type(error).__name__)
                raise
        return judged


NOBODY: Final = Judges()


def outcomes_of(given: Arrival, judged: Arrival, outcomes: list[MailError | None]) -> list[MailError | None]:
    """What the recipients that the client gave are told, where judges have changed them."""
    if judged.envelope.recipients is given.envelope.recipients:
        return outcomes
    told = dict(zip(judged.envelope.recipients, outcomes, strict=True))
    return [told.get(recipient) for recipient in given.envelope.recipients]
