"""The judge that reads reports in mail to our report addresses (RFC 7489, 8460, 5965); the mail goes its way.

A report is believed only where the domain that sent it proved itself (RFC 7489 section 7.2.1.1): anybody can
write that our mail fails. What is read becomes operations of the transaction that stores the mail, so that
the two are there together. What a report is, the table of ``ops/reports`` knows; it is read in a thread.
"""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Callable
from typing import Final

import msgspec

from a3mailer.config.tree import Settings
from a3mailer.identity.directory import REPORT_ADDRESSES, ROLE_ADDRESSES, Directory, fold
from a3mailer.mail.envelope import Recipient
from a3mailer.runtime.clock import Clock
from a3mailer.store.operations import Operation, PutReport
from a3mailer.store.ports import Store
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.outcomes import complained
from a3mailer.transfer.policy.judge import Judged
from a3mailer.transfer.suppression import Suppressions

MAX_MAIL: Final = 24 << 20
"""Octets of a mail in which a report is looked for."""
MAX_FOUND: Final = 10
"""Reports of one mail that are kept."""
MAX_WORD: Final = 255
"""Characters of the names a report is kept under."""
MAX_CONTENT: Final = 64 * 1024
"""Octets of JSON that are kept of one report: with ``reports.most`` the bound of what strangers can fill."""
MEANT: Final = REPORT_ADDRESSES | ROLE_ADDRESSES
"""Local parts that reports are sent to."""


class ReportMail(msgspec.Struct, frozen=True):
    """A mail that may carry reports."""

    author: str
    """The domain that proved to have sent it."""
    octets: bytes | mmap.mmap


class Complaint(msgspec.Struct, frozen=True):
    """Somebody did not want a mail of ours."""

    kind: str
    """Of RFC 5965: abuse, fraud ..."""
    message_id: str
    senders: tuple[str, ...]
    """Addresses it came from, reverse-path first."""
    recipients: tuple[str, ...]


class ReportFound(msgspec.Struct, frozen=True):
    """One report, read."""

    kind: str
    domains: tuple[str, ...]
    """What it may be about, the likeliest first: the first of ours is."""
    identity: str
    """Its name among those of its sender."""
    begins: int
    ends: int
    content: str
    """JSON: what is kept of it."""
    complaint: Complaint | None = None
    """None where it only tells."""


Read = Callable[[ReportMail], tuple[ReportFound, ...]]
"""Total; it may take a second of CPU."""


class ReportMails:
    """See ``transfer/policy/judge.py``."""

    __slots__ = ("_addresses", "_clock", "_directory", "_read", "_store", "_suppressions")

    def __init__(
        self, read: Read, store: Store, directory: Directory, settings: Settings, clock: Clock
    ) -> None:
        self._read = read
        self._store = store
        self._directory = directory
        self._clock = clock
        self._suppressions = Suppressions(store, settings, clock)
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        self._suppressions.reconfigure(settings)
        self._addresses = frozenset(address.lower() for address in settings.reports.addresses)

    def wants(self, arrival: Arrival) -> bool:
        """Mail of other servers to a report address of ours."""
        if arrival.client.protocol != "SMTP" or arrival.client.account:
            return False
        for recipient in arrival.envelope.recipients:  # noqa: SIM110 - asked of every mail: no object is made
            if self._is_meant(recipient):
                return True
        return False

    def _is_meant(self, recipient: Recipient) -> bool:
        local_part = recipient.address.local_part
        if fold(local_part).partition("+")[0] in MEANT:
            return True
        return bool(self._addresses) and str(recipient.address).lower() in self._addresses

    async def judge(self, mail: Judged, seconds: float) -> Judged:
        """It refuses nothing and changes nothing of the mail."""
        octets, trace = mail.arrival.octets, mail.arrival.trace
        if not mail.author or len(octets) > MAX_MAIL:
            emit("report.not_looked_for", level="debug", trace=trace, author=mail.author, octets=len(octets))
            return mail
        read = await asyncio.to_thread(self._read, ReportMail(mail.author, octets))
        found = [each for each in read if len(each.content.encode()) <= MAX_CONTENT]
        if len(found) < len(read):
            emit("report.too_large", level="warning", trace=trace, source=mail.author)
        operations = mail.arrival.beside
        for each in found[:MAX_FOUND]:
            domain = await self._ours(each.domains)
            if domain:
                operations += (
                    self._kept(each, domain, mail.author),
                    *await self._told(each.complaint, mail.author),
                )
            count("a3_reports_received_total", each.kind)
            emit(
                "report.complaint" if each.complaint else "report.received",
                level="warning" if each.complaint else "info",
                trace=trace,
                kind=each.complaint.kind if each.complaint else each.kind,
                source=mail.author,
                domain=domain,
                about=each.domains[:MAX_FOUND],
            )
        if operations is mail.arrival.beside:
            return mail
        arrival = msgspec.structs.replace(mail.arrival, beside=operations)
        return msgspec.structs.replace(mail, arrival=arrival)

    async def _told(self, complaint: Complaint | None, source: str) -> tuple[Operation, ...]:
        """Whoever sent the mail through the API hears of it; nothing is sent to who complained.

        Of a reader only his own provider may say so, or who knows the random name of a mail that was sent to
        him: or anybody could take anybody off our mail."""
        told: tuple[Operation, ...] = ()
        for sender in complaint.senders if complaint is not None else ():
            owner = await self._store.address(sender.lower())
            if complaint is None or owner is None or owner.kind != "account":
                continue
            for recipient in complaint.recipients[:MAX_FOUND]:
                now = int(self._clock.now())
                known = await complained(self._store, owner.account, complaint.message_id, recipient, now)
                told += known
                if known or _is_provider(source, recipient.rpartition("@")[2].lower()):
                    words = f"complained of by {source}"
                    told += self._suppressions.complaint(owner.tenant, recipient.lower(), words)
            break
        return told

    def _kept(self, found: ReportFound, domain: str, source: str) -> PutReport:
        return PutReport(
            found.kind,
            domain,
            source,
            found.identity[:MAX_WORD],
            found.begins,
            found.ends,
            found.content,
            int(self._clock.now()),
        )

    async def _ours(self, domains: tuple[str, ...]) -> str:
        """The first domain of ours, or one of ours that one of them lies below; empty for none."""
        for domain in domains[:MAX_FOUND]:
            name = domain[:MAX_WORD]
            while "." in name:
                if await self._directory.domain(name) is not None:
                    return name.lower()
                name = name.partition(".")[2]
        return ""


def _is_provider(source: str, domain: str) -> bool:
    """Is one of them the other or below it? A provider may report under a name of its own organization."""
    return bool(domain) and (f".{source}".endswith(f".{domain}") or f".{domain}".endswith(f".{source}"))
