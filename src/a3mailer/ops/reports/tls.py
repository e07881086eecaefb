"""TLS reports about our domains (RFC 8460): what is kept of one, how it reads, and what follows (advice)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from a3mailer.mail.message import MessageIndex
from a3mailer.msgauth.packed import Unreadable, unpack
from a3mailer.msgauth.tlsrpt import GZIP_MEDIA, JSON_MEDIA, PolicyResult, TlsReport, decode, encode
from a3mailer.ops.reports.kind import Kind
from a3mailer.ops.reports.parts import attachments
from a3mailer.ops.reports.tls_advice import TlsSum, said, times, word
from a3mailer.store.rows import Report
from a3mailer.transfer.policy.reports import MAX_CONTENT, ReportFound, ReportMail

NAME: Final = "tls"
MOST_DETAILS: Final = 200
"""Kinds of failure of one policy that are kept: those that happened most often."""
FEWER_DETAILS: Final = (50, 10, 2, 0)
"""... where a report would be too large to be kept."""
MOST_POLICIES: Final = 50
"""Policies of one domain in one report that are kept."""
_MEDIA: Final = frozenset((GZIP_MEDIA.encode(), JSON_MEDIA.encode(), b"application/gzip", b"application/json",
                           b"application/x-gzip", b"application/octet-stream"))  # fmt: skip
_MARKS: Final = (b'"date-range"', b'"policies"')


def read(mail: ReportMail, index: MessageIndex) -> Sequence[ReportFound]:
    """The reports of a mail: each attachment may be one, and each policy domain in it is kept apart."""
    found = []
    for octets in attachments(mail.octets, index, _MEDIA):
        if not all(mark in octets for mark in _MARKS):
            continue
        try:
            report = decode(octets)
        except Unreadable:
            continue
        found += [_found(report, domain, results) for domain, results in _by_domain(report).items()]
    return found


def posted(octets: bytes) -> Sequence[ReportFound]:
    """The reports of a body that came by POST, packed or not (RFC 8460 section 5.2). Errors: Unreadable."""
    report = decode(unpack(octets))
    return [_found(report, domain, results) for domain, results in _by_domain(report).items()]


def _by_domain(report: TlsReport) -> dict[str, list[PolicyResult]]:
    domains: dict[str, list[PolicyResult]] = {}
    for result in report.policies:
        name = result.policy.policy_domain.lower().rstrip(".")
        domains.setdefault(name, []).append(result)
    return domains


def _found(report: TlsReport, domain: str, results: Sequence[PolicyResult]) -> ReportFound:
    for most in (MOST_DETAILS, *FEWER_DETAILS):
        policies = tuple(_bounded(result, most) for result in results[:MOST_POLICIES])
        content = encode(msgspec.structs.replace(report, policies=policies))
        if len(content) <= MAX_CONTENT:
            break
    time = report.date_range
    begins, ends = int(time.start_datetime.timestamp()), int(time.end_datetime.timestamp())
    identity = report.report_id or str(begins)
    return ReportFound(NAME, (domain,), identity, begins, ends, content.decode())


def _bounded(result: PolicyResult, most: int) -> PolicyResult:
    if len(result.failure_details) <= most:
        return result
    ranked = sorted(result.failure_details, key=lambda failure: -failure.failed_session_count)
    return msgspec.structs.replace(result, failure_details=tuple(ranked[:most]))


def _kept(report: Report) -> TlsReport | None:
    try:
        return decode(report.content.encode())
    except Unreadable:
        return None


def columns(report: Report) -> Mapping[str, object]:
    """What a list says of a report."""
    kept = _kept(report)
    summaries = [result.summary for result in kept.policies] if kept is not None else []
    return {
        "organization": word(kept.organization_name) if kept is not None else "",
        "sessions": sum(
            each.total_successful_session_count + each.total_failure_session_count for each in summaries
        ),
        "failed": sum(each.total_failure_session_count for each in summaries),
    }


def lines(report: Report) -> Sequence[str]:
    """One report for people."""
    kept = _kept(report)
    if kept is None:
        return ("it cannot be read by this version",)
    found = [f"by {word(kept.organization_name)} <{word(kept.contact_info)}>"]
    for result in kept.policies:
        good, failed = (
            result.summary.total_successful_session_count,
            result.summary.total_failure_session_count,
        )
        found.append(
            f"{word(result.policy.policy_domain)}, policy {word(result.policy.policy_type)}:"
            f" {good:,} sessions went well, {failed:,} did not"
        )
        for failure in result.failure_details:
            host = word(failure.receiving_mx_hostname or failure.receiving_ip) or "a host"
            reason = word(failure.failure_reason_code)
            found.append(
                f"  {host} {said(failure.result_type)} {times(failure.failed_session_count)}"
                f"{f' ({reason})' if reason else ''}"
            )
    return found


class TlsSummary:
    """See ``kind.Summary``."""

    def __init__(self) -> None:
        self._domains: dict[str, TlsSum] = {}

    def add(self, report: Report) -> None:
        """Take one more in."""
        kept = _kept(report)
        if kept is not None:
            self._domains.setdefault(report.domain, TlsSum()).add(kept)

    def domains(self) -> Sequence[Mapping[str, object]]:
        """One entry a domain, with what follows for it."""
        return [_entry(name, found) for name, found in sorted(self._domains.items())]


def _entry(name: str, found: TlsSum) -> Mapping[str, object]:
    good, failed = found.good.total(), found.failed.total()
    return {
        "domain": name,
        "reports": found.reports,
        "sessions": good + failed,
        "failed": failed,
        "policies": [
            {"domain": domain, "policy": kind, "sessions": n + found.failed[domain, kind],
             "failed": found.failed[domain, kind]}
            for (domain, kind), n in sorted(found.good.items())
        ],
        "failures": [
            {"host": kind.host, "result": kind.result, "policy": kind.policy_type, "count": n}
            for kind, n in found.failures.most_common()
        ],
        "advice": found.advice(),
    }  # fmt: skip


KIND: Final = Kind(NAME, "TLS reports", read, lines, columns, TlsSummary)
