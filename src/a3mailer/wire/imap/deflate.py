"""Compression of a connection (RFC 4978): raw deflate both ways, without I/O.

What is sent ends each piece with a full flush, so that nothing is compressed by what another reply said:
the size of one tells nothing about the other (attack row 25), and the compressor can be thrown away in
between. What comes is inflated as far as somebody asks for it, so a small piece never becomes a large one.
"""

from __future__ import annotations

import zlib
from typing import Final

from a3mailer.wire.imap.errors import RemoteProtocolError

INFLATED_AT_ONCE: Final = 64 * 1024
"""Octets that come out of one look."""
LEVEL: Final = 4
_RAW: Final = -15
"""No header and no checksum, a window of 32 KiB."""


class BadCompression(RemoteProtocolError):
    """What came is not deflated: nothing that follows can be understood."""


class Deflate:
    """Both directions of one connection."""

    __slots__ = ("_deflate", "_full", "_inflate", "_tail")

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_RAW)
        self._deflate: zlib._Compress | None = None
        self._tail = b""
        """What came and was not inflated yet."""
        self._full = False
        """The last look brought all it may: there may be more."""

    def pack(self, octets: bytes) -> bytes:
        """Octets to be sent, deflated; a whole reply, or a piece of one."""
        if self._deflate is None:
            self._deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, _RAW)
        return self._deflate.compress(octets) + self._deflate.flush(zlib.Z_FULL_FLUSH)

    def shrink(self) -> None:
        """Hold nothing of what was sent; for a connection that rests."""
        self._deflate = None

    def receive(self, octets: bytes) -> None:
        """Take what came."""
        self._tail += octets

    @property
    def waiting(self) -> bool:
        """Whether ``more`` may bring something."""
        return bool(self._tail) or self._full

    def more(self) -> bytes:
        """Some of what the client said, INFLATED_AT_ONCE at most. Errors: BadCompression."""
        try:
            found = self._inflate.decompress(self._tail, INFLATED_AT_ONCE)
        except zlib.error as error:
            raise BadCompression("what came is not compressed") from error
        if self._inflate.eof:
            raise BadCompression("the compressed stream has ended")
        self._tail = self._inflate.unconsumed_tail
        self._full = len(found) == INFLATED_AT_ONCE
        return found

    def rest(self) -> bytes:
        """What came and was not looked at: it is plain when the compression has ended."""
        return self._tail
