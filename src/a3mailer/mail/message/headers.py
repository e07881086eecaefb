"""The header of a message or of a part: its fields, found, unfolded and selected (RFC 5322 section 2.2).

A field keeps its octets as they came; offsets are octets from the start of the mail. A line without a colon
belongs to no field. Linear in the header; nothing here raises.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from a3mailer.mail.message.ascii import LF
from a3mailer.mail.message.octets import Find, Octets, finder
from a3mailer.mail.message.words import decode_words

__all__ = ["cut", "decode_words", "fields", "first", "header_end", "select", "unfold"]

_BLANK: Final = b" \t"
_NAME: Final = bytes(c for c in range(0x21, 0x7F) if c != 0x3A)
"""ftext (RFC 5322 section 3.6.8)."""
REMEMBERED: Final = 256
"""Sets of names whose pattern is kept."""


def header_end(octets: Octets, start: int, end: int, find: Find | None = None) -> int:
    """Return where the body begins: after the first empty line in [start, end), or the end."""
    head = octets[start : min(start + 2, end)]
    if head[:1] == b"\n":
        return start + 1
    if head == b"\r\n":
        return start + 2
    if find is None:
        find = finder(octets)
    crlf = find(b"\n\r\n", start, end)
    lf = find(b"\n\n", start, end if crlf < 0 else crlf + 1)
    if lf >= 0:
        return lf + 2
    return end if crlf < 0 else crlf + 3


def unfold(value: bytes) -> bytes:
    """Return a field value without its folding and without white space around it."""
    if LF in value:
        value = value.replace(b"\r\n", b"").replace(b"\n", b"")
    return value.strip(b" \t\r")


# fields = *(field-name ":" unstructured CRLF)      ; a folded line begins with WSP
def _raw_fields(octets: Octets, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (start, colon, end) of each field with its line end; the colon is -1 where there is none."""
    find = finder(octets)
    at = start
    while at < end:
        stop = find(b"\n", at, end)
        colon = find(b":", at, end if stop < 0 else stop)
        while stop >= 0 and octets[stop + 1 : stop + 2] in (b" ", b"\t") and stop + 1 < end:
            stop = find(b"\n", stop + 1, end)
        stop = end if stop < 0 else stop + 1
        if octets[at : min(at + 2, stop)] in (b"\n", b"\r\n"):
            return
        yield at, colon, stop
        at = stop


def fields(octets: Octets, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name in lower case, start of the value, end of the value without its line end) of each field.

    The value is as written, folded; ``unfold(octets[a:b])`` reads it. Stops at the empty line.
    """
    for at, colon, stop in _raw_fields(octets, start, end):
        if colon >= 0:
            line_end = octets[max(stop - 2, colon + 1) : stop]
            stop -= 2 if line_end == b"\r\n" else line_end[-1:] == b"\n"
            yield octets[at:colon].rstrip(_BLANK).lower(), colon + 1, stop


def first(octets: Octets, start: int, end: int, name: bytes) -> bytes | None:
    """Return the unfolded value of the first field of a name given in lower case, None without one."""
    for field, a, b in fields(octets, start, end):
        if field == name:
            return unfold(octets[a:b])
    return None


@lru_cache(REMEMBERED)
def _pattern(names: frozenset[bytes]) -> re.Pattern[bytes] | None:
    """Finds the fields of these names behind a line end, without their own; None for what is no name.

    The line end at its beginning is what the search leaps to."""
    if not names or not all(name and not name.translate(None, _NAME) for name in names):
        return None
    words = b"|".join(map(re.escape, sorted(names)))
    return re.compile(rb"\n((?:%b)[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*)" % words, re.IGNORECASE)


def select(octets: Octets, start: int, end: int, names: frozenset[bytes], negate: bool = False) -> bytes:
    """Return the fields of the names (lower case) as they came and an empty line (RFC 9051, HEADER.FIELDS).

    With ``negate`` all fields but those (HEADER.FIELDS.NOT).
    """
    end = header_end(octets, start, end)
    pattern = None if negate else _pattern(names)
    if pattern is not None and octets[end - 1 : end] == b"\n" and end > start:
        found = pattern.findall(b"\n" + octets[start:end])
        found.append(b"\r\n")
        return b"\n".join(found)
    out = [
        octets[at:stop]
        for at, colon, stop in _raw_fields(octets, start, end)
        if colon >= 0 and (octets[at:colon].rstrip(_BLANK).lower() in names) is not negate
    ]
    if out and out[-1][-1:] != b"\n":
        out.append(b"\r\n")
    out.append(b"\r\n")
    return b"".join(out)


def cut(header: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
    """A header block without these spans of it, ascending; the same object where there are none."""
    out, done = [], 0
    for start, end in spans:
        out.append(header[done:start])
        done = end
    return b"".join((*out, header[done:])) if done else header
