"""Canonicalisation of header fields and bodies, and the hash of a body (RFC 6376 section 3.4).

Bulk operations only. A body is worked off in pieces, so that a mapped mail is never in memory as a whole;
white space and empty lines at the end of a piece wait for the next one. Linear in the body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

import re2

from a3mailer.msgauth.fields import CRLF, Field, Header, Octets, line_ends
from a3mailer.msgauth.tags import without_signature


def _octets() -> re2.Options:
    """For patterns over octets, not characters."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = True
    return options


_UNRELAXED: Final = re2.compile(rb"\t|  | \r|[^\r]\n|\A\n", _octets())
"""What has to be made relaxed; one scan says that most bodies are so already."""
_EMPTY: Final = (CRLF, CRLF * 2)
"""How a body ends that has an empty line there."""
PIECE: Final = 256 * 1024
"""Octets of a body worked on at a time; a smaller body is one piece."""
_RUNS: Final = (b" " * 1024, b" " * 32)
"""Long runs of spaces go first, so that few passes are left."""


def _one_space(octets: bytes) -> bytes:
    """Each run of spaces as one."""
    if b"  " in octets:
        for run in _RUNS:
            if run in octets:
                octets = octets.replace(run, b" ")
        while b"  " in octets:
            octets = octets.replace(b"  ", b" ")
    return octets


def relaxed_fields(fields: Iterable[bytes]) -> bytes:
    """Section 3.4.2: whole fields with their final CRLFs; the last one may be without."""
    text = b"".join(fields).replace(b"\r\n\t", b" ").replace(b"\r\n ", b" ").replace(b"\t", b" ")
    lines = []
    for line in _one_space(text).split(CRLF):
        name, colon, value = line.partition(b":")
        lines.append(name.rstrip(b" ").lower() + colon + value.strip(b" "))
    return CRLF.join(lines)


def signed_octets(header: Header, names: Iterable[bytes], own: Field, *, relaxed: bool) -> bytes:
    """What the hash of a header is made of: the fields named, then the signature field itself without its
    value and final CRLF (sections 3.7 and 5.4.2)."""
    fields = [field.raw for field in header.chosen(names, own)]
    fields.append(without_signature(own.raw))
    return (relaxed_fields(fields) if relaxed else b"".join(fields)).removesuffix(CRLF)


def body(octets: Octets, start: int, *, relaxed: bool) -> Iterator[bytes]:
    """Sections 3.4.3 and 3.4.4: the canonical body of a mail whose body begins at ``start``, in pieces."""
    carry, empty, anything, end = b"", 0, False, len(octets)
    for at in range(start, max(end, start + 1), PIECE):
        piece = carry + octets[at : at + PIECE]
        carry = b""
        if at + PIECE < end:
            piece, carry = _split(piece, relaxed=relaxed)
        piece = _lines(piece, relaxed=relaxed, last=at + PIECE >= end)
        kept, more = _trailing(piece)
        if kept:
            yield CRLF * empty + kept if empty else kept
            empty, anything = 0, True
        empty += more
    if anything or not relaxed:
        yield CRLF


def _split(piece: bytes, *, relaxed: bool) -> tuple[bytes, bytes]:
    """(what can be worked on, what the next piece may change): a CR, white space before a line end."""
    cut = len(piece) - piece.endswith(b"\r")
    if relaxed:
        blank = len(piece[:cut].rstrip(b" \t"))
        if blank < cut:
            return piece[:blank], b" " + piece[cut:]
    return piece[:cut], piece[cut:]


def _lines(piece: bytes, *, relaxed: bool, last: bool) -> bytes:
    """The lines made canonical, empty ones at the end not yet counted off."""
    if not relaxed:
        return line_ends(piece)
    if _UNRELAXED.search(piece):
        piece = line_ends(piece)
        piece = _one_space(piece.replace(b"\t", b" ")).replace(b" \r\n", CRLF)
    return piece[:-1] if last and piece.endswith(b" ") else piece


def _trailing(piece: bytes) -> tuple[bytes, int]:
    """(the piece without the CRLFs at its end, how many they were)."""
    if piece.endswith(CRLF) and piece[-4:-2] != CRLF:
        return piece[:-2], 1
    text = piece.rstrip(CRLF)
    tail = piece[len(text) :].replace(CRLF, b"\n")
    kept = tail.rstrip(b"\n")
    return text + kept.replace(b"\n", CRLF), len(tail) - len(kept)


class Bodies:
    """The hashes of one mail's body, each made once however many signatures ask for it."""

    __slots__ = ("_made", "_octets", "_start")

    def __init__(self, octets: Octets, start: int) -> None:
        self._octets = octets
        self._start = start
        self._made: dict[tuple[bool, int | None], bytes | None] = {}

    @property
    def size(self) -> int:
        """Octets of the body as it came."""
        return len(self._octets) - self._start

    def sha256(self, *, relaxed: bool, length: int | None = None) -> bytes | None:
        """The hash of the canonical body, of its first ``length`` octets; None where it has fewer."""
        key = (relaxed, length)
        if key not in self._made:
            self._made[key] = self._hash(relaxed=relaxed, length=length)
        return self._made[key]

    def _hash(self, *, relaxed: bool, length: int | None) -> bytes | None:
        if relaxed and length is None and self.size <= PIECE:
            whole = self._octets[self._start :]
            if whole[-2:] == CRLF and whole[-4:] not in _EMPTY and not _UNRELAXED.search(whole):
                return hashlib.sha256(whole).digest()
        made = hashlib.sha256()
        left = length
        for piece in body(self._octets, self._start, relaxed=relaxed):
            if left is None:
                made.update(piece)
            elif left:
                made.update(piece[:left])
                left -= min(left, len(piece))
        return None if left else made.digest()
