"""Our TLS reports to others: once a day, for the day that is past, where a domain asks for them (RFC 8460).

For each domain that was counted a time between LEAST_SECONDS and LEAST_SECONDS + SPREAD_SECONDS after
midnight UTC is drawn, so that no domain hears of everybody at once (section 4.1). Then its record is asked
where it wants its report: to addresses it goes by the queue, in the transaction that forgets the counts, or
notes that the mail is under way while a POST is still to be done. A POST that fails is tried again for a day
(section 5.5). Whoever asks for nothing is told nothing, and what was counted is forgotten.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final, Protocol

from a3mailer.config.tree import Settings
from a3mailer.mail.message import index
from a3mailer.msgauth.tlsrpt import GZIP_MEDIA, Target, parse_record
from a3mailer.ops.reports.daily import DAY, Daily
from a3mailer.ops.reports.posting import queued
from a3mailer.ops.reports.tls_report import Made, compose, make
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.http import HttpAnswer, HttpFailure
from a3mailer.runtime.resolver import Resolver, ResolverFailure
from a3mailer.store.operations import AddTallies, DropTallies, Operation, Tally
from a3mailer.store.ports import Content, Store
from a3mailer.telemetry.events import emit
from a3mailer.transfer.relay.tls_outcomes import KIND
from a3mailer.transfer.relay.tls_wish import OPTIONAL

DONE: Final = "tls-sent"
"""The kind of the tallies whose keys are places that have their report while others wait for it."""
GIVE_UP_SECONDS: Final = DAY
"""After the first attempt (section 5.5)."""
POST_SECONDS: Final = 30.0
POST_AGAIN: Final = 1800.0
"""After a POST that failed."""
MOST_ANSWER: Final = 64 * 1024
"""Octets of an answer to a POST."""
CONTACT: Final = "postmaster"


class Post(Protocol):
    """``runtime.http.HttpClient``."""

    async def post(self, url: str, body: bytes, media: str, *, most: int, seconds: float) -> HttpAnswer:
        """Errors: HttpFailure."""
        ...


class TlsReports(Daily):
    """See ``daily.py``."""

    kind = KIND
    contact = CONTACT
    give_up_seconds = GIVE_UP_SECONDS

    def __init__(
        self,
        store: Store,
        resolver: Resolver,
        web: Post,
        clock: Clock,
        settings: Callable[[], Settings],
        signs: Callable[[str], bool],
    ) -> None:
        """``signs``: whether mail of a domain of ours leaves with a DKIM signature."""
        super().__init__(store, resolver, clock, settings, signs)
        self._web = web
        self._again: dict[str, float] = {}
        """When a place where a POST failed may be asked again (monotonic)."""

    def is_on(self) -> bool:
        """``reports.tls_send``."""
        return self._settings().reports.tls_send

    def forgotten(self, period: int, domain: str) -> tuple[Operation, ...]:
        """One day's counts of a domain, and who has its report."""
        return tuple(DropTallies(kind, domain, period, period + DAY) for kind in (KIND, DONE))

    async def round(self, stop: asyncio.Event) -> None:
        """A place whose POST failed rests for a while."""
        now = self._clock.monotonic()
        self._again = {url: at for url, at in self._again.items() if at > now}
        await super().round(stop)

    async def report(self, period: int, domain: str) -> None:
        """By mail and by POST, as the record says."""
        try:
            answer = await self._resolver.lookup(f"_smtp._tls.{domain}", "TXT")
        except ResolverFailure as error:
            emit("reports.tls.no_answer", level="warning", domain=domain, error=str(error))
            return
        done = {tally.key for tally in await self._store.tallies(DONE, period, domain)}
        targets = [
            target
            for target in parse_record(answer.texts)
            if target.where not in done and self._can(target, domain)
        ]
        if not targets:
            await self.commit(*self.forgotten(period, domain))
            return
        tallies = await self._store.tallies(KIND, period, domain)
        made = await asyncio.to_thread(make, period, domain, tallies, self.sender())
        posts = [target for target in targets if target.way == "post"]
        posted = [target for target in posts if await self._post(made, domain, target)]
        mailed = [target for target in targets if target.way == "mail"]
        await self._settle(period, domain, made, mailed, posted, whole=posted == posts)

    def _can(self, target: Target, domain: str) -> bool:
        """A report by mail without a DKIM signature must be ignored by who gets it (section 3)."""
        can = target.way != "mail" or self._signs(self.sender().domain)
        if not can:
            emit("reports.tls.unsigned", level="warning", domain=domain, sender=self.sender().domain)
        return can

    async def _settle(
        self, period: int, domain: str, made: Made, mailed: list[Target], posted: list[Target], *, whole: bool
    ) -> None:
        """The mails, and that these places have their report; ``whole``: nobody waits for it any more."""
        sender, now = self.sender(), int(self._clock.now())
        contents: list[Content] = []
        operations: list[Operation] = []
        for target in mailed:
            octets = compose(made, domain, target.where, sender, now, secrets.token_hex(8))
            operations.append(queued(len(contents), target.where, OPTIONAL))
            contents.append(Content(octets, index(octets)))
        if whole:
            operations += self.forgotten(period, domain)
        else:
            marks = tuple(Tally(period, domain, target.where, 1) for target in (*mailed, *posted))
            operations += [AddTallies(DONE, marks)] if marks else []
        await self.commit(*operations, contents=tuple(contents))
        for target in (*mailed, *posted):
            emit("reports.tls.sent", domain=domain, way=target.way, policies=len(made.report.policies))

    async def _post(self, made: Made, domain: str, target: Target) -> bool:
        if target.where in self._again:
            return False
        try:
            answer = await self._web.post(
                target.where, made.packed, GZIP_MEDIA, most=MOST_ANSWER, seconds=POST_SECONDS
            )
            failure = "" if answer.status // 100 == 2 else f"it answers {answer.status}"
        except HttpFailure as error:
            failure = str(error)
        if failure:
            self._again[target.where] = self._clock.monotonic() + POST_AGAIN
            emit("reports.tls.not_posted", level="warning", domain=domain, reason=failure)
        return not failure
