"""The parts of a message in a few octets, so that FETCH BODY[1.2.MIME] needs no second parse.

Layout, little endian: version, flags, number of parts, header end, size, names of the limits met; then each
part: parent, start, body, end, lines, five lengths, and the five strings. Numbers and depths follow from the
parents. About 50 octets a part.
"""

import struct
from typing import Final, NamedTuple

from a3mailer.mail.message import limits
from a3mailer.mail.message.parts import MESSAGES, Part

_VERSION: Final = 1
_HEAD: Final = struct.Struct("<BBHQQB")
_SMALL: Final = struct.Struct("<hIIIIBBBBH")
_LARGE: Final = struct.Struct("<hQQQQBBBBH")
_HAS_ATTACHMENT: Final = 1
_EMPTY: Final = 1
"""Where the bits of the address fields without an address begin in the flags."""
_SMALL_SIZE: Final = 1 << 32
_MULTIPART: Final = b"multipart/"


class Unpacked(NamedTuple):
    """What a packed index holds."""

    parts: tuple[Part, ...]
    header_end: int
    size: int
    has_attachment: bool
    truncated: tuple[str, ...]
    empty_fields: int = 0
    """Bits for From, To, Cc and Bcc, the first the lowest: the field is there and holds no address."""


def pack(unpacked: Unpacked) -> bytes:
    """Return the octets; strings were cut by the limits of the index when it was made."""
    parts, header_end, size, has_attachment, truncated, empty_fields = unpacked
    names = " ".join(truncated).encode() if truncated else b""
    flags = (_HAS_ATTACHMENT if has_attachment else 0) | empty_fields << _EMPTY
    out = [_HEAD.pack(_VERSION, flags, len(parts), header_end, size, len(names)), names]
    pack_row = (_SMALL if size < _SMALL_SIZE else _LARGE).pack
    for _, start, body, end, lines, media, encoding, charset, _, parent, disposition, filename in parts:
        name = filename.encode()
        strings = (media, encoding, charset, disposition, name)
        out.append(pack_row(parent, start, body, end, lines, *map(len, strings)))
        out += strings
    return b"".join(out)


def header_end_of(octets: bytes) -> int:
    """Return where the body of a packed mail begins, its parts unread. Raises ValueError as `unpack` does."""
    try:
        version, _, _, header_end, _, _ = _HEAD.unpack_from(octets)
    except struct.error as error:
        raise ValueError("not a packed message index") from error
    if version != _VERSION:
        raise ValueError("a packed message index of another version")
    return int(header_end)


def empty_fields_of(octets: bytes) -> int:
    """Return the bits of the address fields of a packed mail that hold no address, its parts unread."""
    return octets[1] >> _EMPTY if len(octets) > 1 else 0


def as_older(octets: bytes) -> bytes:
    """Return what `pack` made before it noted address fields without an address."""
    return octets[:1] + bytes((octets[1] & _HAS_ATTACHMENT,)) + octets[2:]


def unpack(octets: bytes) -> Unpacked:
    """Return what `pack` was given. Raises ValueError for octets that `pack` did not make."""
    try:
        return _unpack(octets)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError("not a packed message index") from error


def _unpack(octets: bytes) -> Unpacked:
    version, flags, total, header_end, size, length = _HEAD.unpack_from(octets)
    if version != _VERSION or total > limits.PARTS:
        raise ValueError("a packed message index of another version")
    at = _HEAD.size + length
    truncated = tuple(octets[_HEAD.size : at].decode().split()) if length else ()
    row = _SMALL if size < _SMALL_SIZE else _LARGE
    unpack_row, row_size = row.unpack_from, row.size
    parts: list[Part] = []
    children = [0] * total
    depth = 0
    number: tuple[int, ...] = ()
    for own in range(total):
        parent, start, body, end, lines, media_size, encoding_size, charset_size, word_size, name_size = (
            unpack_row(octets, at)
        )
        if not (-1 <= parent < own and start <= body <= end <= size) or (parent < 0) is not (own == 0):
            raise ValueError("a packed message index whose parts do not nest")
        at += row_size
        media = octets[at : (at := at + media_size)]
        encoding = octets[at : (at := at + encoding_size)]
        charset = octets[at : (at := at + charset_size)]
        disposition = octets[at : (at := at + word_size)]
        name = octets[at : (at := at + name_size)].decode()
        if own:
            children[parent] += 1
            depth = parts[parent].depth + 1
            number = number_of(parts[parent], media, children[parent])
        parts.append(
            Part(number, start, body, end, lines, media, encoding, charset, depth, parent, disposition, name)
        )
    if at != len(octets):
        raise ValueError("a packed message index of another length")
    return Unpacked(tuple(parts), header_end, size, bool(flags & _HAS_ATTACHMENT), truncated, flags >> _EMPTY)


def number_of(parent: Part, media: bytes, ordinal: int) -> tuple[int, ...]:
    """Return the IMAP part specifier of a child (RFC 9051 section 6.4.5), see `parts.Part.number`."""
    if parent.media not in MESSAGES:
        return (*parent.number, ordinal)
    prefix = parent.number or (1,)
    return prefix if media.startswith(_MULTIPART) else (*prefix, 1)
