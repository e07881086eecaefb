"""``:matches`` (RFC 5228 section 2.7.1): ``*`` any octets, ``?`` one; a backslash takes the next as it is.

The pieces between stars are looked for from the left, each where it is found first: that makes every star as
short as can be (RFC 5229 section 3.2), and no place is tried anew for a later piece, so the work is at most
length of value times length of pattern. A piece is found by its longest run without ``?``, in bulk.
Each place that is tried is charged.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

REMEMBERED: Final = 512
"""Patterns that are kept taken apart."""
_ANY: Final = -1
_SPREAD: Final = 64
"""Octets compared for one step."""


class _Piece(NamedTuple):
    """What stands between two stars. ``runs``: (offset, octets) of all that is not ``?``; ``anchor``: the
    longest of them, by which the piece is looked for."""

    size: int
    runs: tuple[tuple[int, bytes], ...]
    anchor: tuple[int, bytes] | None
    marks: tuple[int, ...]
    """Offsets of ``?``."""

    def fits(self, value: bytes, at: int) -> bool:
        return all(value.startswith(run, at + offset) for offset, run in self.runs)


class Pattern(NamedTuple):
    """A pattern taken apart: n stars between n + 1 pieces."""

    pieces: tuple[_Piece, ...]


@lru_cache(REMEMBERED)
def pattern(key: bytes) -> Pattern:
    """Take a pattern apart."""
    pieces: list[list[int]] = [[]]
    escaped = False
    for octet in key:
        if escaped or octet not in b"*?\\":
            pieces[-1].append(octet)
            escaped = False
        elif octet == 0x5C:
            escaped = True
        elif octet == 0x2A:
            pieces.append([])
        else:
            pieces[-1].append(_ANY)
    if escaped:
        pieces[-1].append(0x5C)
    return Pattern(tuple(map(_piece, pieces)))


def _piece(places: list[int]) -> _Piece:
    runs: list[tuple[int, bytearray]] = []
    for offset, octet in enumerate(places):
        if octet == _ANY:
            continue
        if runs and runs[-1][0] + len(runs[-1][1]) == offset:
            runs[-1][1].append(octet)
        else:
            runs.append((offset, bytearray((octet,))))
    made = tuple((offset, bytes(run)) for offset, run in runs)
    anchor = max(made, key=lambda run: len(run[1]), default=None)
    return _Piece(len(places), made, anchor, tuple(i for i, octet in enumerate(places) if octet == _ANY))


def match(
    key: Pattern, value: bytes, charge: Callable[[int], None], shown: bytes | None = None
) -> tuple[bytes, ...] | None:
    """The whole value and what each wildcard stands for, in order; None when it does not match.

    ``shown`` is the value to cut them from, where ``value`` has been mapped by a comparator."""
    places = _places(key.pieces, value, charge)
    if places is None:
        return None
    text = value if shown is None else shown
    found = [text]
    end = 0
    for number, (piece, at) in enumerate(zip(key.pieces, places, strict=True)):
        if number:
            found.append(text[end:at])
        found += [text[at + mark : at + mark + 1] for mark in piece.marks]
        end = at + piece.size
    return tuple(found)


def _places(pieces: tuple[_Piece, ...], value: bytes, charge: Callable[[int], None]) -> list[int] | None:
    """Where each piece stands."""
    first, *middle = pieces
    charge(1 + first.size // _SPREAD)
    if len(value) < first.size or not first.fits(value, 0):
        return None
    if not middle:
        return [0] if len(value) == first.size else None
    last = middle.pop()
    end = len(value) - last.size
    at = first.size
    places = [0]
    for piece in middle:
        at = _find(piece, value, at, end, charge)
        if at < 0:
            return None
        places.append(at)
        at += piece.size
    charge(1 + last.size // _SPREAD)
    if at > end or not last.fits(value, end):
        return None
    return [*places, end]


def _find(piece: _Piece, value: bytes, at: int, end: int, charge: Callable[[int], None]) -> int:
    """The first place of a piece in [at, end), -1 for none."""
    if piece.anchor is None:
        return at if at + piece.size <= end else -1
    offset, run = piece.anchor
    cost = 1 + piece.size // _SPREAD
    stop = end - piece.size + offset + len(run)
    charge(search_cost(stop - at, len(run)))
    while (found := value.find(run, at + offset, max(stop, 0))) >= 0:
        at = found - offset
        if len(piece.runs) == 1:
            return at
        charge(cost)
        if piece.fits(value, at):
            return at
        at += 1
    return -1


def search_cost(size: int, sought: int) -> int:
    """Steps of looking for so many octets in so many: at worst all of one with all of the other, where they
    are short; linear where they are long (where the search of CPython changes its way)."""
    if size <= 0:
        return 0
    if size < 2_500:
        return size * sought >> 12
    return size * sought >> 12 if size < 30_000 and sought < 100 else size >> 8
