"""What worker and writer say to each other: length-prefixed MessagePack arrays over a Unix socket.

worker                          writer
Hello(session, ...)         ->
                            <-  Welcome(last frame of this session, its answer)
Frame(1, ...)               ->
                            <-  Answer(1, ...)
Frame(2, ...)               ->      sent only after what Answer(1) said was done by the worker
Acknowledge(2)              ->      nothing more to send; the answer to 2 was used
Goodbye()                   ->

A frame is executed exactly once: its number and its answer are committed with what it did, and a worker
that lost the connection asks for them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from a3mailer.store.operations import AnyOperation, AnyResult

MAX_MESSAGE: Final = 256 * 1024 * 1024
"""Octets of one message."""
CARRIED_MOST: Final = 16 * 1024
"""Octets up to which a stored content of one frame travels here; the worker writes larger ones itself."""
STALE: Final = "Stale"
"""The error of a Piece whose blob, known to the worker, was gone: it hands the content over itself."""
_LENGTH: Final = struct.Struct("<I")


class Piece(msgspec.Struct, array_like=True):
    """One content of a transaction: where it lies, who may open it, and its index.

    Its place is filled in by whoever writes it."""

    blob: bytes
    segment: int
    """0: the blob exists already and only references are added."""
    offset: int
    length: int
    size: int
    dictionary: int
    """Number of the compression dictionary; 0 for none."""
    hash: bytes
    """Keyed hash of the content; empty where it is not de-duplicated."""
    keys: tuple[tuple[int, bytes], ...]
    """(account, wrapped blob key); the wrapped key is empty where the blob is stored plain."""
    envelope: bytes
    bodystructure: bytes
    parts: bytes
    preview: str
    subject: str
    sent_date: int
    has_attachment: bool
    thread_keys: tuple[bytes, ...]
    lineage: bytes
    own: int = 0
    """Octets of its own record, where it has extents."""
    extents: tuple[tuple[int, int], ...] = ()
    """(offset in the content, number of the piece) of each part that is a content of its own (ADR 0016)."""


class Carried(msgspec.Struct, frozen=True, array_like=True):
    """A small content on its way to the writer, which writes those of all workers at once (ADR 0004)."""

    piece: int
    """Number of the piece it belongs to."""
    digest: bytes
    """Of the whole payload, as its record will carry it."""
    payload: bytes


class Work(msgspec.Struct, frozen=True, array_like=True):
    """One transaction."""

    tenant: int
    operations: tuple[AnyOperation, ...]
    pieces: tuple[Piece, ...]
    fingerprint: bytes
    carried: tuple[Carried, ...] = ()


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What became of one transaction: its results, or the name of its ``mail.errors`` class."""

    results: tuple[AnyResult, ...]
    error: str = ""
    text: str = ""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A worker session begins, or is back. ``frame`` is the last one whose answer was used."""

    session: int
    """Random, 63 bits."""
    process: str
    """Boot, process id and start time: whether the session can still be alive."""
    frame: int
    abandoned: int = 0
    """A frame whose callers were told ``Uncertain``: what it did, if it did, is for retries to find."""


class Frame(msgspec.Struct, frozen=True, array_like=True, tag=True):
    number: int
    works: tuple[msgspec.Raw, ...]
    """Encoded each by itself: one that cannot be decoded fails alone."""


class Acknowledge(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The answer to this frame was used."""

    frame: int


class Goodbye(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Everything was used: leave no receipts."""


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag=True):
    frame: int
    answer: bytes
    commits: int


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=True):
    frame: int
    outcomes: tuple[Outcome, ...]
    commits: int


FromWorker = Hello | Frame | Acknowledge | Goodbye
FromWriter = Welcome | Answer

encode: Final = msgspec.msgpack.Encoder().encode
NOTHING: Final = encode(Outcome(()))
"""It was done before; with which results is not known any more."""
decode_from_worker: Final = msgspec.msgpack.Decoder(FromWorker).decode
decode_from_writer: Final = msgspec.msgpack.Decoder(FromWriter).decode
decode_work: Final = msgspec.msgpack.Decoder(Work).decode
decode_outcomes: Final = msgspec.msgpack.Decoder(tuple[Outcome, ...]).decode
decode_outcome: Final = msgspec.msgpack.Decoder(Outcome).decode
decode_fingerprints: Final = msgspec.msgpack.Decoder(tuple[bytes, ...]).decode


def framed(message: FromWorker | FromWriter) -> bytes:
    """A message with its length before it."""
    octets = encode(message)
    return _LENGTH.pack(len(octets)) + octets


class TooLong(Exception):
    """The other side announced more than MAX_MESSAGE octets: it is not speaking this protocol."""


class Reassembly:
    """Cuts a stream into messages."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, octets: bytes) -> Iterator[bytes]:
        """The messages that are complete now. Errors: TooLong."""
        buffer = self._buffer
        buffer += octets
        at = 0
        while len(buffer) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, at)
            if length > MAX_MESSAGE:
                raise TooLong(f"{length} octets")
            start = at + _LENGTH.size
            if len(buffer) - start < length:
                break
            at = start + length
            yield bytes(buffer[start:at])
        del buffer[:at]
