"""Compose a delivery status notification (RFC 3464, RFC 6522; RFC 3834 section 5; RFC 6533 beyond ASCII).

Three parts: a text for people, ``message/delivery-status`` for programs, and the original or its header.
Whatever came from elsewhere (addresses, replies, identifiers) is cleaned before it becomes a field: one
line, no controls, bounded. Nothing here raises.
"""

from __future__ import annotations

from typing import Final

from a3mailer.mail.message import headers
from a3mailer.mail.message.dates import format_date
from a3mailer.wire.dsn.report import Action, Original, RecipientStatus, Report

FIELD_LENGTH: Final = 700
"""Characters of a foreign text that a field repeats; a line may have 998 octets (RFC 5322 section 2.1.1)."""
LISTED: Final = 50
"""Recipients the text for people names; the rest are in the other part."""
_PRINTABLE: Final = {**dict.fromkeys(range(32), " "), 127: " "}

_SUBJECTS: Final = {
    Action.FAILED: "Your message could not be delivered",
    Action.DELAYED: "Your message is delayed",
    Action.DELIVERED: "Your message was delivered",
    Action.RELAYED: "Your message was handed on",
    Action.EXPANDED: "Your message was sent to a list",
}
_TEXTS: Final = {
    Action.FAILED: "could not be delivered to the following recipients. No further attempt will be made.",
    Action.DELAYED: "has not been delivered yet to the following recipients. You need not send it again:\r\n"
    "further attempts will be made, and you will be told if they fail for good.",
    Action.DELIVERED: "was delivered to the following recipients.",
    Action.RELAYED: "was handed on to a server that confirms no deliveries, for the following recipients.",
    Action.EXPANDED: "was sent on to the members of the following lists.",
}


def clean(text: str, limit: int = FIELD_LENGTH) -> str:
    """One bounded line without controls."""
    text = text.translate(_PRINTABLE)
    return text if len(text) <= limit else text[:limit] + "..."


# utf-8-addr-xtext = 1*(QCHAR / EmbeddedUnicodeChar) ; EmbeddedUnicodeChar = "\x{" HEXPOINT "}"
def ascii_address(address: str) -> str:
    """An address beyond ASCII in the form for ``message/delivery-status`` (RFC 6533 section 3)."""
    return "".join(c if "\x21" <= c <= "\x7e" and c not in "\\+=" else f"\\x{{{ord(c):X}}}" for c in address)


# typed-address = address-type ";" address
def _typed(address: str, utf8: bool) -> str:
    address = clean(address)
    if address.isascii():
        return f"rfc822; {address}"
    return f"utf-8; {address if utf8 else ascii_address(address)}"


def _original(original: str, utf8: bool) -> str:
    kind, _, address = clean(original).partition(";")
    if not address.isascii() and not utf8:
        address = ascii_address(address)
    return f"{kind.encode('ascii', 'replace').decode()};{address.strip()}"


def _plain(text: str, utf8: bool) -> str:
    return text if utf8 else text.encode("ascii", "replace").decode()


def status_octets(report: Report, *, utf8: bool) -> bytes:
    """The content of ``message/delivery-status``, or of ``message/global-delivery-status`` with ``utf8``."""
    first = [f"Reporting-MTA: dns; {clean(report.reporting_mta)}"]
    if report.envelope_id:
        first.insert(0, f"Original-Envelope-Id: {_plain(clean(report.envelope_id), utf8)}")
    if report.arrival:
        first.append(f"Arrival-Date: {format_date(report.arrival)}")
    if report.deliver_by:
        first.append(f"Deliver-By-Date: {format_date(report.deliver_by)}")
    groups = [first, *(_fields(recipient, utf8) for recipient in report.recipients)]
    return "\r\n\r\n".join("\r\n".join(group) for group in groups).encode() + b"\r\n"


def _fields(recipient: RecipientStatus, utf8: bool) -> list[str]:
    out = [f"Original-Recipient: {_original(recipient.original, utf8)}"] if recipient.original else []
    out += [
        f"Final-Recipient: {_typed(recipient.final, utf8)}",
        f"Action: {recipient.action.value}",
        f"Status: {clean(recipient.status)}",
    ]
    if recipient.remote_mta:
        out.append(f"Remote-MTA: dns; {_plain(clean(recipient.remote_mta), utf8)}")
    if recipient.diagnostic:
        kind = "smtp" if recipient.diagnostic[:3].isdigit() else "x-local"
        out.append(f"Diagnostic-Code: {kind}; {_plain(clean(recipient.diagnostic), utf8)}")
    if recipient.last_attempt:
        out.append(f"Last-Attempt-Date: {format_date(recipient.last_attempt)}")
    if recipient.retry_until:
        out.append(f"Will-Retry-Until: {format_date(recipient.retry_until)}")
    return out


def _text(report: Report) -> str:
    action = report.recipients[0].action
    out = [f"This is the mail system at {clean(report.reporting_mta)}.", ""]
    out += [f"Your message {_TEXTS[action]}", ""]
    for recipient in report.recipients[:LISTED]:
        out.append(f"<{clean(recipient.final)}>")
        where = f" (from {clean(recipient.remote_mta)})" if recipient.remote_mta else ""
        if recipient.diagnostic:
            out.append(f"    {clean(recipient.diagnostic)}{where}")
        if recipient.retry_until:
            out.append(f"    attempts go on until {format_date(recipient.retry_until)}")
    if len(report.recipients) > LISTED:
        out.append(f"and {len(report.recipients) - LISTED} more")
    return "\r\n".join((*out, ""))


# multipart/report = text/plain, message/delivery-status, ( message/rfc822 / text/rfc822-headers )
def compose(
    report: Report, original: Original, *, to: str, now: int, token: str, utf8: bool = False
) -> bytes:
    """The whole mail. ``to``: the original's reverse-path; ``token``: random, for boundary and Message-ID.

    ``utf8``: the receiver is known to take RFC 6532 mail (the original was one)."""
    text = _text(report)
    status = status_octets(report, utf8=utf8)
    media, returned = _returned(original, utf8=utf8)
    boundary = f"=_{token}_dsn".encode()
    host = clean(report.reporting_mta)
    eight_bit = not (text.isascii() and status.isascii() and returned.isascii())
    encoding = "8bit" if eight_bit else "7bit"
    head = [
        f"From: Mail Delivery System <MAILER-DAEMON@{host}>",
        f"To: <{clean(to)}>",
        f"Subject: {_SUBJECTS[report.recipients[0].action]}",
        f"Date: {format_date(now)}",
        f"Message-ID: <{token}@{host}>",
        *_thread(original),
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary.decode()}"',
        f"Content-Transfer-Encoding: {encoding}",
        "",
        "",
    ]
    kind = b"message/global-delivery-status" if utf8 else b"message/delivery-status"
    charset = b"us-ascii" if text.isascii() else b"utf-8"
    parts = (
        (b"text/plain; charset=" + charset, text.encode()),
        (kind, status),
        (media, returned),
    )
    body = b"".join(
        b"--%b\r\nContent-Type: %b\r\nContent-Transfer-Encoding: %b\r\n\r\n%b\r\n"
        % (boundary, media_type, b"7bit" if content.isascii() else b"8bit", content)
        for media_type, content in parts
    )
    return "\r\n".join(head).encode() + body + b"--%b--\r\n" % boundary


def _returned(original: Original, *, utf8: bool) -> tuple[bytes, bytes]:
    """(media type, octets) of the third part: whole, or its header."""
    if original.full:
        return (b"message/global" if utf8 else b"message/rfc822"), original.octets
    if original.octets.isascii():
        return b"text/rfc822-headers", original.octets
    return (b"message/global-headers" if utf8 else b"text/rfc822-headers; charset=utf-8"), original.octets


def _thread(original: Original) -> list[str]:
    """In-Reply-To and References, so that the notice stands beside the mail it is about."""
    value = headers.first(original.octets, 0, len(original.octets), b"message-id")
    if value is None or not value.isascii() or len(value) > FIELD_LENGTH:
        return []
    name = value.decode("ascii")
    if not (name.startswith("<") and name.endswith(">") and name.isprintable() and " " not in name):
        return []
    return [f"In-Reply-To: {name}", f"References: {name}"]
