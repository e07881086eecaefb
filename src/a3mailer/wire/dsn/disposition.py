"""Compose a message disposition notification (RFC 8098, RFC 6522): what became of a mail at its reader's.

Three parts as a delivery status notification has: a text for people, ``message/disposition-notification`` for
programs, and the header of the original, or all of it. Whatever came from elsewhere is cleaned before it
becomes a field.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import Final

from a3mailer.mail.message import headers
from a3mailer.wire.dsn.compose import clean

LINE: Final = 998
"""Octets of a line (RFC 5322 section 2.1.1)."""
AUTOMATIC: Final = "automatic-action/MDN-sent-automatically"
"""The mode of what no human being has done (RFC 8098 section 3.2.6.1)."""


@dataclass(frozen=True, slots=True)
class Disposition:
    """The machine-readable part (RFC 8098 section 3.2)."""

    reporting_ua: str
    """The name of who reports, and behind a semicolon the product; empty: it is not said."""
    final_recipient: str
    """The address, without its type."""
    type: str
    """displayed, deleted, dispatched or processed."""
    mode: str = AUTOMATIC
    original_recipient: str = ""
    """ORCPT as it came: ``addr-type;address``."""
    original_message_id: str = ""
    """With its brackets."""
    extensions: tuple[tuple[str, str], ...] = ()
    """Further fields."""


# disposition-notification-content = [ reporting-ua-field CRLF ] [ mdn-gateway-field CRLF ]
#     [ original-recipient-field CRLF ] final-recipient-field CRLF [ original-message-id-field CRLF ]
#     disposition-field CRLF *( error-field CRLF ) *( extension-field CRLF )
def fields_of(disposition: Disposition) -> bytes:
    """The content of ``message/disposition-notification``."""
    found = disposition
    kind = "rfc822" if found.final_recipient.isascii() else "utf-8"
    lines = [
        f"Reporting-UA: {clean(found.reporting_ua)}" if found.reporting_ua else "",
        f"Original-Recipient: {clean(found.original_recipient)}" if found.original_recipient else "",
        f"Final-Recipient: {kind}; {clean(found.final_recipient)}",
        f"Original-Message-ID: {clean(found.original_message_id)}" if found.original_message_id else "",
        f"Disposition: {found.mode}; {found.type}",
        *(f"{name}: {clean(value)}" for name, value in found.extensions),
    ]
    return "".join(f"{line}\r\n" for line in lines if line).encode()


# multipart/report = text/plain, message/disposition-notification, text/rfc822-headers / message/rfc822
def entity(
    disposition: Disposition, text: str, original: bytes, boundary: str, *, whole: bool = False
) -> bytes:
    """The MIME entity of a notification. ``original``: the mail it is about, of which the header goes along,
    or the ``whole``; ``boundary``: an ASCII word nobody guesses."""
    original = original.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    header = original[: headers.header_end(original, 0, len(original))]
    parts = (
        _text(text),
        (b"message/disposition-notification", _encoding(fields_of(disposition)), fields_of(disposition)),
        _original(original, header) if whole else (b"text/rfc822-headers", _encoding(header), header),
    )
    mark = boundary.encode("ascii")
    head = (
        b'Content-Type: multipart/report; report-type=disposition-notification;\r\n\tboundary="%b"\r\n' % mark
    )
    body = b"".join(
        b"--%b\r\nContent-Type: %b\r\nContent-Transfer-Encoding: %b\r\n\r\n%b\r\n"
        % (mark, media, coding, octets)
        for media, coding, octets in parts
    )
    encoding = b"7bit" if body.isascii() else b"8bit"
    return head + b"Content-Transfer-Encoding: %b\r\n\r\n" % encoding + body + b"--%b--\r\n" % mark


def _encoding(octets: bytes) -> bytes:
    return b"7bit" if octets.isascii() else b"8bit"


def _text(text: str) -> tuple[bytes, bytes, bytes]:
    """As it is, where that can be in a mail."""
    words = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n").encode("utf-8", "replace")
    media = b"text/plain; charset=utf-8"
    if b"\0" in words or any(len(line) > LINE for line in words.split(b"\r\n")):
        quoted = binascii.b2a_qp(words.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
        return media, b"quoted-printable", quoted
    return media, _encoding(words), words


def _original(octets: bytes, header: bytes) -> tuple[bytes, bytes, bytes]:
    return (b"message/rfc822" if header.isascii() else b"message/global"), _encoding(octets), octets
