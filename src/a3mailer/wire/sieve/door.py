"""The mail as a script sees it: whole, or as much of it as there is while a client still speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol
from urllib.parse import unquote

from a3mailer.mail.message.octets import Octets
from a3mailer.mail.message.parts import Part


class Field(NamedTuple):
    """One header field. ``octets`` is all of it as it came, with its line end; ``value`` is unfolded."""

    name: bytes
    """In lower case."""
    value: bytes
    octets: bytes


LISTS: Final = "urn:ietf:params:sieve:"
"""What the colon stands for that the name of an external list may begin with (RFC 6134 section 2.6)."""


ADDRESS_BOOK: Final = LISTS + "addrbook:"
DEFAULT_LIST: Final = ADDRESS_BOOK + "default"
"""The address book that every account has, be there nobody in it (section 2.5)."""


def whole_name(name: str) -> str:
    """The one spelling of the name of an external list: the long form, unquoted (RFC 6134 section 2.5)."""
    whole = LISTS + name[1:] if name.startswith(":") else name
    if whole[: len(ADDRESS_BOOK)].lower() != ADDRESS_BOOK:
        return whole
    book = unquote(whole[len(ADDRESS_BOOK) :])
    return DEFAULT_LIST if book.lower() == "default" else ADDRESS_BOOK + book


class Verdict(NamedTuple):
    """What was found of a mail; nothing where nobody has looked at it."""

    kind: str = "untested"
    spam: int | None = None
    """0 (clear) to 100 (surely)."""
    findings: tuple[str, ...] = ()
    """Sentences for people."""
    virus: int | None = None
    """1 (none) to 5 (surely), as RFC 5235 section 3.3 has it."""


UNTESTED: Final = Verdict()


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

    @property
    def octets(self) -> Octets:
        """The whole mail; empty before it has come."""
        ...

    @property
    def parts(self) -> Sequence[Part]:
        """Its parts, the message itself first; empty before it has come."""
        ...

    @property
    def flags(self) -> tuple[str, ...] | None:
        """Those of a mail that lies in a mailbox already (RFC 6785 section 3.8); None of one that comes."""
        ...

    @property
    def now(self) -> tuple[int, int] | None:
        """Seconds since the epoch, and by how many minutes the clocks of this place are east of UTC."""
        ...

    def has_mailbox(self, by: str, value: str, of: str = "") -> bool:
        """Is there a mailbox that mail can be put into, by its "name", "special-use" or "id"?

        With ``of`` only the mailbox of this name is looked at."""
        ...

    def annotation(self, mailbox: str | None, entry: str) -> bytes | None:
        """The value of an entry (RFC 5464) of a mailbox, or, where none is named, of the server.

        None where there is none, or none that the account may read."""
        ...

    def remembers(self, handle: bytes, value: bytes) -> bool:
        """Did an earlier run, not this one, want a value remembered that is not yet forgotten (RFC 7352)?"""
        ...

    def script(self, location: str, name: str) -> object | None:
        """The ``compile.Program`` of a "personal" or "global" script, None where there is none (RFC 6609).

        Errors: ScriptError."""
        ...

    def envelope(self, part: str) -> tuple[bytes, ...]:
        """A part of the envelope (RFC 5228 section 5.4): "from", "to" and what extensions name.

        Empty when it is not known (yet); the null reverse-path is one empty string."""
        ...

    @property
    def verdict(self) -> Verdict:
        """What was found of the mail."""
        ...

    def members(self, name: str) -> Mapping[bytes, bytes] | None:
        """The members of an external list (RFC 6134) by their names in lower case; None: no such list."""
        ...

    def environment(self, item: str) -> bytes | None:
        """An item about the place and the client (RFC 5183), None for an unknown one."""
        ...
