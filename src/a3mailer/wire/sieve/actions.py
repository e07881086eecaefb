"""What a script wants done, as values. Nothing of it has happened; whoever runs a script acts on them.

Texts are decoded from UTF-8; mailbox names are as the script has them, not yet in any protocol's form.
``header``: all header fields as the script has changed them, None where it has not (RFC 5293).
``octets``: the whole mail, where more of it than the header has been changed (RFC 5703).
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
    """Does somebody get the mail, or an answer to it, so that it cannot be refused as well?"""
    once: ClassVar[bool] = False
    """Is a second one in a script an error?"""


class Keep(Action, frozen=True):
    """Into the inbox (RFC 5228 section 4.3). ``implicit``: no command asked for it."""

    word: ClassVar[str] = "keep"
    delivers: ClassVar[bool] = True

    implicit: bool = False
    flags: tuple[str, ...] | None = None
    header: bytes | None = None
    octets: bytes | None = None


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
    octets: bytes | None = None


class Redirect(Action, frozen=True):
    """To another address (RFC 5228 section 4.2)."""

    word: ClassVar[str] = "redirect"
    delivers: ClassVar[bool] = True

    address: Address
    copy: bool = False
    header: bytes | None = None
    notify: tuple[str, ...] | None = None
    """NOTIFY of the redirected mail (RFC 6009); None: what the mail came with."""
    ret: str = ""
    """FULL or HDRS; empty: likewise."""
    by: int = 0
    """When it should be there, seconds since the epoch; 0: no other time than the mail came with."""
    by_mode: str = ""
    """N (notify) or R (return), with T behind it to be told of each hand-over."""
    octets: bytes | None = None


class Discard(Action, frozen=True):
    """Thrown away in silence (RFC 5228 section 4.4)."""

    word: ClassVar[str] = "discard"


class Reject(Action, frozen=True):
    """Refused with a text (RFC 5429). ``extended``: by ereject, so never by a mail of our own."""

    word: ClassVar[str] = "reject"
    once: ClassVar[bool] = True

    text: str
    extended: bool = False


class Vacation(Action, frozen=True):
    """An answer that says that nobody reads the mail now (RFC 5230). Who may be answered is not looked at.

    ``sender`` and ``subject`` are empty where the script has none."""

    word: ClassVar[str] = "vacation"
    cancels: ClassVar[bool] = False
    delivers: ClassVar[bool] = True
    once: ClassVar[bool] = True

    reason: str
    seconds: int
    """How long the same sender is not answered again; 0: each mail is answered (RFC 6131)."""
    handle: bytes
    """What is the same answer: the script's word for it, or a digest of what it is made of."""
    subject: str = ""
    sender: str = ""
    addresses: tuple[str, ...] = ()
    """Further ones that are the owner's."""
    mime: bool = False
    """The reason is a MIME entity with its header; what is not UTF-8 in it stands there as surrogates."""
    fcc: FileInto | None = None
    """Where a copy of the answer is filed (RFC 8580)."""
    header: bytes | None = None
    octets: bytes | None = None


class Notify(Action, frozen=True):
    """A notification by mail (RFC 5435, RFC 5436)."""

    word: ClassVar[str] = "notify"
    cancels: ClassVar[bool] = False

    recipients: tuple[Address, ...]
    cc: tuple[Address, ...] = ()
    """Further ones, who get a copy."""
    fields: tuple[tuple[str, str], ...] = ()
    """Header fields that the URI asks for, names in lower case."""
    message: str = ""
    sender: str = ""
    importance: int = 2
    """1 is high, 3 is low."""
    options: tuple[str, ...] = ()
    fcc: FileInto | None = None
    header: bytes | None = None
    octets: bytes | None = None


class Remember(Action, frozen=True):
    """To be remembered when everything else is done, so that it is a duplicate the next time (RFC 7352)."""

    word: ClassVar[str] = "remember"
    cancels: ClassVar[bool] = False

    handle: bytes
    value: bytes
    seconds: int
    """From now on."""
    again: bool = False
    """It is remembered already, and longer from now on."""


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
