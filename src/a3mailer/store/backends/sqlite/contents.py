"""Contents at rest: compressed and encrypted in independent 64 KiB frames, so a part is read alone.

payload = header (16): version (1) flags (1) reserved (2) dictionary (4) size (8)
          table, when there is more than one frame: stored length (4) and digest (8) a frame
          frames

Each frame is compressed (zstd, flag COMPRESSED), then encrypted (AES-256-GCM, flag ENCRYPTED) with a key
of its own blob; the nonce is the frame's number and whether it is the last (the STREAM construction of
Hoang, Reyhanitabar, Rogaway and Vizar, 2015), the additional data are header, tenant, blob and number.
The digests of the table prove plain frames one by one, and all frames to who has no key.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from a3mailer.mail.errors import DamagedContent
from a3mailer.store.backends.sqlite.direct import Buffer
from a3mailer.store.backends.sqlite.segments import ENTRY, LEAD, Record, digest_of, entry_digest

FRAME: Final = 64 * 1024
VERSION: Final = 1
COMPRESSED: Final = 1
ENCRYPTED: Final = 2
LEVEL: Final = 1
"""zstd level: 10 us a small mail; level 3 gains 6 % for 25 % more time, level 9 costs seven times as much."""
WORTHWHILE: Final = 0.97
"""A blob whose first frame does not shrink below this is stored as it came."""

_HEADER: Final = struct.Struct("<BBHIQ")
HEADER: Final = LEAD
assert _HEADER.size == LEAD
bound: Final = struct.Struct("<16sq16sI").pack
"""What a frame is sealed for: header, tenant, blob, number."""
_NONCE: Final = struct.Struct(">7sIB")

ONLY: Final = _NONCE.pack(b"", 0, True)
"""The nonce of a content's only frame."""

Compress = Callable[[Buffer], bytes]


@dataclass(frozen=True, slots=True)
class Compression:
    """How the contents of one tenant are compressed and expanded; one thread."""

    number: int
    compress: Compress
    expand: Callable[[Buffer, int], bytes]


def make_compression(number: int = 0, dictionary: bytes = b"") -> Compression:
    """``number`` 0 is no dictionary."""
    words = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
    if words is not None:
        words.precompute_compress(level=LEVEL)
    compressor = zstandard.ZstdCompressor(level=LEVEL, dict_data=words, write_content_size=False)
    expander = zstandard.ZstdDecompressor(dict_data=words)

    def expand(frame: Buffer, size: int) -> bytes:
        return expander.decompress(frame, max_output_size=size)

    return Compression(number, compressor.compress, expand)


def seal(
    octets: bytes | mmap.mmap | memoryview,
    tenant: int,
    blob: bytes,
    key: bytes | None,
    compression: Compression | None,
    digests: Sequence[bytes] = (),
) -> Record:
    """A content as a record; ``key`` None stores it unencrypted, ``compression`` None uncompressed.

    ``digests`` are those of ``frame_digests``, where they were made already."""
    size = len(octets)
    view = memoryview(octets)
    frames: list[Buffer] = (
        [view] if size <= FRAME else [view[at : at + FRAME] for at in range(0, size, FRAME)]
    )
    flags = 0 if key is None else ENCRYPTED
    number = 0
    if compression is not None and size:
        first = compression.compress(frames[0])
        if len(first) < len(frames[0]) * WORTHWHILE:
            flags |= COMPRESSED
            number = compression.number
            frames = [first, *map(compression.compress, frames[1:])]
    header = _HEADER.pack(VERSION, flags, 0, number, size)
    if key is not None:
        frames = _encrypt(frames, AESGCM(key), header, tenant, blob)
    if len(frames) < 2:
        payload = b"".join((header, *frames))
        return Record(tenant, blob, (payload,), len(payload), len(payload), digest_of((payload,)))
    proofs = digests if digests and not flags else map(entry_digest, frames)
    table = b"".join([ENTRY.pack(len(frame), proof) for frame, proof in zip(frames, proofs, strict=True)])
    covered = HEADER + len(table)
    length = covered + sum(map(len, frames))
    return Record(tenant, blob, (header, table, *frames), length, covered, digest_of((header, table)))


def frame_digests(octets: memoryview) -> list[bytes]:
    """A digest of each frame as it comes; in a table only its beginning is kept (``ENTRY``)."""
    return [blake3(octets[at : at + FRAME]).digest() for at in range(0, len(octets), FRAME)]


def _encrypt(
    frames: Sequence[Buffer], cipher: AESGCM, header: bytes, tenant: int, blob: bytes
) -> list[Buffer]:
    last = len(frames) - 1
    return [
        cipher.encrypt(_NONCE.pack(b"", number, number == last), frame, bound(header, tenant, blob, number))
        for number, frame in enumerate(frames)
    ]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the frames of one payload lie."""

    header: bytes
    flags: int
    dictionary: int
    size: int
    starts: tuple[int, ...]
    """Offset of each frame in the payload, and the end of the last."""
    digests: tuple[bytes, ...]
    """Of frames, where there are several."""


def table_size(header: Buffer) -> int:
    """Octets of the table behind this header. Errors: DamagedContent."""
    size = _unpack(header)[4]
    frames = -(-size // FRAME)
    return 0 if frames < 2 else frames * ENTRY.size


def _unpack(header: Buffer) -> tuple[int, int, int, int, int]:
    if len(header) < HEADER or header[0] != VERSION:
        raise DamagedContent("a content header of an unknown version")
    version, flags, reserved, dictionary, size = _HEADER.unpack_from(header)
    return version, flags, reserved, dictionary, size


def layout(head: Buffer, length: int) -> Layout:
    """The layout from a payload's beginning (header and table) and its length. Errors: DamagedContent."""
    _, flags, _, dictionary, size = _unpack(head)
    table = table_size(head)
    if len(head) < HEADER + table:
        raise DamagedContent("a content shorter than its table")
    first = HEADER + table
    digests: list[bytes] = []
    starts = [first]
    if table == 0:
        starts.append(length)
    else:
        for stored, digest in ENTRY.iter_unpack(head[HEADER:first]):
            starts.append(starts[-1] + stored)
            digests.append(digest)
    if starts[-1] != length:
        raise DamagedContent("a content whose table does not fit its length")
    return Layout(bytes(head[:HEADER]), flags, dictionary, size, tuple(starts), tuple(digests))


def open_single(
    octets: Buffer,
    start: int,
    tenant: int,
    blob: bytes,
    key: bytes | None,
    compression: Callable[[int, int], Compression],
) -> bytes:
    """A content of one frame whose payload begins at ``start`` and ends with ``octets``: the short way.

    Errors: DamagedContent."""
    version, flags, _, dictionary, size = _HEADER.unpack_from(octets, start)
    if version != VERSION or size > FRAME or (flags & ENCRYPTED != 0) != (key is not None):
        raise DamagedContent("a content header that cannot be")
    frame: Buffer = memoryview(octets)[start + HEADER :]
    if key is not None:
        sealed_for = bound(bytes(octets[start : start + HEADER]), tenant, blob, 0)
        try:
            frame = AESGCM(key).decrypt(ONLY, frame, sealed_for)
        except InvalidTag:
            raise DamagedContent("frame 0: authentication tag") from None
    if flags & COMPRESSED:
        try:
            frame = compression(tenant, dictionary).expand(frame, size)
        except zstandard.ZstdError as error:
            raise DamagedContent(f"expanding: {error}") from None
    if len(frame) != size:
        raise DamagedContent("frame 0: length")
    return bytes(frame)


def dictionary_of(record: Record) -> int:
    """The number of the dictionary a content was compressed with; 0 for none."""
    return _unpack(record.payload[0])[3]


class Opener:
    """Opens the frames of one blob."""

    __slots__ = ("_blob", "_cipher", "_compression", "_layout", "_tenant")

    def __init__(
        self, plan: Layout, tenant: int, blob: bytes, key: bytes | None, compression: Compression | None
    ) -> None:
        self._layout = plan
        self._tenant = tenant
        self._blob = blob
        self._compression = compression
        if plan.flags & ENCRYPTED:
            if key is None:
                raise DamagedContent("an encrypted content without a key")
            self._cipher: AESGCM | None = AESGCM(key)
        else:
            self._cipher = None

    def whole(self, payload: memoryview) -> bytes:
        """All octets of a payload. Errors: DamagedContent."""
        plan = self._layout
        if not plan.flags:
            return bytes(payload[plan.starts[0] :])
        if len(plan.starts) == 2:
            return self.frame(0, payload[HEADER:])
        starts = plan.starts
        return b"".join([self.frame(n, payload[starts[n] : starts[n + 1]]) for n in range(len(starts) - 1)])

    def frame(self, number: int, stored: Buffer) -> bytes:
        """One frame's octets. Errors: DamagedContent."""
        plan = self._layout
        if self._cipher is not None:
            last = number == len(plan.starts) - 2
            try:
                stored = self._cipher.decrypt(
                    _NONCE.pack(b"", number, last),
                    stored,
                    bound(plan.header, self._tenant, self._blob, number),
                )
            except InvalidTag:
                raise DamagedContent(f"frame {number}: authentication tag") from None
        elif plan.digests and entry_digest(stored) != plan.digests[number]:
            raise DamagedContent(f"frame {number}: checksum")
        size = min(FRAME, plan.size - number * FRAME)
        if plan.flags & COMPRESSED:
            stored = self._expand(stored, size)
        if len(stored) != size:
            raise DamagedContent(f"frame {number}: length")
        return bytes(stored)

    def _expand(self, frame: Buffer, size: int) -> bytes:
        if self._compression is None or self._compression.number != self._layout.dictionary:
            raise DamagedContent(f"compression dictionary {self._layout.dictionary} is gone")
        try:
            return self._compression.expand(frame, size)
        except zstandard.ZstdError as error:
            raise DamagedContent(f"expanding: {error}") from None
