"""Compose a message disposition notification (RFC 8098, RFC 6522): what became of a mail at its reader's.

Three parts as a delivery status notification has: a text for people, ``message/disposition-notification`` for
programs, and the header of the original. Whatever came from elsewhere is cleaned before it becomes a field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from a3mailer.mail.message import headers
from a3mailer.wire.dsn.compose import clean

AUTOMATIC: Final = "automatic-action/MDN-sent-automatically"
"""The mode of what no human being has done (RFC 8098 section 3.2.6.1)."""


@dataclass(frozen=True, slots=True)
class Disposition:
    """The machine-readable part (RFC 8098 section 3.2)."""

    reporting_ua: str
    """The name of who reports, and behind a semicolon the product."""
    final_recipient: str
    """The address, without its type."""
    type: str
    """displayed, deleted, dispatched or processed."""
    mode: str = AUTOMATIC
    original_recipient: str = ""
    """ORCPT as it came: ``addr-type;address``."""
    original_message_id: str = ""
    """With its brackets."""


# disposition-notification-content = [ reporting-ua-field CRLF ] [ mdn-gateway-field CRLF ]
#     [ original-recipient-field CRLF ] final-recipient-field CRLF [ original-message-id-field CRLF ]
#     disposition-field CRLF *( error-field CRLF ) *( extension-field CRLF )
def fields_of(disposition: Disposition) -> bytes:
    """The content of ``message/disposition-notification``."""
    found = disposition
    kind = "rfc822" if found.final_recipient.isascii() else "utf-8"
    lines = [
        f"Reporting-UA: {clean(found.reporting_ua)}",
        f"Original-Recipient: {clean(found.original_recipient)}" if found.original_recipient else "",
        f"Final-Recipient: {kind}; {clean(found.final_recipient)}",
        f"Original-Message-ID: {clean(found.original_message_id)}" if found.original_message_id else "",
        f"Disposition: {found.mode}; {found.type}",
    ]
    return "".join(f"{line}\r\n" for line in lines if line).encode()


# multipart/report = text/plain, message/disposition-notification, text/rfc822-headers
def entity(disposition: Disposition, text: str, original: bytes, boundary: str) -> bytes:
    """The MIME entity of a notification. ``original``: the mail it is about, of which the header goes along;
    ``boundary``: an ASCII word nobody guesses."""
    header = original[: headers.header_end(original, 0, len(original))]
    words = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n").encode("utf-8", "replace")
    parts = (
        (b"text/plain; charset=utf-8", words),
        (b"message/disposition-notification", fields_of(disposition)),
        (b"text/rfc822-headers", header),
    )
    mark = boundary.encode("ascii")
    head = (
        b'Content-Type: multipart/report; report-type=disposition-notification;\r\n\tboundary="%b"\r\n' % mark
    )
    body = b"".join(
        b"--%b\r\nContent-Type: %b\r\nContent-Transfer-Encoding: %b\r\n\r\n%b\r\n"
        % (mark, media, b"7bit" if octets.isascii() else b"8bit", octets)
        for media, octets in parts
    )
    encoding = b"7bit" if body.isascii() else b"8bit"
    return head + b"Content-Transfer-Encoding: %b\r\n\r\n" % encoding + body + b"--%b--\r\n" % mark
