"""Commands (RFC 5804 section 4) into values. Errors: BadSyntax.

command = keyword *(SP (string / number)) CRLF
string  = quoted / literal-c2s
quoted  = DQUOTE *1024QUOTED-CHAR DQUOTE         literal-c2s = "{" number "+}" CRLF *OCTET
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from a3mailer.wire.errors import RemoteProtocolError
from a3mailer.wire.managesieve import limits

MAX_MECHANISM: Final = 20
"""RFC 4422 section 3.1."""
_NUMBER: Final = re.compile(rb"0|[1-9][0-9]{0,9}")
_MECHANISM: Final = re.compile(r"[A-Za-z0-9_-]{1,20}")
_LITERAL: Final = re.compile(rb"\{(0|[1-9][0-9]{0,9})\+\}\r\n")


class BadSyntax(RemoteProtocolError):
    """The text says how; it is safe to send back."""


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Section 2.1. ``initial`` is still Base64, None where there is none."""

    mechanism: str
    initial: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class StartTls:
    """Section 2.2."""


@dataclass(frozen=True, slots=True)
class Logout:
    """Section 2.3."""


@dataclass(frozen=True, slots=True)
class Capability:
    """Section 2.4."""


@dataclass(frozen=True, slots=True)
class HaveSpace:
    """Section 2.5."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class PutScript:
    """Section 2.6."""

    name: str
    script: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ListScripts:
    """Section 2.7."""


@dataclass(frozen=True, slots=True)
class SetActive:
    """Section 2.8; without a name none is."""

    name: str


@dataclass(frozen=True, slots=True)
class GetScript:
    """Section 2.9."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteScript:
    """Section 2.10."""

    name: str


@dataclass(frozen=True, slots=True)
class RenameScript:
    """Section 2.11."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class CheckScript:
    """Section 2.12."""

    script: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Noop:
    """Section 2.13. What it says is said back."""

    tag: bytes | None


@dataclass(frozen=True, slots=True)
class Unauthenticate:
    """Section 2.14.1."""


Command = (
    Authenticate | StartTls | Logout | Capability | HaveSpace | PutScript | ListScripts | SetActive
    | GetScript | DeleteScript | RenameScript | CheckScript | Noop | Unauthenticate
)  # fmt: skip


class Arguments:
    """What follows the keyword, from left to right."""

    __slots__ = ("_at", "_octets")

    def __init__(self, octets: bytes, at: int) -> None:
        self._octets = octets
        self._at = at

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._octets)

    def end(self) -> None:
        """Nothing may be left."""
        if not self.done:
            raise BadSyntax("too many arguments")

    def _space(self) -> None:
        if self._octets[self._at : self._at + 1] != b" ":
            raise BadSyntax("a space and another argument are wanted" if self.done else "a space is wanted")
        self._at += 1

    def number(self) -> int:
        """``SP number``."""
        self._space()
        found = _NUMBER.match(self._octets, self._at)
        if found is None or int(found[0]) > limits.NUMBER:
            raise BadSyntax("not a number")
        self._at = found.end()
        return int(found[0])

    def string(self) -> bytes:
        """``SP string``."""
        self._space()
        return self.bare_string()

    def bare_string(self) -> bytes:
        """``string``."""
        octets, at = self._octets, self._at
        if octets[at : at + 1] == b'"':
            return self._quoted(at + 1)
        literal = _LITERAL.match(octets, at)
        if literal is None or len(octets) < (end := literal.end() + int(literal[1])):
            raise BadSyntax("not a string")
        self._at = end
        return octets[literal.end() : end]

    def _quoted(self, start: int) -> bytes:
        octets, at = self._octets, start
        while True:
            quote = octets.find(b'"', at)
            escape = octets.find(b"\\", at, quote if quote >= 0 else len(octets))
            if quote < 0:
                raise BadSyntax("a quoted string does not end")
            if escape < 0:
                break
            if octets[escape + 1 : escape + 2] not in {b'"', b"\\"}:
                raise BadSyntax("a backslash escapes a quote or a backslash")
            at = escape + 2
        inner = octets[start:quote]
        if len(inner) > limits.QUOTED or b"\n" in inner or b"\r" in inner or b"\0" in inner:
            raise BadSyntax(f"a quoted string has at most {limits.QUOTED} octets on one line")
        try:
            inner.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadSyntax("not UTF-8") from error
        self._at = quote + 1
        return inner.replace(b'\\"', b'"').replace(b"\\\\", b"\\") if b"\\" in inner else inner

    def text(self) -> str:
        """``SP string`` in UTF-8."""
        try:
            return self.string().decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadSyntax("not UTF-8") from error


def _authenticate(a: Arguments) -> Authenticate:
    mechanism = a.text()
    if not _MECHANISM.fullmatch(mechanism):
        raise BadSyntax("no name of a mechanism")
    return Authenticate(mechanism, None if a.done else a.string())


TABLE: Final[dict[bytes, tuple[str, Callable[[Arguments], Command]]]] = {
    b"AUTHENTICATE": ("stranger", _authenticate),
    b"STARTTLS": ("stranger", lambda a: StartTls()),
    b"LOGOUT": ("any", lambda a: Logout()),
    b"CAPABILITY": ("any", lambda a: Capability()),
    b"NOOP": ("any", lambda a: Noop(None if a.done else a.string())),
    b"HAVESPACE": ("user", lambda a: HaveSpace(a.text(), a.number())),
    b"PUTSCRIPT": ("user", lambda a: PutScript(a.text(), a.string())),
    b"LISTSCRIPTS": ("user", lambda a: ListScripts()),
    b"SETACTIVE": ("user", lambda a: SetActive(a.text())),
    b"GETSCRIPT": ("user", lambda a: GetScript(a.text())),
    b"DELETESCRIPT": ("user", lambda a: DeleteScript(a.text())),
    b"RENAMESCRIPT": ("user", lambda a: RenameScript(a.text(), a.text())),
    b"CHECKSCRIPT": ("user", lambda a: CheckScript(a.string())),
    b"UNAUTHENTICATE": ("user", lambda a: Unauthenticate()),
}
"""Keyword -> (who may say it: any, a stranger, a user; parser of its arguments)."""


def parse(octets: bytes, *, authenticated: bool) -> Command:
    """A whole command, literals in place, without the final CRLF."""
    keyword = octets.partition(b" ")[0]
    known = TABLE.get(keyword.upper())
    if known is None:
        raise BadSyntax("unknown command")
    who, read = known
    if who == ("stranger" if authenticated else "user"):
        raise BadSyntax("not after the login" if authenticated else "log in first")
    arguments = Arguments(octets, len(keyword))
    command = read(arguments)
    arguments.end()
    return command
