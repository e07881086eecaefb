"""The parts of a message (RFC 2045, 2046): where each begins and ends, found iteratively in one walk.

Outer boundaries come before inner ones (RFC 2046 section 5.1.2), so a part never reaches over the end of its
parent. A multipart without a single delimiter line has one part, its whole content as text/plain. A container
that may not be opened (limits DEPTH, PARTS) is one opaque application/octet-stream. Offsets are octets from
the start of the mail. Linear: each level of nesting searches its own octets once. Nothing here raises.
"""

import itertools
from dataclasses import dataclass
from typing import Final

from a3mailer.mail.message import limits, parameters
from a3mailer.mail.message.headers import header_end, lines
from a3mailer.mail.message.octets import Find, Octets, count, finder
from a3mailer.mail.message.parameters import Parameters

MESSAGES: Final = frozenset((b"message/rfc822", b"message/global"))
_OPAQUE: Final = b"application/octet-stream"
_PLAIN: Final = b"text/plain"
_BLANK: Final = b" \t\r\n"
_COMBINED: Final = frozenset((b"to", b"cc", b"bcc"))  # obsolete syntax: repeated fields are one list
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


@dataclass(frozen=True, slots=True)
class Part:
    """A part as IMAP and JMAP address it. Its header is octets[start:body], its content octets[body:end].

    `number` is the IMAP part specifier (RFC 9051 section 6.4.5), () for the message itself; the message
    inside a message/rfc822 part has the number of that part when it is a multipart, else that number and a 1.
    `lines` counts line ends of the content of text and message parts and is 0 for others. `parent` is an
    index into the parts, -1 for the message itself. `disposition` is "attachment", "inline" or another word
    in lower case, b"" without one.
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
        name = parameters.text_of(self.disposition[1], b"filename") if self.disposition[1] else ""
        if not name and self.parameters:
            name = parameters.text_of(self.parameters, b"name")
        return Part(
            self.number,
            self.start,
            self.body,
            self.end,
            self.lines,
            self.media[: limits.TOKEN],
            self.encoding[: limits.TOKEN],
            parameters.value_of(self.parameters, b"charset").lower()[: limits.TOKEN],
            self.depth,
            self.parent,
            self.disposition[0][: limits.TOKEN],
            name[: limits.FILENAME],
        )


class Walk:
    """The walk over one mail: `drafts` in document order and the limits that were met."""

    __slots__ = ("drafts", "false_delimiters", "find", "header_octets", "octets", "pending", "truncated")

    def __init__(self, octets: Octets) -> None:
        self.octets = octets
        self.find: Find = finder(octets)
        self.drafts: list[Draft] = []
        self.truncated: dict[str, None] = {}
        self.pending: list[tuple[Draft, bytes]] = []  # with the media type to assume
        self.header_octets = limits.ALL_HEADER_OCTETS
        self.false_delimiters = limits.DELIMITERS

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
        start = draft.start
        body = draft.body = header_end(self.octets, start, draft.end, self.find)
        if body - start > self.header_octets or body - start > limits.HEADER_OCTETS:
            block = self._cut_header(start, body)
        else:
            block = self.octets[start:body]
            self.header_octets -= body - start
        draft.fields = fields = read(block)
        value = fields.get(b"content-type")
        if value:
            draft.media, draft.parameters = parameters.parse(value)
            if b"/" not in draft.media:  # RFC 2045 section 5.2
                draft.media, draft.parameters = _PLAIN, ()
        else:
            draft.media = media
        value = fields.get(b"content-transfer-encoding")
        if value:
            draft.encoding = value.partition(b"(")[0].strip(_BLANK).lower() or b"7bit"
        value = fields.get(b"content-disposition")
        if value:
            draft.disposition = parameters.parse(value)

    def _cut_header(self, start: int, body: int) -> bytes:
        room = min(self.header_octets, limits.HEADER_OCTETS)
        self.truncated["header" if room == limits.HEADER_OCTETS else "headers"] = None
        self.header_octets -= room
        block = self.octets[start : start + room]
        return block[: block.rfind(b"\n") + 1]

    def _open_message(self, draft: Draft, at: int) -> None:
        if self._may_open(draft, 1):
            child = Draft(draft.body, draft.end, draft.number or (1,), draft.depth + 1, at)
            child.inner = True
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
        start = -1
        at = max(body - 1, draft.start)  # the line end before the content may be that of the first delimiter
        while True:
            at, after, close = self._delimiter(needle, at, end)
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

    def _delimiter(self, needle: bytes, at: int, end: int) -> tuple[int, int, bool]:
        """Return (start, start of the next line, whether it is the last) of the next delimiter line.

        The start is that of the line end before the delimiter; it is `end` when there is no more.
        """
        octets, size = self.octets, len(needle)
        while self.false_delimiters and (at := self.find(needle, at, end)) >= 0:
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
            if not padding or padding[:1] == b"\n":
                return at, after + len(tail) - len(padding) + len(padding[:1]), close
            self.false_delimiters -= 1
            at += 1
        if not self.false_delimiters:
            self.truncated["delimiters"] = None
        return end, end, True

    def _count_lines(self) -> None:
        drafts, octets = self.drafts, self.octets
        if any(draft.media in MESSAGES for draft in drafts):
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


def read(block: bytes) -> dict[bytes, bytes]:
    """Return the wanted fields of a header, name in lower case to unfolded value, the first of a name.

    To, Cc and Bcc are joined when they are repeated (RFC 5322 section 4.5.3).
    """
    out: dict[bytes, bytes] = {}
    repeated: list[tuple[bytes, bytes]] = []
    for line in lines(block):
        colon = line.find(b":")
        if colon <= 0:
            continue
        name = line[:colon].lower()
        if name not in _WANTED:
            name = name.rstrip(_BLANK)
            if name not in _WANTED:
                continue
        value = line[colon + 1 :].strip(_BLANK)
        if name not in out:
            out[name] = value
        elif name in _COMBINED:
            repeated.append((name, value))
    for name in {name for name, _ in repeated}:
        out[name] = b", ".join([out[name], *(value for other, value in repeated if other == name)])
    return out
