"""The message index (the value; the pass that makes it comes with the room's next commit)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MessageIndex:
    """What is precomputed at delivery."""

    envelope: bytes
    bodystructure: bytes
    preview: str
    subject: str
    date: int | None
    has_attachment: bool
    thread_keys: tuple[bytes, ...]

    def pack(self) -> bytes:
        """The storable form of parts and header offsets."""
        return b""
