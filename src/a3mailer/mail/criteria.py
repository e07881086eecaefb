"""What a search asks for: a program in postfix form, shared by IMAP SEARCH and JMAP Email/query.

``a (b or not c)`` is ``(a, b, c, NOT, OR, AND)``: nothing nests, so nothing recurses. Text is compared
by ``access.search`` on decoded text, without case.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Operator(Enum):
    """Takes its operands from what stands before it."""

    AND = 1
    OR = 2
    NOT = 3


@dataclass(frozen=True, slots=True)
class Everything:
    """All messages."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """No message."""


@dataclass(frozen=True, slots=True)
class HasFlag:
    """A system flag (``mail.flags``) is set."""

    bit: int


@dataclass(frozen=True, slots=True)
class HasKeyword:
    """A keyword is set; compared without case."""

    keyword: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """Messages by place in the view, as disjoint ascending half-open spans of indexes."""

    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class ModifiedSince:
    """The modseq is at least this (RFC 7162 section 3.1.5)."""

    modseq: int


class Comparison(Enum):
    """How a number of the message is compared."""

    BELOW = 1
    ABOVE = 2


@dataclass(frozen=True, slots=True)
class Size:
    """Octets of the message, strictly below or above."""

    comparison: Comparison
    octets: int


class Clock(Enum):
    """Which date of a message is meant."""

    INTERNAL = 1
    SENT = 2
    SAVED = 3


@dataclass(frozen=True, slots=True)
class Dated:
    """The day (since 1970-01-01, UTC for the internal date) is at least ``first`` and below ``end``."""

    clock: Clock
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """The internal date, seconds since the epoch, is at least ``first`` and below ``end``."""

    first: int
    end: int


class Place(Enum):
    """Where a text is looked for."""

    SUBJECT = "subject"
    FROM = "from"
    TO = "to"
    CC = "cc"
    BCC = "bcc"
    BODY = "body"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Contains:
    """A text is part of a place, without case."""

    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class Header:
    """A field of this name exists and, unless empty, holds the text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class SameEmail:
    """The message's EMAILID (RFC 8474)."""

    email: int


@dataclass(frozen=True, slots=True)
class SameThread:
    """The message's THREADID (RFC 8474)."""

    thread: int


Leaf = (
    Everything
    | Nothing
    | HasFlag
    | HasKeyword
    | Numbers
    | ModifiedSince
    | Size
    | Dated
    | Arrived
    | Contains
    | Header
    | SameEmail
    | SameThread
)
Program = tuple[Leaf | Operator, ...]
