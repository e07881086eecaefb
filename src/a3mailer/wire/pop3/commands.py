"""Command lines (RFC 1939 sections 4 to 7, RFC 2449 section 3, RFC 5034, RFC 2595, RFC 6856) into values.

    command = keyword *(SP param) CRLF        keyword = 3*4VCHAR        param = 1*VCHAR

One table, one parser a keyword. Errors: BadArguments.
"""

from __future__ import annotations

import binascii
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from a3mailer.wire.errors import RemoteProtocolError
from a3mailer.wire.pop3 import limits

MAX_MECHANISM: Final = 20
"""RFC 4422 section 3.1."""
_MECHANISM: Final = frozenset(string.ascii_letters + string.digits + "-_")
_TAG: Final = frozenset(string.ascii_letters + string.digits + "-")


class State(Enum):
    """RFC 1939 section 3. In UPDATE no command is taken any more."""

    AUTHORIZATION = 1
    TRANSACTION = 2
    UPDATE = 3


class BadArguments(RemoteProtocolError):
    """The keyword is known, what follows it is not of its form."""


@dataclass(frozen=True, slots=True)
class User:
    """Who logs in; PASS follows (RFC 1939 section 7)."""

    name: str


@dataclass(frozen=True, slots=True)
class Pass:
    """The password of who was named."""

    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Auth:
    """A SASL exchange begins (RFC 5034 section 4); ``initial`` is decoded, None where there is none."""

    mechanism: str
    initial: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthList:
    """QUIRK: AUTH alone asks for the mechanisms (a draft of RFC 1734; tests/transcripts/pop3/auth)."""


@dataclass(frozen=True, slots=True)
class Capa:
    """RFC 2449 section 5."""


@dataclass(frozen=True, slots=True)
class Stls:
    """RFC 2595 section 4."""


@dataclass(frozen=True, slots=True)
class Utf8:
    """RFC 6856 section 2.1."""


@dataclass(frozen=True, slots=True)
class Lang:
    """RFC 6856 section 3: the language of texts; None asks for the list, ``*`` for the server's own."""

    tag: str | None


@dataclass(frozen=True, slots=True)
class Stat:
    """How many messages, how many octets."""


@dataclass(frozen=True, slots=True)
class List:
    """The size of one message, or of all."""

    number: int | None


@dataclass(frozen=True, slots=True)
class Uidl:
    """The unique-id of one message, or of all."""

    number: int | None


@dataclass(frozen=True, slots=True)
class Retr:
    """A whole message."""

    number: int


@dataclass(frozen=True, slots=True)
class Top:
    """The header of a message, and some lines of its body."""

    number: int
    lines: int


@dataclass(frozen=True, slots=True)
class Dele:
    """Mark a message as deleted."""

    number: int


@dataclass(frozen=True, slots=True)
class Noop:
    """Nothing."""


@dataclass(frozen=True, slots=True)
class Rset:
    """Take all marks back."""


@dataclass(frozen=True, slots=True)
class Quit:
    """The end: what is marked goes."""


Command = (
    User | Pass | Auth | AuthList | Capa | Stls | Utf8 | Lang | Stat | List | Uidl | Retr | Top | Dele
    | Noop | Rset | Quit
)  # fmt: skip


def _alone(value: Command) -> Callable[[bytes | None], Command]:
    def parse(argument: bytes | None) -> Command:
        if argument is not None:
            raise BadArguments
        return value

    return parse


# USER SP name      ; one argument to the end of the line: what is between is the name's (RFC 1939 section 7)
def _user(argument: bytes | None) -> User:
    return User(_text(argument))


# PASS SP string    ; spaces are the password's
def _pass(argument: bytes | None) -> Pass:
    return Pass(_text(argument))


def _text(argument: bytes | None) -> str:
    if not argument:
        raise BadArguments
    try:
        return argument.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadArguments from error


# auth-command = "AUTH" SP sasl-mech [SP initial-response]     initial-response = base64 / "="
def _auth(argument: bytes | None) -> Auth | AuthList:
    if argument is None:
        return AuthList()
    name, space, text = argument.partition(b" ")
    mechanism = name.decode("ascii", "replace")
    if not 0 < len(mechanism) <= MAX_MECHANISM or not _MECHANISM.issuperset(mechanism):
        raise BadArguments
    if not space:
        return Auth(mechanism, None)
    if not text:
        raise BadArguments
    return Auth(mechanism, b"" if text == b"=" else decoded(text))


def decoded(text: bytes) -> bytes:
    """Base64, strictly (RFC 4648 section 4). Errors: BadArguments."""
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except binascii.Error as error:
        raise BadArguments from error


# LANG [SP (language-tag / "*")]
def _lang(argument: bytes | None) -> Lang:
    if argument is None:
        return Lang(None)
    tag = argument.decode("ascii", "replace")
    if tag != "*" and not (0 < len(tag) <= limits.LANGUAGE_TAG and _TAG.issuperset(tag)):
        raise BadArguments
    return Lang(tag)


def _number(octets: bytes) -> int:
    if not octets.isdigit() or len(octets) > limits.NUMBER_DIGITS:
        raise BadArguments
    return int(octets)


def _maybe(kind: Callable[[int | None], Command]) -> Callable[[bytes | None], Command]:
    return lambda argument: kind(None if argument is None else _number(argument))


def _numbered(kind: Callable[[int], Command]) -> Callable[[bytes | None], Command]:
    def parse(argument: bytes | None) -> Command:
        if argument is None:
            raise BadArguments
        return kind(_number(argument))

    return parse


# TOP SP msg SP n
def _top(argument: bytes | None) -> Top:
    number, space, lines = (argument or b"").partition(b" ")
    if not space:
        raise BadArguments
    return Top(_number(number), _number(lines))


_BEFORE: Final = frozenset((State.AUTHORIZATION,))
_AFTER: Final = frozenset((State.TRANSACTION,))
_BOTH: Final = _BEFORE | _AFTER

TABLE: Final[dict[bytes, tuple[frozenset[State], Callable[[bytes | None], Command]]]] = {
    b"USER": (_BEFORE, _user),
    b"PASS": (_BEFORE, _pass),
    b"AUTH": (_BEFORE, _auth),
    b"STLS": (_BEFORE, _alone(Stls())),
    b"UTF8": (_BEFORE, _alone(Utf8())),
    b"CAPA": (_BOTH, _alone(Capa())),
    b"LANG": (_BOTH, _lang),
    b"QUIT": (_BOTH, _alone(Quit())),
    b"STAT": (_AFTER, _alone(Stat())),
    b"LIST": (_AFTER, _maybe(List)),
    b"UIDL": (_AFTER, _maybe(Uidl)),
    b"RETR": (_AFTER, _numbered(Retr)),
    b"TOP": (_AFTER, _top),
    b"DELE": (_AFTER, _numbered(Dele)),
    b"NOOP": (_AFTER, _alone(Noop())),
    b"RSET": (_AFTER, _alone(Rset())),
}
"""Keyword -> (states it is valid in, parser of its arguments)."""
