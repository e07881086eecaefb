"""The file of a backup: a stream of chunks, sealed to the recovery key, provable as a whole without it.

file    = head chunk* trailer
head    = magic (8) version (1) sealed (1) length of box (2), box
box     = the key of the chunks, sealed to the recovery key (``keys.recovery``); empty when not sealed
chunk   = length (4, its highest bit set in the last one), octets
trailer = BLAKE3 of everything before it (32)

A chunk's octets are a flag (0 as it is, 1 zstd) and data, encrypted with AES-256-GCM; the nonce is the
chunk's number and whether it is the last (the STREAM construction of Hoang, Reyhanitabar, Rogaway and
Vizar, 2015), the additional data is the head. Where nothing is sealed, only the trailer tells whether the
file is whole.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from a3mailer.keys.recovery import BadRecoveryKey, open_sealed, seal

MAGIC: Final = b"A3BACK\r\n"
VERSION: Final = 1
CHUNK: Final = 256 * 1024
"""Octets of data in one chunk."""
KEY_SIZE: Final = 32
TRAILER: Final = 32
LEVEL: Final = 1
_HEAD: Final = struct.Struct("<8sBBH")
_LENGTH: Final = struct.Struct("<I")
_NONCE: Final = struct.Struct(">7sIB")
_LAST: Final = 1 << 31
MAX_CHUNK: Final = CHUNK + 1024
_PLAIN, _ZSTD = b"\0", b"\1"


class BadBackup(Exception):
    """The file is no backup, was cut or changed, or does not open; the text says which."""


class SealedWriter:
    """Writes a backup's octets to a stream. ``recovery`` is the public recovery key, None seals nothing."""

    def __init__(self, stream: BinaryIO, recovery: bytes | None) -> None:
        key = os.urandom(KEY_SIZE) if recovery else b""
        box = seal(recovery, key) if recovery else b""
        self._stream = stream
        self._cipher = AESGCM(key) if key else None
        self._hash = blake3()
        self._number = 0
        self._buffer = bytearray()
        self._compress = zstandard.ZstdCompressor(level=LEVEL).compress
        self._head = _HEAD.pack(MAGIC, VERSION, bool(recovery), len(box)) + box
        self._put(self._head)

    def _put(self, octets: bytes) -> None:
        self._hash.update(octets)
        self._stream.write(octets)

    def write(self, octets: bytes) -> None:
        """Errors: OSError."""
        self._buffer += octets
        while len(self._buffer) > CHUNK:
            self._chunk(bytes(self._buffer[:CHUNK]), last=False)
            del self._buffer[:CHUNK]

    def _chunk(self, data: bytes, last: bool) -> None:
        packed = self._compress(data)
        octets = _ZSTD + packed if len(packed) < len(data) else _PLAIN + data
        if self._cipher is not None:
            octets = self._cipher.encrypt(_NONCE.pack(b"", self._number, last), octets, self._head)
        self._number += 1
        self._put(_LENGTH.pack(len(octets) | (_LAST if last else 0)) + octets)

    def finish(self) -> None:
        """The last chunk and the trailer. Errors: OSError."""
        self._chunk(bytes(self._buffer), last=True)
        self._stream.write(self._hash.digest(TRAILER))
        self._stream.flush()


class SealedReader:
    """Reads a backup's octets again. ``secret`` is the recovery key's secret half."""

    def __init__(self, stream: BinaryIO, secret: bytes | None) -> None:
        """Errors: BadBackup, also when it is sealed and there is no secret, or another's."""
        self._stream = stream
        self._hash = blake3()
        head = self._exactly(_HEAD.size)
        magic, version, sealed, length = _HEAD.unpack(head)
        if magic != MAGIC:
            raise BadBackup("this is no backup")
        if version != VERSION:
            raise BadBackup(f"a backup of version {version}: this program knows version {VERSION}")
        box = self._exactly(length)
        self._head = head + box
        self._cipher = AESGCM(self._key(box, secret)) if sealed else None
        self._expand = zstandard.ZstdDecompressor().decompress

    @staticmethod
    def _key(box: bytes, secret: bytes | None) -> bytes:
        if secret is None:
            raise BadBackup("the backup is sealed: its recovery key is needed")
        try:
            return open_sealed(secret, box)
        except BadRecoveryKey as error:
            raise BadBackup(str(error)) from None

    def _exactly(self, size: int) -> bytes:
        octets = self._stream.read(size)
        if len(octets) != size:
            raise BadBackup("the backup is cut short")
        self._hash.update(octets)
        return octets

    def chunks(self) -> Iterator[bytes]:
        """All data. Errors: BadBackup where it was changed or cut."""
        number, last = 0, False
        while not last:
            (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
            last = bool(length & _LAST)
            length &= _LAST - 1
            if not 0 < length <= MAX_CHUNK:
                raise BadBackup(f"chunk {number} has an impossible length")
            yield self._data(number, last, self._exactly(length))
            number += 1
        wanted = self._hash.digest(TRAILER)
        if self._stream.read(TRAILER + 1) != wanted:
            raise BadBackup("the backup was changed or cut: its checksum does not match")

    def _data(self, number: int, last: bool, octets: bytes) -> bytes:
        if self._cipher is not None:
            try:
                octets = self._cipher.decrypt(_NONCE.pack(b"", number, last), octets, self._head)
            except InvalidTag:
                raise BadBackup(f"chunk {number} was changed") from None
        if octets[:1] == _PLAIN:
            return octets[1:]
        try:
            return self._expand(octets[1:], max_output_size=CHUNK)
        except zstandard.ZstdError:
            raise BadBackup(f"chunk {number} was changed") from None


def is_sealed(stream: BinaryIO) -> bool:
    """Whether a backup needs its recovery key. Errors: BadBackup for no backup."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size or head[: len(MAGIC)] != MAGIC:
        raise BadBackup("this is no backup")
    return bool(_HEAD.unpack(head)[2])


def is_whole(stream: BinaryIO) -> bool:
    """Whether a backup is what was written, by its trailer: needs no key. Errors: BadBackup for no backup."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size or head[: len(MAGIC)] != MAGIC:
        raise BadBackup("this is no backup")
    digest, kept = blake3(head), b""
    while octets := stream.read(CHUNK):
        kept += octets
        digest.update(kept[:-TRAILER])
        kept = kept[-TRAILER:]
    return kept == digest.digest(TRAILER)
