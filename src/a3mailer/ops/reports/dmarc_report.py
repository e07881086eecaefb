"""Our DMARC report of one day to one domain: from what was counted to the XML and the mail (RFC 9990)."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from a3mailer.msgauth.aggregate import (
    Aggregate,
    DkimAuth,
    Published,
    Reason,
    Row,
    SpfAuth,
    encode,
    file_name,
)
from a3mailer.msgauth.dmarc_record import DmarcRecord
from a3mailer.ops.reports import posting
from a3mailer.ops.reports.kind import DAY, mails
from a3mailer.ops.reports.posting import Sender
from a3mailer.store.operations import Tally
from a3mailer.transfer.policy.dmarc_outcomes import DmarcOutcome

MOST_ROWS: Final = 10_000
"""Rows of one report; the rarest are left out, and the report says so."""
MEDIA: Final = "application/gzip"

_decode: Final = msgspec.json.Decoder(DmarcOutcome).decode


@dataclass(frozen=True, slots=True)
class Made:
    """A report that is ready to go."""

    report: Aggregate
    packed: bytes
    """Compressed XML."""
    name: str
    """Of the file."""


def make(period: int, domain: str, tallies: Iterable[Tally], record: DmarcRecord, sender: Sender) -> Made:
    """Made of the same counts it is the same octets: a second attempt is no second report."""
    unique = hashlib.blake2b(f"{period} {domain} {sender.domain}".encode(), digest_size=8).hexdigest()
    rows, left_out = rows_of(tallies)
    report = Aggregate(
        sender.domain,
        sender.address,
        unique,
        period,
        period + DAY - 1,
        Published(
            domain,
            record.policy,
            record.subdomain_policy,
            record.absent_policy,
            "s" if record.strict_dkim else "r",
            "s" if record.strict_spf else "r",
            record.testing,
            record.failure_options,
        ),
        rows,
        errors=(f"{mails(left_out)} in rare rows left out",) if left_out else (),
    )
    name = file_name(sender.domain, domain, period, period + DAY - 1, unique)
    return Made(report, gzip.compress(encode(report), mtime=0), name)


def rows_of(tallies: Iterable[Tally]) -> tuple[tuple[Row, ...], int]:
    """The rows, the most frequent first, and how many mails are in none."""
    found = []
    for tally in tallies:
        try:
            found.append(_row(_decode(tally.key), tally.count))
        except msgspec.MsgspecError:  # of a version to come
            continue
    found.sort(key=lambda row: (-row.count, row.source_ip))
    return tuple(found[:MOST_ROWS]), sum(row.count for row in found[MOST_ROWS:])


def _row(outcome: DmarcOutcome, count: int) -> Row:
    spf = SpfAuth(outcome.spf_domain, "mfrom", outcome.spf_result)  # all there is (RFC 9990 3.1.1.13)
    return Row(
        outcome.ip,
        count,
        outcome.disposition,
        "pass" if outcome.dkim else "fail",
        "pass" if outcome.spf else "fail",
        outcome.author,
        outcome.envelope_from,
        reasons=(Reason(outcome.reason),) if outcome.reason else (),
        dkim_auth=tuple(DkimAuth(*signature) for signature in outcome.signatures),
        spf_auth=(spf,) if outcome.spf_result else (),
    )


def compose(made: Made, domain: str, to: str, sender: Sender, now: int, token: str) -> bytes:
    """The mail (RFC 9990 section 3.5.2)."""
    report = made.report
    passed = sum(row.count for row in report.rows if "pass" in (row.dkim, row.spf))
    failed = sum(row.count for row in report.rows) - passed
    day = datetime.fromtimestamp(report.begins, UTC).date()
    letter = posting.Letter(
        report.report_id,
        f"{report.report_id}@{sender.domain}",
        "multipart/mixed",
        f"{sender.domain} tells {domain} what DMARC found of mail in its name on {day} (UTC):\n"
        f"{passed} passed, {failed} failed. The report is attached (RFC 7489, RFC 9990).",
        MEDIA,
        made.name,
        made.packed,
    )
    return posting.compose(letter, domain, to, sender, now, token)
