"""The mail as a script sees it: whole, or as much of it as there is while a client still speaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Field(NamedTuple):
    """One header field. ``octets`` is all of it as it came, with its line end; ``value`` is unfolded."""

    name: bytes
    """In lower case."""
    value: bytes
    octets: bytes


class Mail(Protocol):
    """What a script may ask. The same answers give the same actions."""

    @property
    def size(self) -> int:
        """Octets of the whole mail; before it has come, what the client has declared, or 0."""
        ...

    @property
    def fields(self) -> Sequence[Field]:
        """The header in its order; empty before it has come."""
        ...

    def envelope(self, part: str) -> tuple[bytes, ...]:
        """A part of the envelope (RFC 5228 section 5.4): "from", "to" and what extensions name.

        Empty when it is not known (yet); the null reverse-path is one empty string."""
        ...

    def environment(self, item: str) -> bytes | None:
        """An item about the place and the client (RFC 5183), None for an unknown one."""
        ...
