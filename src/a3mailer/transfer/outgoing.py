"""What a relay sends of a stored mail, so that the next server can take it (RFC 5321 section 4.5).

Mails are kept as they came: any line ends, lines of any length, NUL, eight bits, binary parts. On the way
out bare CR and LF become CRLF (attack row 2); where that, a long line, a NUL or a missing 8BITMIME (RFC 6152
section 3) stands in the way of a part, the part is encoded and says so: text as quoted-printable, the rest
as base64, whose octets survive exactly (RFC 2045 section 6). What has no place for an encoding (header
fields, text between parts) is folded and loses its NULs. A mail that needs nothing is sent untouched.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Final

from a3mailer.mail.message import Part, headers, index
from a3mailer.transfer.fields import names_of, with_fields, without
from a3mailer.transfer.trace import without_return_path

MAX_LINE: Final = 998
"""Octets of a line without its CRLF (RFC 5321 section 4.5.3.1.6)."""
_IDENTITY: Final = frozenset((b"", b"7bit", b"8bit", b"binary"))
_COMPOSITE: Final = (b"multipart/", b"message/")
_WIDE: Final = (b"utf-16", b"utf-32", b"ucs-2", b"ucs-4")
_ENCODING: Final = frozenset((b"content-transfer-encoding",))


class NotConvertible(Exception):
    """Eight-bit content that cannot be encoded, for a server that takes seven bits only (status 5.6.3)."""


def needs(octets: bytes, *, eight_bit_ok: bool) -> bool:
    """Is anything in the way of sending these octets? A few bulk scans."""
    crlf = octets.count(b"\r\n")
    return (
        crlf != octets.count(b"\n")
        or crlf != octets.count(b"\r")
        or has_long_line(octets)
        or b"\0" in octets
        or not (eight_bit_ok or octets.isascii())
    )


def has_long_line(octets: bytes) -> bool:
    """Is a line longer than SMTP allows? In strides, from one line end to the last one in reach."""
    at, size = 0, len(octets)
    while size - at > MAX_LINE + 1:
        end = octets.rfind(b"\n", at, at + MAX_LINE + 2)
        if end < 0:
            return True
        at = end + 1
    return False


def canonical(octets: bytes) -> bytes:
    """Every line end a CRLF: CR, LF and CRLF alike."""
    crlf = octets.count(b"\r\n")
    if crlf == octets.count(b"\n") == octets.count(b"\r"):
        return octets
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def prepare(octets: bytes, *, eight_bit_ok: bool) -> bytes:
    """The mail to send. Errors: NotConvertible."""
    octets = without_return_path(octets)
    if not needs(octets, eight_bit_ok=eight_bit_ok):
        return octets
    out = canonical(b"".join(_converted(octets, eight_bit_ok=eight_bit_ok)).replace(b"\0", b""))
    if not has_long_line(out):
        return out
    return b"\r\n".join([line if len(line) <= MAX_LINE else _folded(line) for line in out.split(b"\r\n")])


def _folded(line: bytes) -> bytes:
    """Lines of at most MAX_LINE octets, each but the first beginning with white space (RFC 5322 2.2.3)."""
    pieces, at, lead = [], 0, b""
    while len(line) - at > MAX_LINE - len(lead):
        stop = at + MAX_LINE - len(lead)
        cut = max(line.rfind(b" ", at + 1, stop), line.rfind(b"\t", at + 1, stop))
        pieces.append(lead + line[at : cut if cut > at else stop])
        lead = b"" if cut > at else b" "
        at = cut if cut > at else stop
    pieces.append(lead + line[at:])
    return b"\r\n".join(pieces)


def _converted(octets: bytes, *, eight_bit_ok: bool) -> Iterator[bytes]:
    """The mail with those parts encoded that need it; what lies between the parts is as it was."""
    at, parts = 0, index(octets).parts
    opened = {part.parent for part in parts}
    for number, part in enumerate(parts):
        header = octets[part.start : part.body]
        if _is_composite(part, header):
            if number not in opened:
                _check(octets[part.body : part.end], eight_bit_ok=eight_bit_ok)
            if part.encoding in (b"8bit", b"binary") and part.start >= at:
                label = b"8bit" if eight_bit_ok else b"7bit"
                yield octets[at : part.start] + _labelled(header, label, top=number == 0)
                at = part.body
            continue
        content = octets[part.body : part.end]
        if _is_text(part):
            content = canonical(content)
        if part.encoding not in _IDENTITY or not needs(content, eight_bit_ok=eight_bit_ok):
            continue
        if not header:  # a multipart without parts: its content has no header to say an encoding in
            _check(content, eight_bit_ok=eight_bit_ok)
            continue
        label, encoded = _encoded(content, part)
        yield octets[at : part.start] + _labelled(header, label, top=number == 0) + encoded
        at = part.end
    yield octets[at:]


def _is_composite(part: Part, header: bytes) -> bool:
    """May a part have no encoding of its own (RFC 2045 section 6.4)? By its header: the index may have
    taken a container beyond its limits for an opaque part."""
    if part.media.startswith(_COMPOSITE):
        return True
    kind = headers.first(header, 0, len(header), b"content-type")
    return kind is not None and kind.lower().startswith(_COMPOSITE)


def _is_text(part: Part) -> bool:
    """Lines of text, whose line ends may be written in another way."""
    return part.media.startswith(b"text/") and not part.charset.startswith(_WIDE)


def _check(content: bytes, *, eight_bit_ok: bool) -> None:
    if not eight_bit_ok and not content.isascii():
        raise NotConvertible("eight-bit content without a place for an encoding")


def _encoded(content: bytes, part: Part) -> tuple[bytes, bytes]:
    """(name of the encoding, the content in it)."""
    if _is_text(part):
        return b"quoted-printable", binascii.b2a_qp(content, istext=True)
    return b"base64", base64.encodebytes(content)


def _labelled(header: bytes, encoding: bytes, *, top: bool) -> bytes:
    """The header of a part with another Content-Transfer-Encoding."""
    header = without(header, _ENCODING)
    added = b"Content-Transfer-Encoding: %b\r\n" % encoding
    if top and b"mime-version" not in names_of(header):
        added = b"MIME-Version: 1.0\r\n" + added
    return with_fields(header, added)
