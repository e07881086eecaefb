"""The parts of a mail in a run (RFC 5703): which one a loop is at, and what takes the place of which.

What is replaced and enclosed is seen by the actions that follow, and by tests and loops as soon as no loop is
at the parts as they were.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from a3mailer.mail.compose import BadPiece, field, text_entity
from a3mailer.mail.message.dates import format_date
from a3mailer.mail.message.headers import header_end
from a3mailer.mail.message.octets import Octets
from a3mailer.mail.message.parts import Part
from a3mailer.wire.sieve.door import Field
from a3mailer.wire.sieve.errors import RunFailed
from a3mailer.wire.sieve.view import read_fields

WHOLE: Final = 0
"""The number of the message itself among its parts."""
ENCLOSED: Final = 4
"""How often a run may enclose a mail."""
_TRACE: Final = frozenset((b"return-path", b"received", b"delivered-to"))
"""Fields that an enclosing mail has, too: loops are found by them."""


class Replacement(NamedTuple):
    """What takes the place of a part: a MIME entity. ``subject`` and ``sender`` are of the whole message."""

    entity: bytes
    subject: str = ""
    sender: str = ""


class Enclosure(NamedTuple):
    """A mail around the mail."""

    text: str
    subject: str
    names: frozenset[bytes]


class Loop:
    """Where a loop is: the numbers of the parts it goes through, and how many it has been at."""

    __slots__ = ("at", "parts")

    def __init__(self, parts: Sequence[int]) -> None:
        self.parts = parts
        self.at = -1

    @property
    def part(self) -> int:
        """The number of the part it is at."""
        return self.parts[self.at]


def within(parts: Sequence[Part], outer: int | None) -> list[int]:
    """The numbers of all parts, or of those within one, each before what is in it (RFC 5703 section 3)."""
    found = [number for number in range(len(parts)) if outer is None or _is_in(parts, number, outer)]
    return sorted(found, key=lambda number: (parts[number].start, parts[number].depth))


def _is_in(parts: Sequence[Part], number: int, outer: int) -> bool:
    return is_within(parts, number, (outer,))


def is_within(parts: Sequence[Part], number: int, outer: Container[int]) -> bool:
    """Is a part within one of others?"""
    while (number := parts[number].parent) >= 0:
        if number in outer:
            return True
    return False


def element(option: str, name: bytes, head: bytes) -> bytes:
    """The piece of a field that ``:type``, ``:subtype`` or ``:contenttype`` names (RFC 5703 section 4.1).

    ``head``: its value without the parameters. Of other fields than those two it is empty."""
    if name == b"content-disposition":
        return b"" if option == "subtype" else head
    if name != b"content-type":
        return b""
    kind, _, subtype = head.partition(b"/")
    return {"type": kind, "subtype": subtype, "contenttype": head}[option]


def entity_of(text: bytes, *, mime: bool) -> bytes:
    """A replacement: a MIME entity with its header, or a text that becomes one. Errors: RunFailed."""
    if not mime:
        try:
            return text_entity(text.decode("utf-8", "replace"))
        except BadPiece as error:
            raise RunFailed(str(error)) from error
    end = header_end(text, 0, len(text))
    if not text[:end].isascii() or not text[:end].endswith(b"\r\n\r\n") or text.startswith(b"\r\n"):
        raise RunFailed("a MIME entity has a header of US-ASCII and an empty line")
    if any(not each.name.startswith(b"content-") for each in read_fields(text[:end])):
        raise RunFailed("the header of a MIME entity has fields that begin with Content- only")
    return text


def replaced(
    octets: Octets, parts: Sequence[Part], fields: Sequence[Field], pieces: dict[int, Replacement]
) -> bytes:
    """The mail with other parts; ``fields``: its header as it is now."""
    if WHOLE in pieces:
        return _with_body(fields, pieces[WHOLE])
    header = b"".join(each.octets for each in fields)
    at = header_end(octets, 0, len(octets))
    out = [header, b"\r\n"]
    for number in sorted(pieces, key=lambda each: parts[each].start):
        part = parts[number]
        if part.start < at:  # within one that is replaced as a whole
            continue
        entity = pieces[number].entity
        out += [octets[at : part.start], entity[:-2] if entity.endswith(b"\r\n") else entity]
        at = part.end
    return b"".join((*out, octets[at:]))


def _with_body(fields: Sequence[Field], piece: Replacement) -> bytes:
    """Another content, and perhaps subject and author: those it came with stay under other names."""
    out = []
    for each in fields:
        if each.name.startswith(b"content-") or each.name == b"mime-version":
            continue
        renamed = (each.name == b"subject" and piece.subject) or (each.name == b"from" and piece.sender)
        out.append(b"Original-" + each.octets if renamed else each.octets)
    for name, value in (("Subject", piece.subject), ("From", piece.sender)):
        if value:
            out.append(_field(name, value))
    return b"".join((*out, b"MIME-Version: 1.0\r\n", piece.entity))


def enclosed(
    octets: bytes, enclosure: Enclosure, now: tuple[int, int] | None, host: bytes, owner: bytes
) -> bytes:
    """A mail of a text and the mail (RFC 5703 section 6), from the script's owner. Same mail, same octets."""
    fields = read_fields(octets[: header_end(octets, 0, len(octets))])
    names = enclosure.names
    kept = [each.octets for each in fields if each.name in _TRACE]
    kept += [each.octets for each in fields if each.name in names and each.name not in _TRACE]
    subject = [each.octets for each in fields if each.name == b"subject"]
    if enclosure.subject:
        kept = [each for each in kept if each not in subject]
        subject = [_field("Subject", enclosure.subject)]
    if not set(subject) & set(kept):
        kept += subject[:1]
    mark = sha256(octets).hexdigest()[:40].encode()
    if b"from" not in names:
        kept.append(b"From: %b\r\n" % owner)
    if now is not None and b"date" not in names:
        kept.append(b"Date: %b\r\n" % format_date(*now).encode())
    head = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="=_%b"\r\n' % mark
    if b"message-id" not in names:
        kept.append(b"Message-ID: <%b@%b>\r\n" % (mark, host))
    return b"".join(
        (
            *kept,
            head,
            b"\r\n--=_%b\r\n" % mark,
            entity_of(enclosure.text.encode(), mime=False),
            b"\r\n--=_%b\r\nContent-Type: message/rfc822\r\n" % mark,
            b"" if octets.isascii() else b"Content-Transfer-Encoding: 8bit\r\n",
            b"\r\n",
            octets,
            b"\r\n--=_%b--\r\n" % mark,
        )
    )


def _field(name: str, value: str) -> bytes:
    try:
        return field(name, value).encode()
    except BadPiece as error:
        raise RunFailed(str(error)) from error
