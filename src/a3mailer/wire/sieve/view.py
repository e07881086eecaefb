"""A mail for scripts, made of its octets and of what the envelope and the place are known to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from a3mailer.mail.message.headers import fields, header_end, unfold
from a3mailer.mail.message.octets import Octets
from a3mailer.wire.sieve.door import Field


class MailView:
    """One mail; before DATA without octets. ``envelope`` by part ("from", "to"), ``environment`` by item."""

    def __init__(
        self,
        octets: Octets = b"",
        envelope: Mapping[str, tuple[bytes, ...]] | None = None,
        environment: Mapping[str, bytes] | None = None,
        size: int | None = None,
    ) -> None:
        self._octets = octets
        self._envelope = envelope or {}
        self._environment = environment or {}
        self._size = len(octets) if size is None else size

    @property
    def size(self) -> int:
        """Octets of the mail."""
        return self._size

    @cached_property
    def fields(self) -> Sequence[Field]:
        """The header."""
        octets = self._octets
        end = header_end(octets, 0, len(octets))
        return read_fields(octets[:end])

    def envelope(self, part: str) -> tuple[bytes, ...]:
        """A part of the envelope."""
        return self._envelope.get(part, ())

    def environment(self, item: str) -> bytes | None:
        """An item of the environment."""
        return self._environment.get(item)


def read_fields(header: Octets) -> Sequence[Field]:
    """The fields of a header with or without the empty line behind it."""
    out = []
    start = 0
    for name, colon, end in fields(header, 0, len(header)):
        stop = end + 2 if header[end : end + 2] == b"\r\n" else min(end + 1, len(header))
        out.append(Field(name, unfold(header[colon:end]), header[start:stop]))
        start = stop
    return tuple(out)
