"""Our DMARC reports to others: once a day, for the day that is past, where a domain asks for them.

For each domain that was counted a time after midnight UTC is drawn, so that no domain hears of everybody at
once. Then its record is asked anew: what stands there now says where reports are wanted, and whoever wants
none any more gets none. In one transaction the mails are queued and the counts forgotten: a report goes out
once.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from a3mailer.mail.message import index
from a3mailer.ops.reports.daily import DAY, Daily
from a3mailer.ops.reports.destinations import destinations, record_of
from a3mailer.ops.reports.dmarc import fitting, keep
from a3mailer.ops.reports.dmarc_report import Made, compose, make
from a3mailer.ops.reports.posting import Sender, queued
from a3mailer.runtime.resolver import ResolverFailure
from a3mailer.store.operations import DropTallies, Operation, PutReport
from a3mailer.store.ports import Content
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.policy.dmarc_outcomes import KIND

GIVE_UP_SECONDS: Final = 3 * DAY
"""After the first attempt: the DNS of the domain did not answer for so long."""
CONTACT: Final = "dmarc-reports"


class DmarcReports(Daily):
    """See ``daily.py``."""

    kind = KIND
    contact = CONTACT
    give_up_seconds = GIVE_UP_SECONDS

    def is_on(self) -> bool:
        """``reports.dmarc_send``."""
        return self._settings().reports.dmarc_send

    def forgotten(self, period: int, domain: str) -> tuple[Operation, ...]:
        """One day's counts."""
        return (DropTallies(KIND, domain, period, period + DAY),)

    async def report(self, period: int, domain: str) -> None:
        """To whom the record of now names."""
        sender = self.sender()
        if not self._signs(sender.domain):
            emit("reports.dmarc.unsigned", level="warning", domain=domain, sender=sender.domain)
            await self.commit(*self.forgotten(period, domain))
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
            await self.commit(*self.forgotten(period, domain))
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
        operations: list[Operation] = [*self.forgotten(period, domain)]
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
            operations.append(queued(len(contents), address))
            contents.append(Content(octets, index(octets)))
        await self.commit(*operations, contents=tuple(contents))
        if contents:
            count("a3_reports_sent_total", KIND, len(contents))
            emit("reports.dmarc.sent", domain=domain, places=len(contents), rows=len(made.report.rows))


def _kept(made: Made, sender: Sender, now: int) -> PutReport:
    """What we saw of mail in the name of a domain of ours, beside the reports of others."""
    report = made.report
    content = fitting(keep(report))
    domain = report.published.domain
    return PutReport(KIND, domain, sender.domain, report.report_id, report.begins, report.ends, content, now)
