"""Reports arrive packed: the octets inside gzip (RFC 1952) or the first file of a zip, whoever wrote them.

What comes out is bounded in octets and in ratio while it is unpacked (attack row 24): a bomb costs no more
than a report. One layer only; of a zip nothing is looked at but its first file, its directory neither.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

MAX_UNPACKED: Final = 16 << 20
"""Octets of one report."""
MAX_RATIO: Final = 200
"""How many times larger than what came: XML of a report packs 20 to 40 times."""
FREE: Final = 1 << 20
"""Octets below which no ratio is asked: a few rows of zeros are no bomb."""
GZIP: Final = b"\x1f\x8b"
ZIP: Final = b"PK\x03\x04"
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
_LOCAL: Final = struct.Struct("<4sHHHHHLLLHH")
_ENCRYPTED: Final = 1
_STREAMED: Final = 8
_STORED: Final = 0
_DEFLATED: Final = 8


class Unreadable(Exception):
    """This is no report that can be read; the text says why."""


def unpack(octets: bytes) -> bytes:
    """What is packed, or the octets themselves where they are neither gzip nor zip. Errors: Unreadable."""
    if octets.startswith(GZIP):
        return _inflated(octets, 0, _GZIP_WINDOW)
    if octets.startswith(ZIP):
        return _first_file(octets)
    if len(octets) > MAX_UNPACKED:
        raise Unreadable(f"larger than {MAX_UNPACKED} octets")
    return octets


def _inflated(octets: bytes, start: int, window: int) -> bytes:
    most = max(FREE, min(MAX_UNPACKED, MAX_RATIO * (len(octets) - start)))
    work = zlib.decompressobj(window)
    try:
        found = work.decompress(memoryview(octets)[start:], most + 1)
    except zlib.error as error:
        raise Unreadable(f"packed wrongly: {error}") from None
    if len(found) > most:
        raise Unreadable(f"unpacked it has more than {most} octets")
    if not work.eof:
        raise Unreadable("packed, and cut off")
    return found


def _first_file(octets: bytes) -> bytes:
    """By its local header: a deflated file ends by itself."""
    if len(octets) < _LOCAL.size:
        raise Unreadable("a zip that is cut off")
    _, _, flags, method, _, _, _, size, _, name, extra = _LOCAL.unpack_from(octets)
    start = _LOCAL.size + name + extra
    if flags & _ENCRYPTED:
        raise Unreadable("a zip that is encrypted")
    if method == _DEFLATED:
        return _inflated(octets, start, -zlib.MAX_WBITS)
    if method != _STORED or flags & _STREAMED or start + size > len(octets):
        raise Unreadable("a zip of another kind, or cut off")
    return octets[start : start + size]
