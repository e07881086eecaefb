"""Contents on their way out: line ends and dots made right whatever was stored (RFC 5321 sections 2.3.8,
4.5.2, 4.5.3.1.6). All in bulk; a content may come in any pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

MAX_TEXT_LINE: Final = 998
"""Octets of a line without its CRLF (RFC 5321 section 4.5.3.1.6, RFC 5322 section 2.1.1)."""
PIECE: Final = 256 * 1024
"""Octets encoded at a time."""
_FOLD: Final = b"\r\n "


@dataclass(frozen=True, slots=True)
class Survey:
    """What a content needs of a server."""

    eight_bit: bool
    nul: bool
    utf8_header: bool


def survey(octets: bytes, header_size: int) -> Survey:
    """Look at a whole content whose header has ``header_size`` octets."""
    ascii_only = octets.isascii()
    return Survey(
        eight_bit=not ascii_only,
        nul=b"\0" in octets,
        utf8_header=not (ascii_only or octets[:header_size].isascii()),
    )


class DataEncoder:
    """For DATA: every CR, LF and CRLF becomes CRLF, a line too long is folded, dots are doubled.

    Postfix folds the same way (``smtp_line_length_limit``): a CRLF and a space. Nothing that was a line
    of its own ends the mail, and the mail always ends in a line of its own.
    """

    __slots__ = ("_carry", "_column", "_limit")

    def __init__(self, limit: int = MAX_TEXT_LINE) -> None:
        self._limit = limit
        self._carry = b""
        self._column = 0
        """Octets of the line that is not finished yet."""

    def feed(self, octets: bytes) -> bytes:
        """Encode the next piece."""
        octets = self._carry + octets if self._carry else octets
        self._carry = b""
        if octets.endswith(b"\r"):  # a LF may follow
            octets, self._carry = octets[:-1], b"\r"
        return self._encode(octets) if octets else b""

    def finish(self) -> bytes:
        """What is left, and the end of the mail."""
        rest = self._encode(b"\r\n") if self._carry else b""
        self._carry = b""
        end = b"\r\n.\r\n" if self._column else b".\r\n"
        self._column = 0
        return rest + end

    def _encode(self, octets: bytes) -> bytes:
        lines = octets.count(b"\r\n")
        if octets.count(b"\n") != lines or octets.count(b"\r") != lines:
            octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
        begins_line = self._column == 0
        octets = self._folded(octets)
        octets = octets.replace(b"\r\n.", b"\r\n..")
        return b"." + octets if begins_line and octets.startswith(b".") else octets

    def _folded(self, octets: bytes) -> bytes:
        """Strides of the limit from one LF to the last one in reach, so that short lines cost nothing."""
        out: list[bytes] = []
        at = done = 0
        room = self._limit - self._column
        size = len(octets)
        while True:
            end = octets.rfind(b"\n", at, min(size, at + room + 2))
            if end >= 0:
                at, room = end + 1, self._limit
            elif size - at <= room:
                break
            else:
                out += (octets[done : at + room], _FOLD)
                at = done = at + room
                room = self._limit - 1
        self._column = self._limit - room + size - at
        return b"".join((*out, octets[done:])) if out else octets


def encode_data(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """A content in any pieces as the octets that follow DATA; its end is part of the last one."""
    encoder, last = DataEncoder(), b""
    for piece in pieces:
        if last:
            yield last
        last = encoder.feed(piece)
    yield last + encoder.finish()


def in_pieces(octets: bytes, size: int = PIECE) -> Iterator[bytes]:
    """A content that is at hand whole."""
    for at in range(0, len(octets), size):
        yield octets[at : at + size]
