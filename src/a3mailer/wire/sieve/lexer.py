"""The tokens of a script (RFC 5228 section 8.1). Linear; line ends are CRLF or LF, in values CRLF.

QUIRK: the grammar has CRLF alone, but scripts in files have LF; a CR that stands alone is an error.
Errors: ScriptError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from a3mailer.wire.sieve.limits import NUMBER, NUMBER_DIGITS, STRING
from a3mailer.wire.sieve.syntax import Source

IDENTIFIER: Final = "identifier"
TAG: Final = "tag"
NUMERAL: Final = "number"
STRINGY: Final = "string"
END: Final = "the end of the script"
_MARKS: Final = b"[](){},;"
_QUANTIFIERS: Final = {b"": 0, b"k": 10, b"m": 20, b"g": 30}
_BLANK: Final = re.compile(rb"[ \t\n]*+")
# identifier = (ALPHA / "_") *(ALPHA / DIGIT / "_")
_IDENTIFIER: Final = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*+")
# number = 1*DIGIT [ QUANTIFIER ]
_NUMBER: Final = re.compile(rb"([0-9]++)([KMGkmg]?)(?![A-Za-z0-9_])")
# quoted-string = DQUOTE *(quoted-safe / quoted-special / quoted-other) DQUOTE
_QUOTED: Final = re.compile(rb'"((?:[^"\\]++|\\[^\n])*+)"')
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)
# multi-line = "text:" *(SP / HTAB) (hash-comment / CRLF) *(multiline-literal / multiline-dotstart) "." CRLF
_TEXT: Final = re.compile(rb":[ \t]*+(?:#[^\n]*+)?\n")


class Token(NamedTuple):
    """``kind`` is one of the words above, or the mark itself."""

    kind: str
    at: int
    octets: bytes = b""
    number: int = 0

    @property
    def name(self) -> str:
        """Of an identifier or a tag."""
        return self.octets.decode().lower()


def tokens(source: Source) -> Iterator[Token]:
    """Yield all tokens, at last END."""
    octets, at = source.octets, 0
    if (bad := octets.find(b"\0")) >= 0:
        raise source.error("a NUL", bad)
    if (bad := octets.find(b"\r")) >= 0:
        raise source.error("a CR without LF", bad)
    while True:
        at = _skipped(source, at)
        first = octets[at : at + 1]
        if not first:
            yield Token(END, at)
            return
        token, at = _token(source, first, at)
        yield token


def _skipped(source: Source, at: int) -> int:
    """Behind white space and comments."""
    octets = source.octets
    while True:
        found = _BLANK.match(octets, at)
        at = found.end() if found else at
        if octets.startswith(b"#", at):
            end = octets.find(b"\n", at)
            at = len(octets) if end < 0 else end
        elif octets.startswith(b"/*", at):
            end = octets.find(b"*/", at + 2)
            if end < 0:
                raise source.error("a comment that does not end", at)
            at = end + 2
        else:
            return at


def _token(source: Source, first: bytes, at: int) -> tuple[Token, int]:
    if first in _MARKS:
        return Token(first.decode(), at), at + 1
    if first == b'"':
        return _quoted(source, at)
    if first.isdigit():
        return _number(source, at)
    name = _IDENTIFIER.match(source.octets, at + (first == b":"))
    if name is None:
        raise source.error("what is no part of the language", at)
    if first == b":":
        return Token(TAG, at, name[0]), name.end()
    if name[0].lower() == b"text" and source.octets.startswith(b":", name.end()):
        return _multi_line(source, at, name.end())
    return Token(IDENTIFIER, at, name[0]), name.end()


def _quoted(source: Source, at: int) -> tuple[Token, int]:
    found = _QUOTED.match(source.octets, at)
    if found is None:
        raise source.error("a string that does not end, or a backslash at the end of a line", at)
    value = found[1]
    if b"\\" in value:
        value = _ESCAPE.sub(rb"\1", value)
    return _string(source, value, at), found.end()


def _multi_line(source: Source, at: int, colon: int) -> tuple[Token, int]:
    octets = source.octets
    head = _TEXT.match(octets, colon)
    if head is None:
        raise source.error("text: with something behind it", at)
    begin = head.end()
    end = octets.find(b"\n.\n", begin - 1)
    if end < 0:
        if not octets.endswith(b"\n."):
            raise source.error("a text that no line with a single dot ends", at)
        end = len(octets) - 2
    value = octets[begin - 1 : end + 1].replace(b"\n..", b"\n.")[1:]
    return _string(source, value, at), min(end + 3, len(octets))


def _string(source: Source, value: bytes, at: int) -> Token:
    value = value.replace(b"\n", b"\r\n")
    if len(value) > STRING:
        raise source.error(f"a string of more than {STRING} octets", at)
    return Token(STRINGY, at, value)


def _number(source: Source, at: int) -> tuple[Token, int]:
    found = _NUMBER.match(source.octets, at)
    if found is None:
        raise source.error("a number with something behind it", at)
    digits = found[1].lstrip(b"0") or b"0"
    value = int(digits) << _QUANTIFIERS[found[2].lower()] if len(digits) <= NUMBER_DIGITS else NUMBER + 1
    if value > NUMBER:
        raise source.error(f"a number over {NUMBER}", at)
    return Token(NUMERAL, at, b"", value), found.end()
