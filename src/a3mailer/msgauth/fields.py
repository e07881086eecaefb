"""The header of a mail as a list of fields, shared by DKIM, ARC and DMARC (RFC 5322 section 2.2).

A field keeps its octets as they came, its name, folding and line end included. What ends a line is what ends
one for ``mail/message``: a bare LF is read as CRLF here as well, so that no field is signed that a reader of
the mail sees as two. Linear; any octets give a header.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from a3mailer.mail.message.headers import header_end

Octets = bytes | mmap.mmap

CRLF: Final = b"\r\n"
_END: Final = b"\r\n\r\n"
_FIELD: Final = re.compile(rb"((?:([^\n:]*+):)?[^\n]*\n(?:[ \t][^\n]*\n)*)")
"""(the whole field, what stands before the first colon of its first line)."""


class Field(msgspec.Struct, frozen=True, gc=False):
    """One field. ``raw`` ends with CRLF; ``name`` is lower case, and empty where the line has no colon."""

    name: bytes
    raw: bytes

    @property
    def value(self) -> bytes:
        """What follows the colon, folded as it is, without the final CRLF."""
        return self.raw.partition(b":")[2][:-2]


class Header:
    """The fields from the top to the bottom, and where the body begins."""

    __slots__ = ("_named", "body", "fields")

    def __init__(self, fields: tuple[Field, ...], body: int) -> None:
        self.fields = fields
        self.body = body
        """Offset of the body in the mail."""
        named: dict[bytes, list[Field]] = {}
        for field in fields:
            if field.name in named:
                named[field.name].append(field)
            else:
                named[field.name] = [field]
        self._named = named

    def all(self, name: bytes) -> list[Field]:
        """The fields of a name (lower case), the topmost first."""
        return self._named.get(name, [])

    def chosen(self, names: Iterable[bytes], own: Field) -> list[Field]:
        """The fields a list of names stands for, of those that repeat the lowest first (RFC 6376 section
        5.4.2); a name that has no field left adds nothing, and ``own`` is never taken."""
        left = self._named.copy()
        if own.name in left:
            left[own.name] = [field for field in left[own.name] if field is not own]
        out = []
        for name in names:
            if not (fields := left.get(name)):
                continue
            if len(fields) == 1:
                out.append(fields[0])
                del left[name]
                continue
            if fields is self._named[name]:
                fields = left[name] = fields.copy()
            out.append(fields.pop())
        return out

    @property
    def names(self) -> tuple[bytes, ...]:
        """The names there are, each once, in the order of their first field."""
        return tuple(name for name in self._named if name)


# fields = *(field-name ":" unstructured CRLF)      ; a folded line begins with WSP
def read(octets: Octets) -> Header:
    """The header of a mail."""
    end = octets.find(_END) + len(_END) if isinstance(octets, bytes) else 0
    block = octets[:end]
    if end < len(_END) or block[:2] == CRLF or block.count(b"\n") != block.count(CRLF):
        end = header_end(octets, 0, len(octets))  # there is another empty line, or none
        block = line_ends(octets[:end])
        if block and not block.endswith(b"\n"):
            block += CRLF
    found = _FIELD.findall(block)
    return Header(tuple([Field(name.rstrip(b" \t").lower(), raw) for raw, name in found if raw != CRLF]), end)


def line_ends(octets: bytes) -> bytes:
    """Every LF is part of a CRLF; a bare CR stays what it is."""
    if octets.count(b"\n") == octets.count(CRLF):
        return octets
    return octets.replace(CRLF, b"\n").replace(b"\n", CRLF)
