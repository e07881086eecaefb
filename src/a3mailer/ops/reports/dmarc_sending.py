"""Our DMARC reports to others: once a day, for the day that is past, where a domain asks for them.

For each domain that was counted a time after midnight UTC is drawn, so that no domain hears of everybody at
once. Then its record is asked anew: what stands there now says where reports are wanted, and whoever wants
none any more gets none. In one transaction the mails are queued and the counts forgotten: a report goes out
once.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.mail.errors import MailError
from a3mailer.mail.ids import DEFAULT_TENANT, SYSTEM_ACCOUNT
from a3mailer.mail.message import index
from a3mailer.ops.reports.destinations import destinations, record_of
from a3mailer.ops.reports.dmarc import fitting, keep
from a3mailer.ops.reports.dmarc_report import Made, compose, make
from a3mailer.ops.reports.kind import DAY
from a3mailer.ops.reports.tls_report import Sender
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.resolver import Resolver, ResolverFailure
from a3mailer.store.operations import DropTallies, Enqueue, Operation, PutReport, QueueRecipient
from a3mailer.store.ports import Content, Store, Transaction
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.dmarc_outcomes import KIND

LOOK_SECONDS: Final = 300.0
LEAST_SECONDS: Final = 1800
"""After midnight: all workers have written down what they counted."""
SPREAD_SECONDS: Final = 4 * 3600
GIVE_UP_SECONDS: Final = 3 * DAY
"""After the first attempt: the DNS of the domain did not answer for so long."""
CONTACT: Final = "dmarc-reports"


class DmarcReports:
    """``run`` is the work of an instance's first worker; ``round`` is one look."""

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
        try:
            for period, domain in await self._store.tallied(KIND, now // DAY * DAY):
                if stop.is_set():
                    return
                late = now - period - DAY - self._delay(period, domain)
                if not self._settings().reports.dmarc_send or late > GIVE_UP_SECONDS:
                    await self._forget(period, domain)
                elif late >= 0:
                    await self._report(period, domain)
        except MailError as error:
            emit("reports.dmarc.put_off", level="warning", error=repr(error))

    def _delay(self, period: int, domain: str) -> int:
        """The same whenever it is asked."""
        drawn = hashlib.blake2b(f"{self._sender().domain} {domain} {period}".encode(), digest_size=8)
        return LEAST_SECONDS + int.from_bytes(drawn.digest(), "big") % SPREAD_SECONDS

    def _sender(self) -> Sender:
        server = self._settings().server
        domain = (server.domain or server.hostname).lower()
        return Sender(domain, f"{CONTACT}@{domain}")

    async def _report(self, period: int, domain: str) -> None:
        sender = self._sender()
        if not self._signs(sender.domain):
            emit("reports.dmarc.unsigned", level="warning", domain=domain, sender=sender.domain)
            await self._forget(period, domain)
            return
        try:
            record = await record_of(domain, self._resolver)
            uris = record.aggregate if record is not None else ()
            places = await destinations(domain, uris, self._resolver)
            if len(places) < len(uris):
                emit("reports.dmarc.not_all", domain=domain, wanted=len(uris), allowed=len(places))
        except ResolverFailure as error:
            emit("reports.dmarc.no_answer", level="warning", domain=domain, error=str(error))
            return
        if record is None or not places:
            await self._forget(period, domain)
            return
        tallies = await self._store.tallies(KIND, period, domain)
        made = await asyncio.to_thread(make, period, domain, tallies, record, sender)
        limits = dict(record.limits)
        wanted = {address: limits.get(uri, 0) for address, uri in places.items()}
        await self._send(period, domain, made, wanted, sender)

    async def _send(
        self, period: int, domain: str, made: Made, places: dict[str, int], sender: Sender
    ) -> None:
        """``places``: addresses, and how many octets each takes (0: any number)."""
        contents: list[Content] = []
        operations: list[Operation] = [DropTallies(KIND, domain, period, period + DAY)]
        now = int(self._clock.now())
        if await self._store.domain(domain) is not None:
            operations.append(_kept(made, sender, now))
        for address, most in places.items():
            if await self._store.domain(address.rpartition("@")[2]) is not None:
                continue  # what it would tell us is kept without a mail
            if most and len(made.packed) > most:
                emit("reports.dmarc.too_large", domain=domain, octets=len(made.packed), most=most)
                continue
            octets = compose(made, domain, address, sender, now, secrets.token_hex(8))
            operations.append(_mail(len(contents), address))
            contents.append(Content(octets, index(octets)))
        await self._store.commit(Transaction(tuple(operations), tuple(contents)))
        if contents:
            count("a3_reports_sent_total", KIND, len(contents))
            emit("reports.dmarc.sent", domain=domain, places=len(contents), rows=len(made.report.rows))

    async def _forget(self, period: int, domain: str) -> None:
        await self._store.commit(Transaction((DropTallies(KIND, domain, period, period + DAY),)))


def _mail(content: int, to: str) -> Enqueue:
    """With the null reverse-path: nothing comes back for it, and it is signed as a notice of ours."""
    return Enqueue(
        SYSTEM_ACCOUNT, DEFAULT_TENANT, content, "", (QueueRecipient(to, ("NEVER",)),), body="7BIT"
    )


def _kept(made: Made, sender: Sender, now: int) -> PutReport:
    """What we saw of mail in the name of a domain of ours, beside the reports of others."""
    report = made.report
    content = fitting(keep(report))
    domain = report.published.domain
    return PutReport(KIND, domain, sender.domain, report.report_id, report.begins, report.ends, content, now)
