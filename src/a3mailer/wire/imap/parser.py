"""The grammar's words (RFC 9051 section 9): atoms, strings, numbers, lists, mailbox names.

Every method reads at ``at`` and moves it, or raises BadSyntax; nothing recurses. ``RFC 9051 section 9``
spells each rule as it stands above the method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from a3mailer.wire.imap import limits
from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.names import decode_mailbox

T = TypeVar("T")

# ATOM-CHAR = <any CHAR except atom-specials>
# atom-specials = "(" / ")" / "{" / SP / CTL / list-wildcards / quoted-specials / resp-specials
ATOM_CHARS: Final = bytes(c for c in range(0x21, 0x7F) if c not in b'(){%*"\\]')
ASTRING_CHARS: Final = ATOM_CHARS + b"]"
LIST_CHARS: Final = ASTRING_CHARS + b"%*"
TAG_CHARS: Final = ASTRING_CHARS.replace(b"+", b"")
LOOK: Final = 64
"""Octets looked at first when a word is read: most are shorter, and none costs what follows it."""
DIGITS: Final = b"0123456789"
_FORBIDDEN: Final = bytes(range(256)).translate(None, b"\0\r\n")
"""What a quoted string may hold: deleting these must leave nothing."""


class Parser:
    """Reads one command from left to right."""

    __slots__ = ("at", "given", "octets", "utf8")

    def __init__(self, octets: bytes, *, utf8: bool = False, at: int = 0) -> None:
        self.octets = octets
        self.at = at
        self.utf8 = utf8
        """Whether mailbox names are UTF-8 (IMAP4rev2 was enabled) or modified UTF-7."""
        self.given = ""
        """The UTF-8 name that was read last, where it is another than the one it stands for."""

    def fail(self, text: str) -> BadSyntax:
        """The error to raise; ``text`` is sent to the client."""
        return BadSyntax(text)

    # --- single octets -----------------------------------------------------------------------------

    def peek(self) -> bytes:
        """The next octet, b"" at the end."""
        return self.octets[self.at : self.at + 1]

    def done(self) -> bool:
        """Whether nothing is left."""
        return self.at >= len(self.octets)

    def take(self, octet: bytes) -> bool:
        """Move over ``octet`` if it is next."""
        if self.octets.startswith(octet, self.at):
            self.at += len(octet)
            return True
        return False

    def expect(self, octet: bytes) -> None:
        """Move over ``octet`` or fail."""
        if not self.octets.startswith(octet, self.at):
            raise self.fail(f"{octet.decode()} expected at octet {self.at}")
        self.at += len(octet)

    def space(self) -> None:
        """Exactly one SP."""
        if self.octets[self.at : self.at + 1] != b" ":
            raise self.fail("space expected" if self.at < len(self.octets) else "arguments missing")
        self.at += 1

    def end(self) -> None:
        """Nothing may be left."""
        if self.at != len(self.octets):
            raise self.fail("too many arguments")

    # --- atoms -------------------------------------------------------------------------------------

    def run(self, allowed: bytes, limit: int = limits.ATOM) -> bytes:
        """The longest run of ``allowed`` octets, at most ``limit`` long; may be empty."""
        octets, start = self.octets, self.at
        at, step = start, LOOK
        while chunk := octets[at : at + step]:
            size = len(chunk) - len(chunk.lstrip(allowed))
            at += size
            if at - start > limit:
                raise self.fail("word too long")
            if size < step:
                break
            step *= 8
        self.at = at
        return octets[start:at]

    # atom = 1*ATOM-CHAR
    def atom(self) -> bytes:
        word = self.run(ATOM_CHARS)
        if not word:
            raise self.fail("atom expected")
        return word

    def keyword(self) -> bytes:
        """An atom that is compared without case: upper-case."""
        return self.atom().upper()

    # tag = 1*<any ASTRING-CHAR except "+">
    def tag(self) -> bytes:
        word = self.run(TAG_CHARS, limits.TAG_LENGTH)
        if not word or self.peek() not in (b" ", b""):  # a part of what was sent is nobody's tag
            raise self.fail("tag expected")
        return word

    # --- numbers -----------------------------------------------------------------------------------

    # number = 1*DIGIT (0 <= n < 4,294,967,296)   number64 = 1*DIGIT (0 <= n <= 9,223,372,036,854,775,807)
    def number(self, most: int = limits.NUMBER32) -> int:
        digits = self.run(DIGITS, limits.LITERAL_DIGITS)
        if not digits:
            raise self.fail("number expected")
        value = int(digits)
        if value > most:
            raise self.fail("number too large")
        return value

    def number64(self) -> int:
        return self.number(limits.NUMBER64)

    # nz-number = digit-nz *DIGIT
    def nz_number(self, most: int = limits.NUMBER32) -> int:
        value = self.number(most)
        if value == 0:
            raise self.fail("0 is not allowed here")
        return value

    # --- strings -----------------------------------------------------------------------------------

    # string = quoted / literal
    def string(self) -> bytes:
        first = self.peek()
        if first == b'"':
            return self._quoted()
        if first == b"{":
            return self._literal()
        raise self.fail("string expected")

    # astring = 1*ASTRING-CHAR / string
    def astring(self) -> bytes:
        return self.run(ASTRING_CHARS) or self.string()

    # nstring = string / nil
    def nstring(self) -> bytes | None:
        if self.octets[self.at : self.at + 3].upper() == b"NIL":
            self.at += 3
            return None
        return self.string()

    # list-mailbox = 1*list-char / string
    def list_mailbox(self) -> bytes:
        return self.run(LIST_CHARS) or self.string()

    # quoted = DQUOTE *QUOTED-CHAR DQUOTE
    # QUOTED-CHAR = <any TEXT-CHAR except quoted-specials> / "\" quoted-specials
    def _quoted(self) -> bytes:
        octets, at = self.octets, self.at + 1
        close = octets.find(b'"', at)
        if close < 0:
            raise self.fail("quoted string without end")
        if octets.find(b"\\", at, close) < 0:
            self.at = close + 1
            return self._checked(octets[at:close])
        pieces: list[bytes] = []
        while True:
            escape = octets.find(b"\\", at, close)
            if escape < 0:
                pieces.append(octets[at:close])
                self.at = close + 1
                return self._checked(b"".join(pieces))
            escaped = octets[escape + 1 : escape + 2]
            if escaped not in (b'"', b"\\"):
                raise self.fail('only \\ and " are escaped in a quoted string')
            pieces.append(octets[at:escape] + escaped)
            at = escape + 2
            if close < at:
                close = octets.find(b'"', at)
                if close < 0:
                    raise self.fail("quoted string without end")

    def _checked(self, text: bytes) -> bytes:
        if text.translate(None, _FORBIDDEN):
            raise self.fail("NUL, CR and LF are not allowed in a quoted string")
        return text

    # literal8 = "~{" number64 ["+"] "}" CRLF *OCTET
    def literal8(self) -> bytes:
        """Octets of any kind (RFC 3516)."""
        self.expect(b"~")
        return self._literal(nul=True)

    # literal = "{" number64 ["+"] "}" CRLF *CHAR8
    def _literal(self, *, nul: bool = False) -> bytes:
        self.expect(b"{")
        size = self.number64()
        self.take(b"+")
        if not self.octets.startswith(b"}\r\n", self.at):
            raise self.fail("literal expected")
        start = self.at + 3
        text = self.octets[start : start + size]
        if len(text) != size:
            raise self.fail("literal cut short")
        if b"\0" in text and not nul:
            raise self.fail("NUL is not allowed in a literal")
        self.at = start + size
        return text

    # --- compounds ---------------------------------------------------------------------------------

    # mailbox = "INBOX" / astring
    def mailbox(self) -> str:
        """A mailbox name as text; INBOX in its one spelling."""
        octets = self.astring()
        name = decode_mailbox(octets, utf8=self.utf8)
        if self.utf8:
            given = octets.decode()
            self.given = given if given != name else ""
        return name

    def parenthesised(self, element: Callable[[], T], *, most: int, empty: bool = False) -> tuple[T, ...]:
        """``"(" element *(SP element) ")"``, at most ``most`` of them."""
        self.expect(b"(")
        if empty and self.take(b")"):
            return ()
        found = [element()]
        while not self.take(b")"):
            self.space()
            if len(found) >= most:
                raise self.fail("list too long")
            found.append(element())
        return tuple(found)

    def word_of(self, table: dict[bytes, T], what: str) -> T:
        """A keyword that must be in ``table``."""
        word = self.keyword()
        try:
            return table[word]
        except KeyError as error:
            raise self.fail(f"unknown {what}") from error
