"""Our TLS report of one day to one domain: from what was counted to the JSON and the mail (RFC 8460)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from a3mailer.mail.message.dates import format_date
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
from a3mailer.store.operations import Tally
from a3mailer.transfer.tls_outcomes import TlsOutcome

DAY: Final = 86_400
MOST_POLICIES: Final = 100
MOST_DETAILS: Final = 1000
"""Kinds of failure of one policy that are told apart; those seen most often are."""

_decode: Final = msgspec.json.Decoder(TlsOutcome).decode


@dataclass(frozen=True, slots=True)
class Sender:
    """In whose name we report."""

    domain: str
    address: str
    """Where questions go, and what the mail is from."""


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


_MAIL: Final = """\
From: <{sender.address}>
To: <{to}>
Date: {date}
Subject: Report Domain: {domain}
 Submitter: {sender.domain}
 Report-ID: <{report.report_id}>
Message-ID: <{token}.{report.report_id}>
TLS-Report-Domain: {domain}
TLS-Report-Submitter: {sender.domain}
TLS-Required: No
Auto-Submitted: auto-generated
MIME-Version: 1.0
Content-Type: multipart/report; report-type="tlsrpt"; boundary="{boundary}"

This is a message in MIME format.

--{boundary}
Content-Type: text/plain; charset="us-ascii"

{sender.domain} tells {domain} how its mail to it fared under TLS on {day} (UTC):
{good} sessions went well, {failed} did not. The report is attached (RFC 8460).

--{boundary}
Content-Type: {media}
Content-Transfer-Encoding: base64
Content-Disposition: attachment;
 filename="{name}"

{attachment}
--{boundary}--
"""


def compose(made: Made, domain: str, to: str, sender: Sender, now: int, token: str) -> bytes:
    """The mail (section 5.3); ``token`` is random and makes it unlike any other. TLS that fails must not
    keep it from its domain (section 3): so says TLS-Required (RFC 8689 section 5)."""
    summaries = [result.summary for result in made.report.policies]
    text = _MAIL.format(
        sender=sender,
        to=to,
        date=format_date(now),
        domain=domain,
        report=made.report,
        token=token,
        boundary=f"=_{token}",
        day=made.report.date_range.start_datetime.date(),
        good=sum(summary.total_successful_session_count for summary in summaries),
        failed=sum(summary.total_failure_session_count for summary in summaries),
        media=GZIP_MEDIA,
        name=made.name,
        attachment=base64.encodebytes(made.packed).decode("ascii").rstrip(),
    )
    return text.replace("\n", "\r\n").encode("ascii")
