"""The parts of a message (RFC 2045, 2046): where each begins and ends, found iteratively in one walk.

Outer boundaries come before inner ones (RFC 2046 section 5.1.2), so a part never reaches over the end of its
parent. A multipart without a single delimiter line has one part, its whole content as text/plain. A container
that may not be opened (limits DEPTH, PARTS) is one opaque application/octet-stream. Offsets are octets from
the start of the mail. Linear: each level of nesting searches its own octets once. Nothing here raises.
"""

import itertools
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

from a3mailer.mail.message import limits, parameters
from a3mailer.mail.message.ascii import LF, SLASH
from a3mailer.mail.message.headers import header_end, unfold
from a3mailer.mail.message.octets import Find, Octets, count, finder
from a3mailer.mail.message.parameters import Parameters

MESSAGES: Final = frozenset((b"message/rfc822", b"message/global"))
_OPAQUE: Final = b"application/octet-stream"
_PLAIN: Final = b"text/plain"
_ENCODINGS: Final = {name: name for name in (b"7bit", b"8bit", b"base64", b"quoted-printable")}  # the usual
_SHALLOW: Final = 2  # the deepest level whose delimiters are searched for directly
_TOKEN: Final = limits.TOKEN
_BLANK: Final = b" \t\r\n"
_LINE_END: Final = frozenset(b"\r\n")
_FOLD: Final = b" \t"
_COMBINED: Final = (b"to", b"cc", b"bcc")  # obsolete syntax: repeated fields are one list
_WANTED: Final = frozenset(
    (
        b"from",
        b"sender",
        b"reply-to",
        b"to",
        b"cc",
        b"bcc",
        b"subject",
        b"date",
        b"message-id",
        b"in-reply-to",
        b"references",
        b"content-type",
        b"content-transfer-encoding",
        b"content-disposition",
        b"content-id",
        b"content-description",
        b"content-language",
        b"content-location",
        b"content-md5",
    )
)
_INITIALS: Final = frozenset(octet for name in _WANTED for octet in (name[0], name[0] - 32))


@dataclass(frozen=True, slots=True)
class Part:
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

    __slots__ = (
        "body",
        "depth",
        "disposition",
        "encoding",
        "end",
        "fields",
        "inner",
        "lines",
        "media",
        "number",
        "parameters",
        "parent",
        "start",
    )

    def __init__(self, start: int, end: int, number: tuple[int, ...], depth: int, parent: int) -> None:
        self.start = start
        self.end = end
        self.number = number
        self.depth = depth
        self.parent = parent
        self.lines = 0
        self.inner = False  # the message inside a message/rfc822 part
        self.body = start
        self.fields: dict[bytes, bytes] = {}
        self.media = _PLAIN
        self.parameters: Parameters = ()
        self.encoding = b"7bit"
        self.disposition: tuple[bytes, Parameters] = (b"", ())

    def finished(self) -> Part:
        """Return the part as a value."""
        name, charset = "", b""
        disposition = self.disposition[0]
        if disposition:
            name = parameters.text_of(self.disposition[1], b"filename")
        if self.parameters:
            name = name or parameters.text_of(self.parameters, b"name")
            charset = parameters.value_of(self.parameters, b"charset").lower()
        return Part(
            self.number,
            self.start,
            self.body,
            self.end,
            self.lines,
            self.media[:_TOKEN],
            self.encoding[:_TOKEN],
            charset[:_TOKEN],
            self.depth,
            self.parent,
            disposition[:_TOKEN],
            name[: limits.FILENAME],
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
        self.pending.append((Draft(0, len(self.octets), (), 0, -1), _PLAIN))
        while self.pending:
            draft, media = self.pending.pop()
            at = len(self.drafts)
            self.drafts.append(draft)
            if media:
                self._read_header(draft, media)
            if draft.media.startswith(b"multipart/"):
                self._open_multipart(draft, at)
            if draft.inner and not draft.media.startswith(b"multipart/"):
                draft.number = (*draft.number, 1)
            if draft.media in MESSAGES:
                self._open_message(draft, at)
        self._count_lines()

    def _read_header(self, draft: Draft, media: bytes) -> None:
        octets, start = self.octets, draft.start
        room = min(self.header_octets, limits.HEADER_OCTETS)
        limit = min(draft.end, start + room)
        fields, body = read(octets, start, limit) if isinstance(octets, bytes) else ({}, -1)
        if body < 0:
            fields, body = self._unusual_header(draft, room)
        self.header_octets -= min(room, body - start)
        draft.body = body
        draft.fields = fields
        value = fields.get(b"content-type")
        if value:
            draft.media, draft.parameters = parameters.parse(value)
            if SLASH not in draft.media:  # RFC 2045 section 5.2
                draft.media, draft.parameters = _PLAIN, ()
        else:
            draft.media = media
        value = fields.get(b"content-transfer-encoding")
        if value:
            encoding = _ENCODINGS.get(value)
            draft.encoding = encoding or value.partition(b"(")[0].strip(_BLANK).lower() or b"7bit"
        value = fields.get(b"content-disposition")
        if value:
            draft.disposition = parameters.parse(value)

    def _unusual_header(self, draft: Draft, room: int) -> tuple[dict[bytes, bytes], int]:
        """Read the header of a mapped mail, or one without an empty line in what may be read of it."""
        octets, start = self.octets, draft.start
        limit = min(draft.end, start + room)
        block = octets[start:limit]
        fields, body = read(block, 0, len(block))
        if body >= 0:
            return fields, start + body
        if limit == draft.end:
            return fields, limit
        kept = block.rfind(b"\n") + 1
        fields, _ = read(block, 0, kept)
        self.truncated["header" if room == limits.HEADER_OCTETS else "headers"] = None
        return fields, header_end(octets, start + kept, draft.end, self.find)

    def _open_message(self, draft: Draft, at: int) -> None:
        if self._may_open(draft, 1):
            child = Draft(draft.body, draft.end, draft.number or (1,), draft.depth + 1, at)
            child.inner = self.nested = True
            self.pending.append((child, _PLAIN))

    def _may_open(self, draft: Draft, children: int) -> bool:
        if draft.depth >= limits.DEPTH:
            self.truncated["depth"] = None
        elif len(self.drafts) + len(self.pending) + children > limits.PARTS:
            self.truncated["parts"] = None
        else:
            return True
        draft.media, draft.parameters = _OPAQUE, ()
        return False

    # multipart-body = [preamble CRLF] dash-boundary transport-padding CRLF body-part *(delimiter
    #                  transport-padding CRLF body-part) close-delimiter transport-padding [CRLF epilogue]
    def _open_multipart(self, draft: Draft, at: int) -> None:
        if not self._may_open(draft, 1):
            return
        room = limits.PARTS - len(self.drafts) - len(self.pending)
        extents = self._extents(draft, room)
        media = b"message/rfc822" if draft.media == b"multipart/digest" else _PLAIN
        if not extents:
            extents, media = [(draft.body, draft.end)], b""
        number, depth = draft.number, draft.depth + 1
        self.pending += [
            (Draft(extents[i][0], extents[i][1], (*number, i + 1), depth, at), media)
            for i in range(len(extents) - 1, -1, -1)
        ]

    def _extents(self, draft: Draft, room: int) -> list[tuple[int, int]]:
        """Return (start, end) of the children of a multipart."""
        boundary = parameters.value_of(draft.parameters, b"boundary").rstrip(_BLANK)
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
            if draft.media.startswith(b"text/"):
                draft.lines = count(octets, b"\n", draft.body, draft.end)

    def _count_nested_lines(self) -> None:
        """Count between all offsets of interest, once, since a message counts the lines of its own parts."""
        counted = [d for d in self.drafts if d.media in MESSAGES or d.media.startswith(b"text/")]
        offsets = sorted({offset for d in counted for offset in (d.body, d.end)})
        before: dict[int, int] = {offsets[0]: 0}
        total = 0
        for a, b in itertools.pairwise(offsets):
            total += count(self.octets, b"\n", a, b)
            before[b] = total
        for draft in counted:
            draft.lines = before[draft.end] - before[draft.body]


# fields = *(field-name ":" unstructured CRLF)      ; a folded line begins with WSP
def read(octets: bytes, at: int, end: int) -> tuple[dict[bytes, bytes], int]:
    """Return the wanted fields of a header and where its body begins, -1 when no empty line is found.

    Names are in lower case, values unfolded, the first of a name counts. To, Cc and Bcc are joined when they
    are repeated (RFC 5322 section 4.5.3).
    """
    find = octets.find
    out: dict[bytes, bytes] = {}
    repeated: list[tuple[bytes, bytes]] = []
    body = -1
    while at < end:
        start = at
        initial = octets[at]
        stop = find(b"\n", at, end)
        if initial in _LINE_END and 0 <= stop - at <= 1:
            body = stop + 1
            break
        at = stop + 1 or end
        while at < end and octets[at] in _FOLD:
            at = find(b"\n", at, end) + 1 or end
        if initial not in _INITIALS:
            continue
        colon = find(b":", start, at)
        name = octets[start:colon].rstrip(_FOLD).lower() if colon > start else b""
        if name in _WANTED:
            value = octets[colon + 1 : at].strip(_BLANK)
            if LF in value:
                value = unfold(value)
            if name in out:
                repeated.append((name, value))
            else:
                out[name] = value
    return (_combined(out, repeated) if repeated else out), body


def _combined(fields: dict[bytes, bytes], repeated: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    for name in _COMBINED:
        values = [value for other, value in repeated if other == name]
        if values:
            fields[name] = b", ".join([fields[name], *values])
    return fields
