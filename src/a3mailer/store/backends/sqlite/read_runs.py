"""Contents of one frame that lie one behind the other, opened in one go: what nearly all mail is.

The short way, with as little as possible done for each: what is not right in any respect is left out here,
and is read alone by who says what is wrong (``read_blobs.py``).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from operator import itemgetter
from typing import Final, TypeVar

import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from a3mailer.keys.wrap import KeyMismatch, blob_binding, unwrap
from a3mailer.mail.errors import DamagedContent
from a3mailer.store.backends.sqlite.contents import (
    COMPRESSED,
    ENCRYPTED,
    FRAME,
    ONLY,
    VERSION,
    Compression,
    bound,
)
from a3mailer.store.backends.sqlite.contents import HEADER as LEAD
from a3mailer.store.backends.sqlite.segments import DIGEST, HEADER

T = TypeVar("T")
Found = tuple[T, bytes, bytes, int, int, int, int, int | None]
"""What was asked for, its blob, and the blob's place (``read_blobs.Place``)."""

TOGETHER: Final = 256 * 1024
"""Octets of records that lie one behind the other and are read at once."""
GAP: Final = 4096
"""Octets between two of them that are read for nothing."""
_lie: Final = itemgetter(3, 4)

# a record's header (segments.py) less its magic, and the header of its content (contents.py)
_BEGINNING: Final = struct.Struct("<4xII4xq16s16s8xBBHIQ")
assert _BEGINNING.size == HEADER + LEAD


def runs_of(rows: list[Found[T]]) -> Iterator[tuple[list[Found[T]], int, int]]:
    """Rows as they lie, and from where to where: each content of more than a frame alone, others together."""
    rows.sort(key=_lie)
    run: list[Found[T]] = []
    segment = start = end = 0
    for row in rows:
        _, _, _, beside, offset, length, size, _ = row
        stop = offset + HEADER + length
        if run:
            if (
                beside == segment
                and end <= offset <= end + GAP
                and size <= FRAME
                and stop - start <= TOGETHER
            ):
                run.append(row)
                end = stop
                continue
            yield run, start, end
        segment, start, end = beside, offset, stop
        run = [row]
        if size > FRAME:
            yield run, start, end
            run = []
    if run:
        yield run, start, end


def open_run(
    octets: bytes,
    start: int,
    rows: Sequence[Found[T]],
    bound_to: tuple[int, int],
    cipher: Callable[[int], AESGCM],
    compression: Callable[[int, int], Compression],
    found: MutableMapping[T, bytes | None],
) -> None:
    """Put into ``found`` the contents of ``rows`` whose records are in ``octets``, read from ``start``.

    ``bound_to`` is (tenant, account). The same is proved as of one that is read alone."""
    view = memoryview(octets)
    hasher = blake3()
    tenant, account = bound_to
    for what, blob, wrapped, _, offset, length, size, _ in rows:
        at = offset - start
        begin, end = at + HEADER, at + HEADER + length
        stated, covered, owner, name, digest, version, flags, _, dictionary, octets_of = (
            _BEGINNING.unpack_from(octets, at)
        )
        if stated != length or name != blob or owner != tenant or version != VERSION or octets_of != size:
            continue
        try:
            if wrapped:
                key = unwrap(cipher(account), wrapped, blob_binding(tenant, blob, account))
                sealed = view[begin + LEAD : end]
                said = octets[begin : begin + LEAD]
                content = AESGCM(key).decrypt(ONLY, sealed, bound(said, tenant, blob, 0))
            else:
                hasher.reset()
                hasher.update(view[begin:end])
                if covered != length or hasher.digest(DIGEST) != digest:
                    continue
                content = octets[begin + LEAD : end]
            if flags & COMPRESSED:
                content = compression(tenant, dictionary).expand(content, size)
        except (InvalidTag, KeyMismatch, DamagedContent, zstandard.ZstdError):
            continue
        if len(content) == size and bool(wrapped) == (flags & ENCRYPTED != 0):
            found[what] = content
