"""Abuse and failure reports in the Abuse Reporting Format (RFC 5965, 6591, 6650, 9991), read and written.

A ``multipart/report`` of three parts: words for people, ``message/feedback-report`` for programs, and the
mail it is about or its header. Reading is total and bounded: what is no report is None, what is broken in one
is left out. What is written has no octet of a recipient in clear that it need not have: see ``redact``.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

from msgspec import Struct

from a3mailer.mail.message import MessageIndex, Octets, dates, encodings
from a3mailer.mail.message.dates import format_date
from a3mailer.mail.message.headers import decode_words, fields, header_end, unfold

MAX_REPORT: Final = 64 * 1024
"""Octets of the machine-readable part that are read."""
MAX_HEADER: Final = 256 * 1024
"""Octets of the header of the mail it is about that are read."""
MAX_FIELDS: Final = 500
MAX_VALUES: Final = 50
"""Values of one field that are kept."""
MAX_TEXT: Final = 1000
MAX_INCIDENTS: Final = 1 << 31
KINDS: Final = ("abuse", "fraud", "virus", "not-spam", "auth-failure", "other")
AUTH_FAILURE: Final = "auth-failure"
_MEDIA: Final = b"message/feedback-report"
_HEADERS: Final = (b"text/rfc822-headers", b"message/rfc822", b"message/global", b"message/global-headers")
_ADDRESS: Final = re.compile(rb"(?<![^\s<>,;:\"'=()@])[^\s<>,;:\"'=()@]++(?=@[A-Za-z0-9])")
"""A word before an at-sign; each word is looked at once."""


class Feedback(Struct, frozen=True):
    """One report. Of fields that are not there the values are empty or 0."""

    kind: str
    """``abuse``, ``auth-failure`` ...: a word of KINDS, or another one as it came."""
    agent: str = ""
    """What made it."""
    source_ip: str = ""
    reported_domains: tuple[str, ...] = ()
    mail_from: str = ""
    rcpt_to: tuple[str, ...] = ()
    arrival: int = 0
    """Seconds since the epoch."""
    incidents: int = 1
    auth_failure: str = ""
    """``dmarc``, ``spf``, ``signature`` ... (RFC 6591 section 3.3)."""
    delivery_result: str = ""
    results: tuple[str, ...] = ()
    """Authentication-Results of who reports."""
    dkim_domain: str = ""
    """Of the aligned signature that failed, as the next two."""
    dkim_identity: str = ""
    dkim_selector: str = ""
    alignment: tuple[str, ...] = ()
    """Methods that found nothing aligned (Identity-Alignment, RFC 9991 section 4)."""
    spf_domain: str = ""
    """The aligned domain that SPF failed for; ``spf_policies`` are its records (SPF-DNS)."""
    spf_policies: tuple[str, ...] = ()
    message_id: str = ""
    """Of the mail it is about, as the next two."""
    author: str = ""
    subject: str = ""


def parse(octets: Octets, index: MessageIndex) -> Feedback | None:
    """The report of a mail, None where it carries none."""
    report: dict[bytes, list[bytes]] | None = None
    about: dict[bytes, list[bytes]] = {}
    for part in index.parts:
        if part.media == _MEDIA and report is None:
            content = bytes(octets[part.body : min(part.end, part.body + MAX_REPORT)])
            report = _fields(encodings.decode(content, part.encoding))
        elif part.media in _HEADERS and report is not None and not about:
            content = bytes(octets[part.body : min(part.end, part.body + MAX_HEADER)])
            content = encodings.decode(content, part.encoding)
            about = _fields(content[: header_end(content, 0, len(content))])
    return _feedback(report, about) if report is not None and b"feedback-type" in report else None


# feedback-report = 1*( field CRLF ) ; fields as RFC 5322 writes them
def _fields(octets: bytes) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for number, (name, start, end) in enumerate(fields(octets, 0, len(octets))):
        if number >= MAX_FIELDS:
            break
        values = found.setdefault(name, [])
        if len(values) < MAX_VALUES:
            values.append(unfold(octets[start:end]))
    return found


def _feedback(report: dict[bytes, list[bytes]], about: dict[bytes, list[bytes]]) -> Feedback:
    incidents = _one(report, b"incidents")
    return Feedback(
        _one(report, b"feedback-type").lower(),
        _one(report, b"user-agent"),
        _one(report, b"source-ip"),
        tuple(_text(value).lower() for value in report.get(b"reported-domain", ())),
        _path(_one(report, b"original-mail-from")),
        tuple(_path(_text(value)) for value in report.get(b"original-rcpt-to", ())),
        _moment(report),
        int(incidents) if 0 < _digits(incidents) <= MAX_INCIDENTS else 1,
        _one(report, b"auth-failure").lower(),
        _one(report, b"delivery-result").lower(),
        tuple(_text(value) for value in report.get(b"authentication-results", ())),
        _one(report, b"dkim-domain").lower(),
        _one(report, b"dkim-identity"),
        _one(report, b"dkim-selector"),
        tuple(w for word in _one(report, b"identity-alignment").lower().split(",") if (w := word.strip())),
        message_id=_one(about, b"message-id"),
        author=_clean(decode_words(about.get(b"from", [b""])[0])),
        subject=_clean(decode_words(about.get(b"subject", [b""])[0])),
    )


def _digits(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def _moment(report: dict[bytes, list[bytes]]) -> int:
    for name in (b"arrival-date", b"received-date"):
        if name in report:
            return dates.parse(report[name][0]) or 0
    return 0


def _one(found: dict[bytes, list[bytes]], name: bytes) -> str:
    return _text(found[name][0]) if name in found else ""


def _text(value: bytes) -> str:
    return _clean(value.decode("utf-8", "replace"))


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:MAX_TEXT]).strip()


def _path(text: str) -> str:
    return text.removeprefix("<").removesuffix(">")


# --- writing ---------------------------------------------------------------------------------------


def redact(octets: bytes, key: bytes) -> bytes:
    """Every local part replaced by a keyed hash: the same one looks the same, and says no name (RFC 6590)."""

    def hidden(found: re.Match[bytes]) -> bytes:
        return hmac.new(key, found[0].lower(), hashlib.sha256).hexdigest()[:16].encode()

    return _ADDRESS.sub(hidden, octets)


def compose(
    report: Feedback, header: bytes, *, sender: str, to: str, subject: str, now: int, token: str
) -> bytes:
    """The whole mail. ``header``: of the mail it is about, redacted; ``token``: random, for the boundary."""
    domain = sender.rpartition("@")[2]
    boundary = f"=_{token}_arf"
    lines = [f"Feedback-Type: {_ascii(report.kind)}", f"User-Agent: {_ascii(report.agent)}", "Version: 1"]
    named = (
        ("Original-Mail-From", f"<{report.mail_from}>" if report.mail_from else ""),
        ("Arrival-Date", format_date(report.arrival) if report.arrival else ""),
        ("Source-IP", report.source_ip),
        ("Auth-Failure", report.auth_failure),
        ("Identity-Alignment", ", ".join(report.alignment)),
        ("Delivery-Result", report.delivery_result),
        ("DKIM-Domain", report.dkim_domain),
        ("DKIM-Identity", report.dkim_identity),
        ("DKIM-Selector", report.dkim_selector),
        ("Incidents", str(report.incidents)),
    )
    lines += [f"{name}: {_ascii(value)}" for name, value in named if value]
    lines += [f"Reported-Domain: {_ascii(each)}" for each in report.reported_domains]
    lines += [f"Authentication-Results: {_ascii(each)}" for each in report.results]
    lines += [f"SPF-DNS: txt : {report.spf_domain} : {_quoted(each)}" for each in report.spf_policies]
    failed = "and was not" if report.auth_failure == "dmarc" else "and of which not every proof holds"
    words = (
        f"This is a report of {domain} about a mail that said to be from {_ascii(report.reported_domains[0])}"
        f" {failed}: {_ascii(report.auth_failure)}.\r\nThe format is that of RFC 5965 and RFC 6591.\r\n"
        if report.reported_domains
        else f"This is a report of {domain}.\r\n"
    )
    head = [
        f"From: <{sender}>",
        f"To: <{to}>",
        f"Subject: {_ascii(subject)}",
        f"Date: {format_date(now)}",
        f"Message-ID: <{token}@{domain}>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=feedback-report;\r\n\tboundary="{boundary}"',
        "",
        "",
    ]
    parts = (
        ("text/plain; charset=us-ascii", words.encode()),
        ("message/feedback-report", "\r\n".join((*lines, "")).encode()),
        ("text/rfc822-headers", header),
    )
    body = b"".join(
        b"--%b\r\nContent-Type: %b\r\nContent-Transfer-Encoding: %b\r\n\r\n%b\r\n"
        % (boundary.encode(), media.encode(), b"7bit" if content.isascii() else b"8bit", content)
        for media, content in parts
    )
    return "\r\n".join(head).encode() + body + b"--%b--\r\n" % boundary.encode()


def _quoted(text: str) -> str:
    """quoted-string = DQUOTE *( qtext / quoted-pair ) DQUOTE"""
    return '"' + _ascii(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _ascii(text: str) -> str:
    """One line for a field."""
    return _clean(text).encode("ascii", "replace").decode()
