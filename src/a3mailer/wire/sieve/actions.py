"""What a script wants done, as values. Nothing of it has happened; whoever runs a script acts on them.

Texts are decoded from UTF-8; mailbox names are as the script has them, not yet in any protocol's form.
``header``: all header fields as the script has changed them, None where it has not (RFC 5293).
``flags``: None where the script has said nothing of flags (RFC 5232).
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import msgspec

from a3mailer.mail.address import Address


class Action(msgspec.Struct, frozen=True):
    """One of them. ``word`` is its name in the results of ``a3mailer sieve run``."""

    word: ClassVar[str]
    cancels: ClassVar[bool] = True
    """Is there no implicit keep after it (RFC 5228 section 2.10.2)?"""
    delivers: ClassVar[bool] = False
    """Does somebody get the mail, so that it cannot be refused as well?"""


class Keep(Action, frozen=True):
    """Into the inbox (RFC 5228 section 4.3). ``implicit``: no command asked for it."""

    word: ClassVar[str] = "keep"
    delivers: ClassVar[bool] = True

    implicit: bool = False
    flags: tuple[str, ...] | None = None
    header: bytes | None = None


class FileInto(Action, frozen=True):
    """Into a mailbox (RFC 5228 section 4.1)."""

    word: ClassVar[str] = "store"
    delivers: ClassVar[bool] = True

    mailbox: str
    copy: bool = False
    """The implicit keep is not cancelled by it (RFC 3894)."""
    create: bool = False
    """Make it if there is none (RFC 5490)."""
    special_use: str = ""
    """Rather the mailbox of this use, if there is one (RFC 8579)."""
    mailbox_id: str = ""
    """Rather the mailbox with this id (RFC 9042)."""
    flags: tuple[str, ...] | None = None
    header: bytes | None = None


class Redirect(Action, frozen=True):
    """To another address (RFC 5228 section 4.2)."""

    word: ClassVar[str] = "redirect"
    delivers: ClassVar[bool] = True

    address: Address
    copy: bool = False
    header: bytes | None = None


class Discard(Action, frozen=True):
    """Thrown away in silence (RFC 5228 section 4.4)."""

    word: ClassVar[str] = "discard"


class Reject(Action, frozen=True):
    """Refused with a text (RFC 5429). ``extended``: by ereject, so never by a mail of our own."""

    word: ClassVar[str] = "reject"

    text: str
    extended: bool = False


class Said(NamedTuple):
    """A remark of the run for the log, with its line: no effect on the mail."""

    text: str
    line: int


class Step(NamedTuple):
    """One step of a trace: a test with its result, or a command, which has none."""

    line: int
    column: int
    word: str
    result: bool | None
    text: str


class Failure(NamedTuple):
    """A run-time error: where, and what to tell the owner of the script."""

    text: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.text}"
