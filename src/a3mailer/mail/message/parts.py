"""The parts of a message (RFC 2045, 2046): where each begins and ends, found iteratively in one walk.

Outer boundaries come before inner ones (RFC 2046 section 5.1.2), so a part never reaches over the end of its
parent. A multipart without a single delimiter line has one part, its whole content as text/plain. A container
that may not be opened (limits DEPTH, PARTS) is one opaque application/octet-stream. Offsets are octets from
the start of the mail. Linear: each level of nesting searches its own octets once. Nothing here raises.
"""

import itertools
import re
from array import array
from bisect import bisect_left
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from a3mailer.mail.message import limits
from a3mailer.mail.message.ascii import LF
from a3mailer.mail.message.entity import (
    CONTAINERS,
    MESSAGE,
    MESSAGES,
    MULTIPART,
    PLAIN,
    TEXT,
    Entity,
    entity,
    opaque,
)
from a3mailer.mail.message.headers import header_end, unfold
from a3mailer.mail.message.octets import Find, Octets, count, finder

__all__ = ["MESSAGES", "Draft", "Part", "Walk", "read"]

_SHALLOW: Final = 2  # the deepest level whose delimiters are searched for directly
_BLANK: Final = b" \t\r\n"
_COMBINED: Final = (b"to", b"cc", b"bcc")  # obsolete syntax: repeated fields are one list
# A field whose name begins as a wanted one does, after a line end. Linear: the quantifiers are possessive.
_FIELD: Final = re.compile(
    rb"\n((?![Rr][Ee][CcTt])[BCDFIMRSTbcdfimrst][0-9A-Za-z-]*+)[ \t]*+:(.*+(?:\n[ \t].*+)*+)"
)
_EMPTY_LINE: Final = re.compile(rb"\n\r?\n")

_NO_FIELDS: Final[Mapping[bytes, bytes]] = {}
_WHOLE: Final = entity(_NO_FIELDS, PLAIN)  # of what has no header


class Part(NamedTuple):
    """A part as IMAP and JMAP address it. Its header is octets[start:body], its content octets[body:end].

    `number` is the IMAP part specifier (RFC 9051 section 6.4.5), () for the message itself; the message
    inside a message/rfc822 part has the number of that part when it is a multipart, else that number and a 1.
    `lines` counts line ends of the content of text and message parts and is 0 for others. `parent` is an
    index into the parts, -1 for the message itself. `disposition` is "attachment", "inline" or another word
    in lower case, b"" without one. `filename` is as the sender wrote it, decoded: never a path to use.
    """

    number: tuple[int, ...]
    start: int
    body: int
    end: int
    lines: int
    media: bytes
    encoding: bytes
    charset: bytes
    depth: int
    parent: int
    disposition: bytes
    filename: str


class Draft:
    """A part while the index is being made: offsets, and the fields its fragments are built from."""

    __slots__ = ("body", "depth", "end", "entity", "fields", "inner", "lines", "number", "parent", "start")

    fields: Mapping[bytes, bytes]

    def __init__(self, start: int, end: int, number: tuple[int, ...], depth: int, parent: int) -> None:
        self.start = start
        self.body = start
        self.end = end
        self.number = number
        self.depth = depth
        self.parent = parent
        self.lines = 0
        self.inner = False  # the message inside a message/rfc822 part
        self.fields = _NO_FIELDS
        self.entity = _WHOLE

    def finished(self) -> Part:
        """Return the part as a value."""
        entity = self.entity
        return Part(
            self.number,
            self.start,
            self.body,
            self.end,
            self.lines,
            entity.media,
            entity.encoding,
            entity.charset,
            self.depth,
            self.parent,
            entity.disposition,
            entity.filename,
        )


class Walk:
    """The walk over one mail: `drafts` in document order and the limits that were met."""

    __slots__ = (
        "drafts",
        "false_delimiters",
        "find",
        "header_octets",
        "hyphens",
        "nested",
        "octets",
        "pending",
        "truncated",
    )

    def __init__(self, octets: Octets) -> None:
        self.octets = octets
        self.find: Find = finder(octets)
        self.drafts: list[Draft] = []
        self.truncated: dict[str, None] = {}
        self.pending: list[tuple[Draft, bytes]] = []  # with the media type to assume
        self.nested = False  # whether there is a message inside the mail
        self.header_octets = limits.ALL_HEADER_OCTETS
        self.false_delimiters = limits.DELIMITERS
        self.hyphens: array[int] | None = None  # where lines begin with two hyphens, once that is needed

    def run(self) -> None:
        """Find all parts."""
        drafts, pending = self.drafts, self.pending
        pending.append((Draft(0, len(self.octets), (), 0, -1), PLAIN))
        while pending:
            draft, assumed = pending.pop()
            drafts.append(draft)
            if assumed:
                self._read_header(draft, assumed)
            if draft.entity.kind in CONTAINERS or draft.inner:
                self._open(draft, len(drafts) - 1)
        self._count_lines()

    def _open(self, draft: Draft, at: int) -> None:
        if draft.entity.kind == MULTIPART:
            self._open_multipart(draft, at)
        if draft.inner and draft.entity.kind != MULTIPART:
            draft.number = (*draft.number, 1)
        if draft.entity.kind == MESSAGE:
            self._open_message(draft, at)

    def _read_header(self, draft: Draft, assumed: bytes) -> None:
        octets, start, end = self.octets, draft.start, draft.end
        room = min(self.header_octets, limits.HEADER_OCTETS)
        limit = start + room if start + room < end else end
        body = _body(octets, start, limit) if isinstance(octets, bytes) else -1
        if body < 0:
            draft.fields, body = self._unusual_header(draft, room)
            draft.entity = entity(draft.fields, assumed)
        elif body - start <= limits.SMALL_HEADER and draft.depth:
            draft.fields, draft.entity = _small(octets[start:body], assumed)
        else:
            draft.fields = read(octets[start:body])
            draft.entity = entity(draft.fields, assumed)
        draft.body = body
        size = body - start
        self.header_octets -= size if size < room else room

    def _unusual_header(self, draft: Draft, room: int) -> tuple[dict[bytes, bytes], int]:
        """Read the header of a mapped mail, or one without an empty line in what may be read of it."""
        octets, start = self.octets, draft.start
        limit = min(draft.end, start + room)
        block = octets[start:limit]
        body = _body(block, 0, len(block))
        if body >= 0:
            return read(block[:body]), start + body
        if limit == draft.end:
            return read(block), limit
        kept = block.rfind(b"\n") + 1
        fields = read(block[:kept])
        self.truncated["header" if room == limits.HEADER_OCTETS else "headers"] = None
        return fields, header_end(octets, start + kept, draft.end, self.find)

    def _open_message(self, draft: Draft, at: int) -> None:
        if self._may_open(draft, 1):
            child = Draft(draft.body, draft.end, draft.number or (1,), draft.depth + 1, at)
            child.inner = self.nested = True
            self.pending.append((child, PLAIN))

    def _may_open(self, draft: Draft, children: int) -> bool:
        if draft.depth >= limits.DEPTH:
            self.truncated["depth"] = None
        elif len(self.drafts) + len(self.pending) + children > limits.PARTS:
            self.truncated["parts"] = None
        else:
            return True
        draft.entity = opaque(draft.fields)
        return False

    # multipart-body = [preamble CRLF] dash-boundary transport-padding CRLF body-part *(delimiter
    #                  transport-padding CRLF body-part) close-delimiter transport-padding [CRLF epilogue]
    def _open_multipart(self, draft: Draft, at: int) -> None:
        if not self._may_open(draft, 1):
            return
        room = limits.PARTS - len(self.drafts) - len(self.pending)
        extents = self._extents(draft, room)
        assumed = b"message/rfc822" if draft.entity.media == b"multipart/digest" else PLAIN
        if not extents:
            extents, assumed = [(draft.body, draft.end)], b""
        number, depth = draft.number, draft.depth + 1
        for ordinal in range(len(extents), 0, -1):
            start, end = extents[ordinal - 1]
            self.pending.append((Draft(start, end, (*number, ordinal), depth, at), assumed))

    def _extents(self, draft: Draft, room: int) -> list[tuple[int, int]]:
        """Return (start, end) of the children of a multipart."""
        boundary = draft.entity.boundary
        if not boundary:
            return []
        if len(boundary) > limits.BOUNDARY:
            self.truncated["boundary"] = None
            return []
        out: list[tuple[int, int]] = []
        body, end = draft.body, draft.end
        needle = b"\n--" + boundary
        find = self.find if draft.depth <= _SHALLOW else self._find_deep
        start = -1
        at = max(body - 1, draft.start)  # the line end before the content may be that of the first delimiter
        while True:
            at, after, close = self._delimiter(find, needle, at, end)
            if start >= 0:
                stop = at - 1 if self.octets[at - 1 : at] == b"\r" else at
                out.append((start, max(start, stop if at < end else end)))
            if close:
                return out
            if len(out) == room:
                self.truncated["parts"] = None
                return out
            start = after
            at = after - 1

    def _find_deep(self, needle: bytes, at: int, end: int) -> int:
        """Find a delimiter below level SHALLOW: among the lines that begin with two hyphens, listed once.

        Each level of nesting searches the octets of the levels below it again, so that without the list depth
        would multiply the work for a large mail.
        """
        if self.hyphens is None:
            self.hyphens = array("Q")
            found = self.find(b"\n--", at, len(self.octets))
            while found >= 0 and len(self.hyphens) < limits.DELIMITERS:
                self.hyphens.append(found)
                found = self.find(b"\n--", found + 1, len(self.octets))
            if found >= 0:
                self.truncated["delimiters"] = None
        size = len(needle)
        for place in range(bisect_left(self.hyphens, at), len(self.hyphens)):
            found = self.hyphens[place]
            if found + size > end:
                break
            if self.octets[found : found + size] == needle:
                return found
        return -1

    def _delimiter(self, find: Find, needle: bytes, at: int, end: int) -> tuple[int, int, bool]:
        """Return (start, start of the next line, whether it is the last) of the next delimiter line.

        The start is that of the line end before the delimiter; it is `end` when there is no more.
        """
        octets, size = self.octets, len(needle)
        while self.false_delimiters and (at := find(needle, at, end)) >= 0:
            after = at + size
            tail = octets[after : min(after + 2, end)]
            if tail == b"\r\n":
                return at, after + 2, False
            if tail[:1] == b"\n":
                return at, after + 1, False
            close = tail == b"--"
            if close:
                after += 2
            tail = octets[after : min(after + limits.PADDING, end)]
            padding = tail.lstrip(b" \t\r")
            if padding[:1] == b"\n" or (not padding and after + len(tail) == end):
                return at, after + len(tail) - len(padding) + len(padding[:1]), close
            self.false_delimiters -= 1
            at += 1
        if not self.false_delimiters:
            self.truncated["delimiters"] = None
        return end, end, True

    def _count_lines(self) -> None:
        drafts, octets = self.drafts, self.octets
        if self.nested:
            self._count_nested_lines()
            return
        for draft in drafts:
            if draft.entity.kind == TEXT:
                draft.lines = count(octets, b"\n", draft.body, draft.end)

    def _count_nested_lines(self) -> None:
        """Count between all offsets of interest, once, since a message counts the lines of its own parts."""
        counted = [d for d in self.drafts if d.entity.kind in (MESSAGE, TEXT)]
        offsets = sorted({offset for d in counted for offset in (d.body, d.end)})
        before: dict[int, int] = {offsets[0]: 0}
        total = 0
        for a, b in itertools.pairwise(offsets):
            total += count(self.octets, b"\n", a, b)
            before[b] = total
        for draft in counted:
            draft.lines = before[draft.end] - before[draft.body]


@lru_cache(limits.REMEMBERED)
def _small(header: bytes, assumed: bytes) -> tuple[Mapping[bytes, bytes], Entity]:
    """Return the fields and the description of a part with a small header; many parts have the same."""
    fields = read(header)
    return fields, entity(fields, assumed)


def _body(octets: bytes, start: int, end: int) -> int:
    """Return where the body of a header that begins at `start` begins, -1 when no empty line is found."""
    if octets.startswith((b"\n", b"\r\n"), start, end):
        return octets.index(b"\n", start) + 1
    found = _EMPTY_LINE.search(octets, start, end)
    return -1 if found is None else found.end()


# fields = *(field-name ":" unstructured CRLF)      ; a folded line begins with WSP
def read(header: bytes) -> dict[bytes, bytes]:
    """Return the wanted fields of a header, and some others that begin alike.

    Names are in lower case, values unfolded, the first of a name counts. To, Cc and Bcc are joined when they
    are repeated (RFC 5322 section 4.5.3).
    """
    found: list[tuple[bytes, bytes]] = _FIELD.findall(b"\n" + header)
    found.reverse()  # so that the first of a name is the last that is kept
    out = {name.lower(): unfold(value) if LF in value else value.strip(_BLANK) for name, value in found}
    return out if len(out) == len(found) else _combined(out, found)


def _combined(fields: dict[bytes, bytes], found: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the fields with all values of the repeated ones that are lists; they are found last first."""
    for name in _COMBINED:
        if name in fields:
            values = [unfold(value) for other, value in found if other.lower() == name]
            fields[name] = b", ".join(reversed(values))
    return fields
