"""Our TLS report of one day to one domain: from what was counted to the JSON and the mail (RFC 8460)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from a3mailer.msgauth.tlsrpt import (
    GZIP_MEDIA,
    Failure,
    Policy,
    PolicyResult,
    Summary,
    TlsReport,
    day_range,
    encode,
    file_name,
    pack,
)
from a3mailer.ops.reports import posting
from a3mailer.ops.reports.posting import Sender
from a3mailer.store.operations import Tally
from a3mailer.transfer.relay.tls_outcomes import TlsOutcome

DAY: Final = 86_400
MOST_POLICIES: Final = 100
MOST_DETAILS: Final = 1000
"""Kinds of failure of one policy that are told apart; those seen most often are."""

_decode: Final = msgspec.json.Decoder(TlsOutcome).decode


@dataclass(frozen=True, slots=True)
class Made:
    """A report that is ready to go."""

    report: TlsReport
    packed: bytes
    """Compressed JSON."""
    name: str
    """Of the file."""


def make(period: int, domain: str, tallies: Iterable[Tally], sender: Sender) -> Made:
    """Made of the same counts it is the same octets: a second attempt is no second report."""
    unique = hashlib.blake2b(f"{period} {domain} {sender.domain}".encode(), digest_size=8).hexdigest()
    report = TlsReport(
        organization_name=sender.domain,
        date_range=day_range(period // DAY),
        contact_info=sender.address,
        report_id=f"{unique}@{sender.domain}",
        policies=results(domain, tallies),
    )
    name = file_name(sender.domain, domain, period, period + DAY - 1, unique)
    return Made(report, pack(encode(report)), name)


def results(domain: str, tallies: Iterable[Tally]) -> tuple[PolicyResult, ...]:
    """One a policy, in the order of their names and lines."""
    counted: dict[Policy, list[tuple[TlsOutcome, int]]] = {}
    for tally in tallies:
        try:
            outcome = _decode(tally.key)
        except msgspec.MsgspecError:  # of a version to come
            continue
        policy = Policy(outcome.policy_type, domain, outcome.policy_string, outcome.mx_host)
        counted.setdefault(policy, []).append((outcome, tally.count))
    policies = sorted(counted, key=msgspec.structs.astuple)[:MOST_POLICIES]
    return tuple(_result(policy, counted[policy]) for policy in policies)


def _result(policy: Policy, outcomes: list[tuple[TlsOutcome, int]]) -> PolicyResult:
    good = sum(count for outcome, count in outcomes if not outcome.result)
    failed = sorted(
        ((outcome, count) for outcome, count in outcomes if outcome.result), key=lambda each: -each[1]
    )
    details = tuple(
        Failure(
            outcome.result,
            count,
            sending_mta_ip=outcome.sender,
            receiving_mx_hostname=outcome.host,
            receiving_ip=outcome.receiver,
            failure_reason_code=outcome.reason,
        )
        for outcome, count in failed[:MOST_DETAILS]
    )
    return PolicyResult(policy, Summary(good, sum(count for _, count in failed)), details)


def compose(made: Made, domain: str, to: str, sender: Sender, now: int, token: str) -> bytes:
    """The mail (section 5.3). TLS that fails must not keep it from its domain (section 3): so says
    TLS-Required (RFC 8689 section 5)."""
    report = made.report
    good = sum(result.summary.total_successful_session_count for result in report.policies)
    failed = sum(result.summary.total_failure_session_count for result in report.policies)
    day = report.date_range.start_datetime.date()
    letter = posting.Letter(
        report.report_id,
        report.report_id,
        'multipart/report; report-type="tlsrpt"',
        f"{sender.domain} tells {domain} how its mail to it fared under TLS on {day} (UTC):\n"
        f"{good} sessions went well, {failed} did not. The report is attached (RFC 8460).",
        GZIP_MEDIA,
        made.name,
        made.packed,
        (f"TLS-Report-Domain: {domain}", f"TLS-Report-Submitter: {sender.domain}", "TLS-Required: No"),
    )
    return posting.compose(letter, domain, to, sender, now, token)
