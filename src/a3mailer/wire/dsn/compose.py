"""Compose a delivery status notification (RFC 3464, RFC 6522; RFC 3834 section 5; RFC 6533 beyond ASCII).

Three parts: a text for people, ``message/delivery-status`` for programs, and the original or its header.
Whatever came from elsewhere (addresses, replies, identifiers) is cleaned before it becomes a field: one
line, no controls, bounded. Nothing here raises.
"""

from __future__ import annotations

from base64 import b64encode, encodebytes
from binascii import b2a_qp
from datetime import UTC, datetime
from typing import Final

from a3mailer.mail.message import headers
from a3mailer.mail.message.dates import format_date
from a3mailer.wire.dsn.report import Action, Original, RecipientStatus, Report
from a3mailer.wire.dsn.words import ENGLISH, Words
from a3mailer.wire.smtp.xtext import UTF8, quote, to_ascii, unquote

FIELD_LENGTH: Final = 700
"""Characters of a foreign text that a field repeats; a line may have 998 octets (RFC 5322 section 2.1.1)."""
REASON_LINES: Final = 100
"""Lines of a reason that are told."""
LISTED: Final = 50
"""Recipients the text for people names; the rest are in the other part."""
_PRINTABLE: Final = {**dict.fromkeys(range(32), " "), 127: " "}


def clean(text: str, limit: int = FIELD_LENGTH) -> str:
    """One bounded line without controls."""
    text = text.translate(_PRINTABLE)
    return text if len(text) <= limit else text[:limit] + "..."


# typed-address = address-type ";" address              ; utf-8-addr-xtext or utf-8-address (RFC 6533)
def _typed(address: str, utf8: bool) -> str:
    address = clean(address)
    if address.isascii():
        return f"rfc822; {address}"
    return f"utf-8; {address if utf8 else to_ascii(quote(address))}"


def _original(original: str, utf8: bool) -> str:
    kind, _, text = clean(original).partition(";")
    if kind.lower() == UTF8:
        text = unquote(text) if utf8 else to_ascii(text)
    return f"{_plain(kind, utf8=False)};{_plain(text, utf8).strip()}"


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
    if report.release:
        until = datetime.fromtimestamp(report.release, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        first.append(f"Future-Release-Request: until;{until}")
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


def _text(report: Report, words: Words) -> str:
    action = report.recipients[0].action
    out = [words.opening.format(host=clean(report.reporting_mta)), "", words.texts[action], ""]
    for recipient in report.recipients[:LISTED]:
        out.append(f"<{clean(recipient.final)}>")
        if action in (Action.FAILED, Action.DELAYED) and (reason := words.reason(recipient.status)):
            out.append(f"    {reason}")
        if recipient.diagnostic:
            text, host = clean(recipient.diagnostic), clean(recipient.remote_mta)
            out.append("    " + (words.said.format(host=host, text=text) if host else text))
        if recipient.reason:
            lines = recipient.reason.splitlines()[:REASON_LINES]
            out += [f"    {words.refused}", "", *(f"    {clean(line)}" for line in lines), ""]
        if recipient.retry_until:
            out.append("    " + words.until.format(date=format_date(recipient.retry_until)))
    if len(report.recipients) > LISTED:
        out.append(words.more.format(count=len(report.recipients) - LISTED))
    return "\r\n".join((*out, ""))


# encoded-word = "=?" charset "?" encoding "?" encoded-text "?="
def _words(text: str) -> str:
    """For a header field; the texts are short enough for one encoded word (RFC 2047 section 2)."""
    return text if text.isascii() else f"=?utf-8?B?{b64encode(text.encode()).decode()}?="


# multipart/report = text/plain, message/delivery-status, ( message/rfc822 / text/rfc822-headers )
def compose(
    report: Report,
    original: Original,
    *,
    to: str,
    now: int,
    token: str,
    utf8: bool = False,
    words: Words = ENGLISH,
) -> bytes:
    """The whole mail. ``to``: the original's reverse-path; ``token``: random, for boundary and Message-ID.

    ``utf8``: the original was sent as an RFC 6532 mail, so its sender's programs know the media types for
    such; the notification itself has nothing beyond ASCII but where ``to`` has."""
    boundary = f"=_{token}_dsn".encode()
    host = clean(report.reporting_mta)
    parts = (_for_people(report, words), _for_programs(report, utf8=utf8), _returned(original, utf8=utf8))
    body = b"".join(
        b"--%b\r\nContent-Type: %b\r\nContent-Transfer-Encoding: %b\r\n\r\n%b\r\n" % (boundary, *part)
        for part in parts
    )
    encoding = "7bit" if body.isascii() else "8bit"
    head = [
        f"From: {_words(words.sender)} <MAILER-DAEMON@{host}>",
        f"To: <{clean(to)}>",
        f"Subject: {_words(words.subjects[report.recipients[0].action])}",
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
    return "\r\n".join(head).encode() + body + b"--%b--\r\n" % boundary


_Piece = tuple[bytes, bytes, bytes]
"""Media type, encoding, and the content in it."""


def _as_it_is(media: bytes, octets: bytes) -> _Piece:
    return media, b"7bit" if octets.isascii() else b"8bit", octets


def _as_ascii(media: bytes, octets: bytes) -> _Piece:
    """The media types of RFC 6533 may be encoded (section 4.4): so a server without SMTPUTF8 takes them."""
    if octets.isascii():
        return media, b"7bit", octets
    return media, b"base64", encodebytes(octets).replace(b"\n", b"\r\n")


def _for_people(report: Report, words: Words) -> _Piece:
    text = _text(report, words)
    charset = b"us-ascii" if text.isascii() else b"utf-8"
    return _as_it_is(b"text/plain; charset=" + charset, text.encode())


def _for_programs(report: Report, *, utf8: bool) -> _Piece:
    if utf8 and not all(
        r.final.isascii() and _original(r.original, utf8).isascii() for r in report.recipients
    ):
        return _as_ascii(b"message/global-delivery-status", status_octets(report, utf8=True))
    return _as_it_is(b"message/delivery-status", status_octets(report, utf8=False))


def _returned(original: Original, *, utf8: bool) -> _Piece:
    """The third part: the mail whole, or its header."""
    octets = original.octets
    header = octets[: headers.header_end(octets, 0, len(octets))]
    if utf8 and not header.isascii():
        return _as_ascii(b"message/global" if original.full else b"message/global-headers", octets)
    if original.full:
        return _as_it_is(b"message/rfc822", octets)
    if octets.isascii():
        return b"text/rfc822-headers", b"7bit", octets
    return b"text/rfc822-headers", b"quoted-printable", b2a_qp(octets, istext=True)  # RFC 6522 section 4


def _thread(original: Original) -> list[str]:
    """In-Reply-To and References, so that the notice stands beside the mail it is about."""
    value = headers.first(original.octets, 0, len(original.octets), b"message-id")
    if value is None or not value.isascii() or len(value) > FIELD_LENGTH:
        return []
    name = value.decode("ascii")
    if not (name.startswith("<") and name.endswith(">") and name.isprintable() and " " not in name):
        return []
    return [f"In-Reply-To: {name}", f"References: {name}"]
