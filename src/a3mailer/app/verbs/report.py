"""What others reported about our domains: listed, shown, added up into advice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import msgspec

from a3mailer.app.verbs.office import Office, Request
from a3mailer.identity.names import clean_domain
from a3mailer.identity.principal import Object
from a3mailer.identity.roles import allow
from a3mailer.mail.errors import BadName, NoSuchThing
from a3mailer.ops.reports import KINDS
from a3mailer.ops.reports.kind import Kind
from a3mailer.store.rows import Report

REPORTS_A_PAGE: Final = 100
DAY: Final = 86_400
DAYS: Final = 30
MAX_LISTED: Final = 100_000


class Wanted(Request, frozen=True, kw_only=True):
    kind: str
    domain: str = ""
    """Empty: all."""
    days: int = DAYS


class Listed(Wanted, frozen=True, kw_only=True):
    after: int = 0
    """The number of a report: those after it."""
    limit: int = MAX_LISTED


class One(Request, frozen=True, kw_only=True):
    kind: str
    report: int


def _kind(name: str) -> Kind:
    for kind in KINDS:
        if kind.name == name:
            return kind
    raise BadName(f"no such kind of reports: {name}")


async def _may_see(office: Office, domain: str) -> bool:
    """A domain that is gone is the server's own affair."""
    row = await office.store.domain(domain)
    return allow(office.subject, "report.list", Object(row.tenant, domain=domain) if row else Object())


async def _reports(office: Office, request: Wanted, after: int = 0) -> AsyncIterator[Report]:
    if request.days < 1:
        raise BadName("days are 1 or more")
    domain = clean_domain(request.domain) if request.domain else ""
    since = office.now - request.days * DAY
    seen: dict[str, bool] = {}
    while page := await office.store.reports(request.kind, domain, since, after, REPORTS_A_PAGE):
        for report in page:
            if report.domain not in seen:
                seen[report.domain] = await _may_see(office, report.domain)
            if seen[report.domain]:
                yield report
        after = page[-1].number


async def list_(office: Office, request: Listed) -> list[dict[str, object]]:
    """In the order they came. Errors: BadName."""
    kind = _kind(request.kind)
    found: list[dict[str, object]] = []
    async for report in _reports(office, request, request.after):
        if len(found) >= request.limit:
            break
        found.append(_row(kind, report))
    return found


def _row(kind: Kind, report: Report) -> dict[str, object]:
    return {
        "report": report.number,
        "received": report.received,
        "domain": report.domain,
        "source": report.source,
        "begins": report.begins,
        "ends": report.ends,
        **kind.columns(report),
    }


async def show(office: Office, request: One) -> dict[str, object]:
    """One with all that is kept of it. Errors: NoSuchThing, BadName."""
    kind = _kind(request.kind)
    absent = NoSuchThing(f"no {kind.name} report {request.report}")
    try:
        report = await office.store.report(request.report)
    except NoSuchThing:
        raise absent from None
    if report.kind != kind.name or not await _may_see(office, report.domain):
        raise absent
    content = msgspec.json.decode(report.content)
    said = list(kind.lines(report))
    return {**_row(kind, report), "identity": report.identity, "lines": said, "content": content}


async def summary(office: Office, request: Wanted) -> list[dict[str, object]]:
    """One entry a domain: the sums, and what follows. Errors: BadName."""
    made = _kind(request.kind).summary()
    async for report in _reports(office, request):
        made.add(report)
    return [dict(each) for each in made.domains()]
