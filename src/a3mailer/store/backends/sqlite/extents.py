"""Which parts of a mail are contents of their own, and how the mail is put together from them (ADR 0016).

mail = own octets, part, own octets, part ...: every octet as it came. What is left when the large parts are
taken out are the mail's own octets, kept one behind the other in the mail's own record.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import Final

from a3mailer.mail.errors import DamagedContent
from a3mailer.mail.message import Part

PART_FROM: Final = 64 * 1024
"""Octets, as they stand in the mail, from which on a part is kept apart. Never to be raised: what a smaller
mail holds is released without looking for parts."""
MOST_PARTS: Final = 32
"""Parts of one mail that are kept apart; further ones stay in line."""
OWN: Final = -1
"""In place of the number of a part: the mail's own octets."""

Span = tuple[int, int]
Run = tuple[int, int, int]
"""(number of a part or OWN, from, to): octets of it that come next."""


def large_parts(parts: Sequence[Part], size: int) -> tuple[Span, ...]:
    """(start, end) of the parts of a mail of ``size`` octets that are kept apart, ascending and disjoint."""
    parents = {part.parent for part in parts}
    found: list[Span] = []
    last = 0
    for number, part in enumerate(parts):
        start, end = part.body, part.end
        if end - start >= PART_FROM and number not in parents and last <= start and end <= size:
            found.append((start, end))
            last = end
            if len(found) == MOST_PARTS:
                break
    return tuple(found)


def own_octets(octets: bytes | mmap.mmap, spans: Sequence[Span]) -> bytes:
    """What is left of a mail without these parts."""
    left = []
    at = 0
    for start, end in spans:
        left.append(octets[at:start])
        at = end
    left.append(octets[at:])
    return b"".join(left)


def runs(extents: Sequence[Span], own: int, size: int, start: int, stop: int) -> list[Run]:
    """What octets [start, stop) of a mail of ``size`` octets are, in their order.

    ``extents`` are (offset in the mail, size) of its parts, ascending; ``own`` counts its own octets.
    Errors: DamagedContent when they do not add up to the mail."""
    if own + sum(length for _, length in extents) != size:
        raise DamagedContent("the parts of a content do not add up to it")
    found: list[Run] = []
    at = taken = 0
    for number, (begin, length) in enumerate((*extents, (size, 0))):
        if begin < at:
            raise DamagedContent("the parts of a content overlap")
        _meet(found, OWN, taken, at, begin - at, start, stop)
        _meet(found, number, 0, begin, length, start, stop)
        taken += begin - at
        at = begin + length
    return found


def _meet(found: list[Run], what: int, base: int, at: int, length: int, start: int, stop: int) -> None:
    """Note what [start, stop) has of ``length`` octets at ``at`` of the mail, which lie at ``base`` there."""
    first, last = max(start, at), min(stop, at + length)
    if first < last:
        found.append((what, base + first - at, base + last - at))
