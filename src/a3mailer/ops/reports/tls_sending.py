"""Our TLS reports to others: once a day, for the day that is past, where a domain asks for them (RFC 8460).

For each domain that was counted a time between LEAST_SECONDS and LEAST_SECONDS + SPREAD_SECONDS after
midnight UTC is drawn, so that no domain hears of everybody at once (section 4.1). Then its record is asked
where it wants its report: to addresses it goes by the queue, in the transaction that forgets the counts, or
notes that the mail is under way while a POST is still to be done. A POST that fails is tried again for a day
(section 5.5). Whoever asks for nothing is told nothing, and what was counted is forgotten.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from a3mailer.config.tree import Settings
from a3mailer.mail.errors import MailError
from a3mailer.mail.ids import DEFAULT_TENANT, SYSTEM_ACCOUNT
from a3mailer.mail.message import index
from a3mailer.msgauth.tlsrpt import GZIP_MEDIA, Target, parse_record
from a3mailer.ops.reports.tls_report import DAY, Made, Sender, compose, make
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.http import HttpAnswer, HttpFailure
from a3mailer.runtime.resolver import Resolver, ResolverFailure
from a3mailer.store.operations import AddTallies, DropTallies, Enqueue, Operation, QueueRecipient, Tally
from a3mailer.store.ports import Content, Store, Transaction
from a3mailer.telemetry.events import emit
from a3mailer.transfer.tls_outcomes import KIND
from a3mailer.transfer.tls_wish import OPTIONAL

DONE: Final = "tls-sent"
"""The kind of the tallies whose keys are places that have their report while others wait for it."""
LOOK_SECONDS: Final = 300.0
LEAST_SECONDS: Final = 1800
"""After midnight: all workers have written down what they counted."""
SPREAD_SECONDS: Final = 4 * 3600
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


class TlsReports:
    """``run`` is the work of an instance's first worker; ``round`` is one look."""

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
        self._store = store
        self._resolver = resolver
        self._web = web
        self._clock = clock
        self._settings = settings
        self._signs = signs
        self._again: dict[str, float] = {}
        """When a place where a POST failed may be asked again (monotonic)."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set."""
        while not stop.is_set():
            await self.round(stop)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await stop.wait()

    async def round(self, stop: asyncio.Event) -> None:
        """Send what is due. What cannot be sent now is sent at the next look."""
        now = int(self._clock.now())
        today = now // DAY * DAY
        monotonic = self._clock.monotonic()
        self._again = {url: at for url, at in self._again.items() if at > monotonic}
        try:
            for period, domain in await self._store.tallied(KIND, today):
                if stop.is_set():
                    return
                late = now - period - DAY - self._delay(period, domain)
                if not self._settings().reports.tls_send or late > GIVE_UP_SECONDS:
                    await self._commit(*forget(period, domain))
                elif late >= 0:
                    await self._report(period, domain)
        except MailError as error:
            emit("reports.tls.put_off", level="warning", error=repr(error))

    def _delay(self, period: int, domain: str) -> int:
        """The same whenever it is asked."""
        drawn = hashlib.blake2b(f"{self._sender().domain} {domain} {period}".encode(), digest_size=8)
        return LEAST_SECONDS + int.from_bytes(drawn.digest(), "big") % SPREAD_SECONDS

    def _sender(self) -> Sender:
        server = self._settings().server
        domain = (server.domain or server.hostname).lower()
        return Sender(domain, f"{CONTACT}@{domain}")

    async def _report(self, period: int, domain: str) -> None:
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
            await self._commit(*forget(period, domain))
            return
        tallies = await self._store.tallies(KIND, period, domain)
        made = await asyncio.to_thread(make, period, domain, tallies, self._sender())
        posts = [target for target in targets if target.way == "post"]
        posted = [target for target in posts if await self._post(made, domain, target)]
        mailed = [target for target in targets if target.way == "mail"]
        await self._settle(period, domain, made, mailed, posted, whole=posted == posts)

    def _can(self, target: Target, domain: str) -> bool:
        """A report by mail without a DKIM signature must be ignored by who gets it (section 3)."""
        can = target.way != "mail" or self._signs(self._sender().domain)
        if not can:
            emit("reports.tls.unsigned", level="warning", domain=domain, sender=self._sender().domain)
        return can

    async def _settle(
        self, period: int, domain: str, made: Made, mailed: list[Target], posted: list[Target], *, whole: bool
    ) -> None:
        """The mails, and that these places have their report; ``whole``: nobody waits for it any more."""
        sender, now = self._sender(), int(self._clock.now())
        contents: list[Content] = []
        operations: list[Operation] = []
        for target in mailed:
            octets = compose(made, domain, target.where, sender, now, secrets.token_hex(8))
            operations.append(_mail(len(contents), target.where))
            contents.append(Content(octets, index(octets)))
        if whole:
            operations += forget(period, domain)
        else:
            marks = tuple(Tally(period, domain, target.where, 1) for target in (*mailed, *posted))
            operations += [AddTallies(DONE, marks)] if marks else []
        await self._commit(*operations, contents=tuple(contents))
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

    async def _commit(self, *operations: Operation, contents: tuple[Content, ...] = ()) -> None:
        if operations:
            await self._store.commit(Transaction(operations, contents))


def forget(period: int, domain: str) -> tuple[Operation, ...]:
    """One day's counts of a domain, and who has its report."""
    return tuple(DropTallies(kind, domain, period, period + DAY) for kind in (KIND, DONE))


def _mail(content: int, to: str) -> Enqueue:
    """With the null reverse-path: nothing comes back for it, and it is signed as a notice of ours. TLS that
    fails does not keep it from its domain (section 3)."""
    recipient = QueueRecipient(to, ("NEVER",))
    return Enqueue(SYSTEM_ACCOUNT, DEFAULT_TENANT, content, "", (recipient,), body="7BIT", tls=OPTIONAL)
