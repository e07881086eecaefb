"""Contents as multi-line responses (RFC 1939 section 3): every line ends in CRLF, dots are stuffed, in bulk.

A bare CR or LF that was stored becomes CRLF: no line of a message can then be taken for its end, by whatever
rule a client ends lines.
"""

from __future__ import annotations

import sys
from typing import Final

from a3mailer.wire.smtp.content import DataEncoder

_ENDS_OF_HEADER: Final = (b"\n\r\n", b"\n\n")


def encoder() -> DataEncoder:
    """``feed`` pieces, then ``finish``, which ends in the line with the dot. Lines are of any length."""
    return DataEncoder(limit=sys.maxsize)


def encode(octets: bytes) -> bytes:
    """A whole content."""
    one = encoder()
    return one.feed(octets) + one.finish()


class TopCutter:
    """The header, the empty line, and ``lines`` lines of what follows (RFC 1939 section 7), from pieces."""

    __slots__ = ("_lines", "_tail", "done", "in_header")

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._tail = b""
        self.in_header = True
        self.done = False
        """Nothing of what comes is wanted."""

    def feed(self, octets: bytes) -> bytes:
        """What of the next piece is wanted."""
        if self.done:
            return b""
        if not self.in_header:
            return self._body(octets)
        joined = (self._tail or b"\n") + octets  # without a header the empty line comes first
        before = len(joined) - len(octets)
        ends = [at + len(end) for end in _ENDS_OF_HEADER if (at := joined.find(end)) >= 0]
        if not ends:
            self._tail = joined[-2:]
            return octets
        body = min(ends) - before
        self.in_header = False
        return octets[:body] + self._body(octets[body:])

    def _body(self, octets: bytes) -> bytes:
        if self._lines == 0:
            self.done = True
            return b""
        lines = octets.count(b"\n")
        if lines < self._lines:
            self._lines -= lines
            return octets
        rest = octets.split(b"\n", self._lines)[-1]
        self.done = True
        return octets[: len(octets) - len(rest)]


def top(octets: bytes, lines: int) -> bytes:
    """The same of a whole content."""
    return TopCutter(lines).feed(octets)
