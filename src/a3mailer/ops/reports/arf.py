"""Complaints about our mail, and reports of mail in our name that failed (RFC 5965, RFC 6591)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from a3mailer.mail.message import MessageIndex
from a3mailer.msgauth.feedback import AUTH_FAILURE, Feedback, parse
from a3mailer.ops.reports.kind import Kind, mails
from a3mailer.store.rows import Report
from a3mailer.transfer.policy.reports import Complaint, ReportFound, ReportMail

NAME: Final = "arf"
ADVICES: Final = 10
NOT_ABUSE: Final = ("not-spam", AUTH_FAILURE)

_decode: Final = msgspec.json.Decoder(Feedback).decode


def read(mail: ReportMail, index: MessageIndex) -> Sequence[ReportFound]:
    """The one report a mail can be."""
    report = parse(mail.octets, index)
    if report is None:
        return ()
    senders = tuple(dict.fromkeys(each for each in (report.mail_from, _address(report.author)) if each))
    names = (*report.reported_domains, report.dkim_domain, *(each.rpartition("@")[2] for each in senders))
    content = msgspec.json.encode(report)
    identity = hashlib.blake2b(content, digest_size=16).hexdigest()
    domains = tuple(dict.fromkeys(name.lower() for name in names if name))
    complaint = None
    if report.kind not in NOT_ABUSE:
        complaint = Complaint(report.kind, report.message_id, senders, report.rcpt_to)
    return (
        ReportFound(NAME, domains, identity, report.arrival, report.arrival, content.decode(), complaint),
    )


def _address(author: str) -> str:
    """That of ``Name <address>``."""
    return author.rpartition("<")[2].removesuffix(">").strip()


def _kept(report: Report) -> Feedback | None:
    try:
        return _decode(report.content)
    except msgspec.MsgspecError:
        return None


def columns(report: Report) -> Mapping[str, object]:
    """What a list says of a report."""
    kept = _kept(report) or Feedback("")
    return {"type": kept.kind, "ip": kept.source_ip, "from": kept.mail_from, "mails": kept.incidents}


def lines(report: Report) -> Sequence[str]:
    """One report for people."""
    kept = _kept(report)
    if kept is None:
        return ("it cannot be read by this version",)
    named = (
        ("type", kept.kind + (f" ({kept.auth_failure})" if kept.auth_failure else "")),
        ("made by", kept.agent),
        ("came from", kept.source_ip),
        ("sender", kept.mail_from),
        ("recipients", ", ".join(kept.rcpt_to)),
        ("author", kept.author),
        ("subject", kept.subject),
        ("message", kept.message_id),
        ("mails", str(kept.incidents)),
        ("results", "; ".join(kept.results)),
    )
    return [f"  {name}: {value}" for name, value in named if value]


class ArfSummary:
    """See ``kind.Summary``."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[tuple[str, str, str], int]] = {}
        self._reports: dict[str, int] = {}

    def add(self, report: Report) -> None:
        """Take one more in."""
        kept = _kept(report)
        if kept is None:
            return
        counts = self._counts.setdefault(report.domain, {})
        key = (kept.kind, kept.mail_from, kept.source_ip)
        counts[key] = counts.get(key, 0) + kept.incidents
        self._reports[report.domain] = self._reports.get(report.domain, 0) + 1

    def domains(self) -> Sequence[Mapping[str, object]]:
        """One entry a domain, with what follows for it."""
        return [self._entry(name, counts) for name, counts in sorted(self._counts.items())]

    def _entry(self, name: str, counts: Mapping[tuple[str, str, str], int]) -> Mapping[str, object]:
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return {
            "domain": name,
            "reports": self._reports[name],
            "mails": sum(counts.values()),
            "sources": [
                {"type": kind, "from": sender, "ip": ip, "count": n} for (kind, sender, ip), n in ordered
            ],
            "advice": [_about(name, *key, number=n) for key, n in ordered[:ADVICES]],
        }


def _about(domain: str, kind: str, sender: str, ip: str, *, number: int) -> str:
    who = sender or domain
    if kind == AUTH_FAILURE:
        where = ip or "somewhere"
        return f"{mails(number)} as {who} from {where} failed; if it is yours, add it to SPF or sign there."
    if kind == "not-spam":
        return f"{mails(number)} of {who} were taken for spam, and their readers say that they are none."
    return (
        f"Readers complain about {mails(number)} of {who} ({kind}): send them no more, look at that account."
    )


KIND: Final = Kind(NAME, "complaints and failure reports", read, lines, columns, ArfSummary)
