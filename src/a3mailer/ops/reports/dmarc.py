"""DMARC aggregate reports about our domains (RFC 7489 section 7.2): what is kept of one, and what follows.

Rows are added up by address and results, and the most frequent are kept; a report of a large receiver has
tens of thousands that say the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from a3mailer.mail.message import MessageIndex
from a3mailer.msgauth.aggregate import Aggregate, Row, parse
from a3mailer.msgauth.packed import Unreadable
from a3mailer.ops.reports.kind import Kind, days, mails
from a3mailer.ops.reports.parts import attachments
from a3mailer.store.rows import Report
from a3mailer.transfer.policy.reports import MAX_CONTENT, ReportFound, ReportMail

NAME: Final = "dmarc"
MAX_SOURCES: Final = 1000
"""Sources of one report that are kept; the mails of the others are one number."""
ADVICES: Final = 10
"""Sources of a domain that advice names; those with the most failures."""
STRICTER_MAILS: Final = 100
"""Mails that all have to have passed before a stricter policy is advised."""
_MEDIA: Final = frozenset(
    (
        b"application/gzip", b"application/x-gzip", b"application/zip", b"application/x-zip-compressed",
        b"application/xml", b"text/xml", b"application/octet-stream",
    )
)  # fmt: skip
_MARKS: Final = (b"<feedback", b":feedback")
_LOOKED_AT: Final = 4096
LOOKED_AT_ROWS: Final = 100
"""Rows whose author may say whom a report is about, where its policy is of a domain above ours."""


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """Mails that came from one address with the same results."""

    ip: str
    header_from: str
    count: int
    passed: bool
    """DMARC: an aligned SPF or DKIM."""
    spf: str = "none"
    """What SPF said of ``spf_domain``; ``dkim`` likewise, the best of all signatures."""
    spf_domain: str = ""
    dkim: str = "none"
    dkim_domain: str = ""
    disposition: str = ""


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a report."""

    organization: str
    email: str
    domain: str
    policy: str
    mails: int
    passed: int
    sources: tuple[Source, ...] = ()
    left_out: int = 0
    """Mails of sources that are not among ``sources``."""


_decode: Final = msgspec.json.Decoder(Kept).decode


def read(mail: ReportMail, index: MessageIndex) -> Sequence[ReportFound]:
    """The reports of a mail: each attachment may be one."""
    found = []
    for octets in attachments(mail.octets, index, _MEDIA):
        if not any(mark in octets[:_LOOKED_AT] for mark in _MARKS):
            continue
        try:
            report = parse(octets)
        except Unreadable:
            continue
        kept = keep(report)
        content = fitting(kept)
        names = (report.published.domain, *(row.header_from for row in report.rows[:LOOKED_AT_ROWS]))
        domains = tuple(dict.fromkeys(name for name in names if name))
        found.append(ReportFound(NAME, domains, report.report_id, report.begins, report.ends, content))
    return found


def keep(report: Aggregate) -> Kept:
    """A report as it is kept."""
    counts: dict[Source, int] = {}
    for row in report.rows:
        source = _source(row)
        counts[source] = counts.get(source, 0) + row.count
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0].ip))
    total = sum(counts.values())
    sources = tuple(msgspec.structs.replace(s, count=n) for s, n in ordered[:MAX_SOURCES])
    return Kept(
        report.organization,
        report.email,
        report.published.domain,
        report.published.policy,
        total,
        sum(n for s, n in counts.items() if s.passed),
        sources,
        total - sum(s.count for s in sources),
    )


def fitting(kept: Kept) -> str:
    """As JSON, without the rarest sources where it would be too large."""
    content = msgspec.json.encode(kept)
    while len(content) > MAX_CONTENT and kept.sources:
        sources = kept.sources[: len(kept.sources) // 2]
        left_out = kept.mails - sum(source.count for source in sources)
        kept = msgspec.structs.replace(kept, sources=sources, left_out=left_out)
        content = msgspec.json.encode(kept)
    return content.decode()


def _source(row: Row) -> Source:
    dkim = sorted(row.dkim_auth, key=lambda d: (d.result != "pass", d.domain != row.header_from))
    spf = sorted(row.spf_auth, key=lambda s: (s.result != "pass", s.scope == "helo"))
    return Source(
        row.source_ip,
        row.header_from,
        0,
        "pass" in (row.dkim, row.spf),
        spf[0].result or "none" if spf else "none",
        spf[0].domain if spf else "",
        dkim[0].result or "none" if dkim else "none",
        dkim[0].domain if dkim else "",
        row.disposition,
    )


def _kept(report: Report) -> Kept | None:
    try:
        return _decode(report.content)
    except msgspec.MsgspecError:
        return None


def columns(report: Report) -> Mapping[str, object]:
    """What a list says of a report."""
    kept = _kept(report)
    if kept is None:
        return {"organization": "", "mails": 0, "passed": 0, "policy": ""}
    return {
        "organization": kept.organization,
        "mails": kept.mails,
        "passed": kept.passed,
        "policy": kept.policy,
    }


def lines(report: Report) -> Sequence[str]:
    """One report for people."""
    kept = _kept(report)
    if kept is None:
        return ("it cannot be read by this version",)
    head = (
        f"by {kept.organization} <{kept.email}>",
        f"{mails(kept.mails)} as {kept.domain}, {kept.passed:,} passed, policy {kept.policy}",
    )
    rows = [
        f"  {s.ip}  {mails(s.count)}  {'passed' if s.passed else 'FAILED'}"
        f"  SPF {s.spf} ({s.spf_domain or '-'})  DKIM {s.dkim} ({s.dkim_domain or '-'})  {s.disposition}"
        for s in kept.sources
    ]
    more = [f"  and {mails(kept.left_out)} of others"] if kept.left_out else []
    return (*head, *rows, *more)


class _Domain:
    """What is known of one domain."""

    def __init__(self) -> None:
        self.reports = self.mails = self.passed = self.begins = self.ends = 0
        self.policy = ""
        self.sources: dict[Source, int] = {}


class DmarcSummary:
    """See ``kind.Summary``."""

    def __init__(self) -> None:
        self._domains: dict[str, _Domain] = {}

    def add(self, report: Report) -> None:
        """Take one more in."""
        kept = _kept(report)
        if kept is None:
            return
        at = self._domains.setdefault(report.domain, _Domain())
        at.reports += 1
        at.mails += kept.mails
        at.passed += kept.passed
        at.begins = min(at.begins or report.begins, report.begins)
        at.ends = max(at.ends, report.ends)
        at.policy = kept.policy
        for source in kept.sources:
            same = msgspec.structs.replace(source, count=0, disposition="")
            at.sources[same] = at.sources.get(same, 0) + source.count

    def domains(self) -> Sequence[Mapping[str, object]]:
        """One entry a domain, with what follows for it."""
        return [self._entry(name, at) for name, at in sorted(self._domains.items())]

    def _entry(self, name: str, at: _Domain) -> Mapping[str, object]:
        ordered = sorted(at.sources.items(), key=lambda item: (item[0].passed, -item[1], item[0].ip))
        return {
            "domain": name,
            "reports": at.reports,
            "begins": at.begins,
            "ends": at.ends,
            "mails": at.mails,
            "passed": at.passed,
            "policy": at.policy,
            "sources": [{**msgspec.structs.asdict(s), "count": n} for s, n in ordered[:MAX_SOURCES]],
            "advice": advice(name, at.policy, at.mails, at.passed, ordered, days(at.begins, at.ends)),
        }


def advice(
    domain: str, policy: str, total: int, passed: int, sources: Sequence[tuple[Source, int]], time: str
) -> list[str]:
    """What to do, in words; the worst first."""
    said = [_about(s, n, time, domain) for s, n in sources if not s.passed][:ADVICES]
    if total >= STRICTER_MAILS and passed == total and policy == "none":
        said.append(
            f"All {mails(total)} as {domain} passed in {time}: its policy can be p=quarantine, then p=reject."
        )
    return said


def _about(source: Source, number: int, time: str, domain: str) -> str:
    name = source.header_from or domain
    spf = f"SPF {source.spf}" + (f" for {source.spf_domain}" if source.spf_domain not in ("", name) else "")
    dkim = f"DKIM {source.dkim}"
    if source.dkim == "pass" and source.dkim_domain != name:
        dkim += f" for {source.dkim_domain}"
        what = f"if it is yours, have it sign as {name}"
    elif source.dkim not in ("none", "pass"):
        what = "if it is yours, its signatures break on the way or its key record is wrong"
    else:
        what = "if it is yours, add it to SPF or sign there"
    return f"{source.ip} sends as {name} with {spf} and {dkim}: {mails(number)} in {time}; {what}."


KIND: Final = Kind(NAME, "DMARC aggregate reports", read, lines, columns, DmarcSummary)
