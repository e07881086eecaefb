"""Sequence sets (RFC 9051 section 9, RFC 4315): parse, resolve against what a mailbox holds, print."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from a3mailer.wire.imap import limits
from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.parser import Parser

_SET_CHARS: Final = b"0123456789:,*"
STAR: Final = 0
"""``*`` in a range: the largest number in use."""

Span = tuple[int, int]
"""Indexes into a sequence map, half-open."""


class SequenceSet(Struct, frozen=True):
    """Ranges as the client gave them, ``STAR`` for ``*``; or ``$``, the saved result (RFC 5182)."""

    ranges: tuple[tuple[int, int], ...]
    saved: bool = False

    def spans(self, count: int) -> list[Span]:
        """As sequence numbers of a mailbox with ``count`` messages: disjoint spans, ascending.

        Errors: BadSyntax for a number the mailbox does not have (RFC 9051 section 9, seq-number)."""
        found: list[Span] = []
        for low, high in self.ranges:
            low, high = low or count, high or count
            if low > high:
                low, high = high, low
            if high > count or low == 0:
                raise BadSyntax("no message has that sequence number")
            found.append((low - 1, high))
        return merged(found)

    def uid_spans(self, uids: Sequence[int], count: int) -> list[Span]:
        """As uids: disjoint spans of indexes into the first ``count`` of ``uids``, ascending."""
        found: list[Span] = []
        last = uids[count - 1] if count else 0
        for low, high in self.ranges:
            low, high = low or last, high or last
            if low > high:
                low, high = high, low
            first, end = bisect_left(uids, low, 0, count), bisect_right(uids, high, 0, count)
            if first < end:
                found.append((first, end))
        return merged(found)

    def bounds(self, largest: int) -> list[tuple[int, int]]:
        """The ranges with ``*`` as ``largest``, low before high, overlaps joined."""
        spans = [
            (min(a or largest, b or largest), max(a or largest, b or largest) + 1) for a, b in self.ranges
        ]
        return [(low, end - 1) for low, end in merged(spans)]


def merged(spans: list[Span]) -> list[Span]:
    """Sorted, overlaps and neighbours joined."""
    if len(spans) < 2:
        return spans
    spans.sort()
    out: list[Span] = []
    low, high = spans[0]
    for first, end in spans:
        if first <= high:
            high = max(high, end)
        else:
            out.append((low, high))
            low, high = first, end
    out.append((low, high))
    return out


SAVED: Final = SequenceSet((), saved=True)


# sequence-set = (seq-number / seq-range) ["," sequence-set] / "$"    seq-range = seq-number ":" seq-number
def parse_sequence_set(p: Parser, *, star: bool = True) -> SequenceSet:
    """A sequence set, ``$`` included. Errors: BadSyntax."""
    if p.take(b"$"):
        return SAVED
    text = p.run(_SET_CHARS, limits.COMMAND_LINE)
    if not text:
        raise p.fail("sequence set expected")
    if text.isdigit():
        one = _number(text, star=star)
        return SequenceSet(((one, one),))
    ranges: list[tuple[int, int]] = []
    for piece in text.split(b","):
        low, colon, high = piece.partition(b":")
        first = _number(low, star=star)
        ranges.append((first, _number(high, star=star) if colon else first))
    return SequenceSet(tuple(ranges))


def _number(digits: bytes, *, star: bool) -> int:
    if digits == b"*" and star:
        return STAR
    if not digits.isdigit() or len(digits) > 10 or not 0 < int(digits) <= limits.NUMBER32:
        raise BadSyntax("a sequence set is made of numbers from 1, ranges and *")
    return int(digits)


def print_set(numbers: Iterable[int]) -> bytes:
    """``1:3,7`` of ascending numbers (RFC 4315 section 4, uid-set)."""
    out: list[str] = []
    low = high = -1
    for number in numbers:
        if number == high + 1:
            high = number
            continue
        if low >= 0:
            out.append(f"{low}:{high}" if high > low else f"{low}")
        low = high = number
    if low >= 0:
        out.append(f"{low}:{high}" if high > low else f"{low}")
    return ",".join(out).encode()
