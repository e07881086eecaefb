"""What a mail carries of the kinds of reports that are known (``transfer.reports.Read``)."""

from __future__ import annotations

from a3mailer.mail.message import index
from a3mailer.ops.reports import KINDS
from a3mailer.transfer.policy.reports import ReportFound, ReportMail


def read(mail: ReportMail) -> tuple[ReportFound, ...]:
    """Every kind looks at it."""
    made = index(mail.octets)
    return tuple(found for kind in KINDS for found in kind.read(mail, made))
