"""A mail for scripts, made of its octets and of what the envelope and the place are known to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Protocol

from a3mailer.mail.message import index
from a3mailer.mail.message.headers import fields, header_end, unfold
from a3mailer.mail.message.octets import Octets
from a3mailer.mail.message.parts import Part
from a3mailer.wire.sieve.door import UNTESTED, Field, Verdict


class HasMailbox(Protocol):
    """``Mail.has_mailbox`` of one account."""

    def __call__(self, by: str, value: str, of: str = "") -> bool: ...


class MailView:
    """One mail; before DATA without octets. ``envelope`` by part ("from", "to"), ``environment`` by item.

    ``parts`` may be given by who knows them already; ``mailboxes``, ``memory`` and ``scripts``
    answer for an account, and so do ``lists`` and ``annotations``."""

    def __init__(
        self,
        octets: Octets = b"",
        envelope: Mapping[str, tuple[bytes, ...]] | None = None,
        environment: Mapping[str, bytes] | None = None,
        size: int | None = None,
        *,
        now: tuple[int, int] | None = None,
        parts: Sequence[Part] | None = None,
        mailboxes: HasMailbox | None = None,
        memory: Callable[[bytes, bytes], bool] | None = None,
        scripts: Callable[[str, str], object | None] | None = None,
        lists: Callable[[str], Mapping[bytes, bytes] | None] | None = None,
        annotations: Callable[[str | None, str], bytes | None] | None = None,
        verdict: Verdict = UNTESTED,
        flags: tuple[str, ...] | None = None,
    ) -> None:
        self.octets = octets
        self.size = len(octets) if size is None else size
        self.now = now
        self._envelope = envelope or {}
        self._environment = environment or {}
        self._parts = parts
        self._mailboxes = mailboxes
        self._memory = memory
        self._scripts = scripts
        self._lists = lists
        self._annotations = annotations
        self.verdict = verdict
        self.flags = flags

    @cached_property
    def fields(self) -> Sequence[Field]:
        """The header."""
        return read_fields(self.octets[: header_end(self.octets, 0, len(self.octets))])

    @cached_property
    def parts(self) -> Sequence[Part]:
        """The parts, the message itself first."""
        if self._parts is None:
            return index(self.octets).parts if len(self.octets) else ()
        return self._parts

    def has_mailbox(self, by: str, value: str, of: str = "") -> bool:
        """Is there such a mailbox? Without an account there is none."""
        return self._mailboxes is not None and self._mailboxes(by, value, of)

    def annotation(self, mailbox: str | None, entry: str) -> bytes | None:
        """An annotation. Without an account there is none."""
        return None if self._annotations is None else self._annotations(mailbox, entry)

    def remembers(self, handle: bytes, value: bytes) -> bool:
        """Was it seen before? Without an account nothing was."""
        return self._memory is not None and self._memory(handle, value)

    def script(self, location: str, name: str) -> object | None:
        """A script to include. Errors: ScriptError."""
        return None if self._scripts is None else self._scripts(location, name)

    def members(self, name: str) -> Mapping[bytes, bytes] | None:
        """An external list. Without an account there is none."""
        return None if self._lists is None else self._lists(name)

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
