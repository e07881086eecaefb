"""TLS reports that come by POST (RFC 8460 section 5.4), for domains that want them so.

Nobody proves who he is here, and anybody can write that our TLS fails: the source of such a report is the
address it came from, not a domain, and only so many are taken of one address an hour and for one domain a day
(attack row 24 bounds what is packed). What is kept is what ``ops/reports/tls.py`` keeps of a mailed one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from a3mailer.edge.http.exchange import BadRequest, Request, Response
from a3mailer.edge.http.routes import Route
from a3mailer.identity.directory import takes_posted_reports
from a3mailer.identity.throttle import network
from a3mailer.msgauth.packed import Unreadable
from a3mailer.msgauth.tlsrpt import GZIP_MEDIA, JSON_MEDIA
from a3mailer.ops.domain_records import TLS_REPORTS
from a3mailer.runtime.clock import Clock
from a3mailer.store.operations import PutReport
from a3mailer.store.ports import Store, Transaction
from a3mailer.store.rows import Domain
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.policy.reports import MAX_CONTENT, MAX_FOUND, MAX_WORD, ReportFound

MAX_BODY: Final = 2 << 20
"""Octets of a report, packed or not."""
MEDIA: Final = (GZIP_MEDIA, JSON_MEDIA)
MOST_OF_ONE: Final = 20
"""Reports of one network an hour ..."""
MOST_FOR_ONE: Final = 100
"""... and for one domain a day, that a worker takes."""
MOST_COUNTED: Final = 10_000
"""Networks and domains whose reports are counted."""
HOUR: Final = 3600
DAY: Final = 86_400
AT_ONCE: Final = 2
"""Reports of one worker that are read at once."""

Read = Callable[[bytes], Sequence[ReportFound]]
"""Errors: Unreadable. It may take a second of CPU."""


@dataclass(frozen=True, slots=True)
class Collecting:
    """``domain`` knows the domains of ours."""

    store: Store
    domain: Callable[[str], Awaitable[Domain | None]]
    clock: Clock
    read: Read
    _counts: dict[tuple[int, str], int] = field(default_factory=dict)
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        return (Route(("POST",), TLS_REPORTS, self._posted, body=MAX_BODY, gives={201: ""},
                      about="Reports of others on TLS to us (RFC 8460 section 5.4)."),)  # fmt: skip

    async def _posted(self, request: Request) -> Response:
        domain = await self.domain(request.parameters["domain"])
        if domain is None or not takes_posted_reports(domain):
            raise BadRequest(404, "")
        media = (request.header(b"content-type") or "").partition(";")[0].strip().lower()
        if media not in MEDIA or (request.header(b"content-encoding") or "identity").lower() != "identity":
            raise BadRequest(415, f"a report is {' or '.join(MEDIA)}")
        now = int(self.clock.now())
        self._count(now // HOUR, network(request.peer), MOST_OF_ONE, HOUR)
        octets = await request.read_body()
        try:
            async with self._gate:
                found = await asyncio.to_thread(self.read, octets)
        except Unreadable as error:
            raise BadRequest(400, f"this is no report: {error}") from error
        ours = [each for each in found if f".{each.domains[0]}".endswith(f".{domain.name}")]
        kept = [each for each in ours if len(each.content.encode()) <= MAX_CONTENT][:MAX_FOUND]
        if not kept:
            raise BadRequest(422, f"it says nothing of {domain.name}")
        self._count(now // DAY, f"for {domain.name}", MOST_FOR_ONE, DAY)
        operations = tuple(_kept(each, domain.name, request.peer, now) for each in kept)
        await self.store.commit(Transaction(operations))
        count("a3_reports_received_total", "tls", len(kept))
        emit("report.posted", domain=domain.name, client=request.peer, reports=len(kept))
        return Response(201)

    def _count(self, period: int, whom: str, most: int, seconds: int) -> None:
        """Errors: BadRequest (429)."""
        key = (period, whom)
        seen = self._counts.pop(key, 0)
        if len(self._counts) >= MOST_COUNTED:
            del self._counts[next(iter(self._counts))]
        self._counts[key] = min(seen + 1, most + 1)
        if seen >= most:
            raise BadRequest(429, "enough reports for now", (("Retry-After", str(seconds)),))


def _kept(found: ReportFound, domain: str, peer: str, now: int) -> PutReport:
    identity = found.identity[:MAX_WORD]
    return PutReport(found.kind, domain, f"[{peer}]", identity, found.begins, found.ends, found.content, now)
