"""Octets that are either in memory (``bytes``) or mapped from a file (``mmap``), searched the same way.

A mapped mail is read in windows, so that neither its search nor its count holds more than one window in
memory; ``mmap.find`` is not used because it is quadratic in the worst case and ``mmap`` has no ``count``.
Offsets and sizes are octets. Nothing here raises.
"""

import mmap
from collections.abc import Callable
from typing import Final, TypeAlias

Octets: TypeAlias = bytes | mmap.mmap
Find: TypeAlias = Callable[[bytes, int, int], int]

SMALLEST_WINDOW: Final = 1 << 12  # doubled up to WINDOW, so that a search costs what it passes over
WINDOW: Final = 1 << 20


def finder(octets: Octets) -> Find:
    """Return ``find(needle, start, end)`` over the octets: the first offset in [start, end), or -1."""
    if isinstance(octets, bytes):
        return octets.find
    mapped = octets

    def find(needle: bytes, start: int, end: int) -> int:
        overlap = len(needle) - 1
        window = SMALLEST_WINDOW
        while start < end:
            stop = min(start + window + overlap, end)
            at = mapped[start:stop].find(needle)
            if at >= 0:
                return start + at
            start += window
            window = min(2 * window, WINDOW)
        return -1

    return find


def count(octets: Octets, needle: bytes, start: int, end: int) -> int:
    """Count a single octet in [start, end)."""
    if isinstance(octets, bytes):
        return octets.count(needle, start, end)
    total = 0
    while start < end:
        stop = min(start + WINDOW, end)
        total += octets[start:stop].count(needle)
        start = stop
    return total
