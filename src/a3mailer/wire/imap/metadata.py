"""GETMETADATA and SETMETADATA (RFC 5464 section 5, errata 2785 and 2786): entries, values, options."""

from __future__ import annotations

from typing import Final

from a3mailer.wire.imap import limits
from a3mailer.wire.imap.encode import literal, string
from a3mailer.wire.imap.parser import ASTRING_CHARS, Parser

DEPTHS: Final = {b"0": 0, b"1": 1, b"INFINITY": 1 << 30}
OPTIONS: Final = 8
"""Options of one GETMETADATA, repeated ones included."""


# entries = entry / "(" entry *(SP entry) ")"
def parse_entries(p: Parser) -> tuple[bytes, ...]:
    """Entries as they were written. Errors: BadSyntax."""
    if p.peek() == b"(":
        return p.parenthesised(p.astring, most=limits.METADATA_ENTRIES)
    return (p.astring(),)


# entry-values = "(" entry-value *(SP entry-value) ")"      entry-value = entry SP value
def parse_entry_values(p: Parser) -> tuple[tuple[bytes, bytes | None], ...]:
    """Entries and what they are to be. Errors: BadSyntax."""
    return p.parenthesised(lambda: _entry_value(p), most=limits.METADATA_ENTRIES)


def _entry_value(p: Parser) -> tuple[bytes, bytes | None]:
    entry = p.astring()
    p.space()
    return entry, (p.literal8() if p.peek() == b"~" else p.nstring())


# getmetadata-options = "(" getmetadata-option *(SP getmetadata-option) ")"
# maxsize-opt = "MAXSIZE" SP number      scope-opt = "DEPTH" SP ("0" / "1" / "infinity")
def parse_options(p: Parser) -> tuple[int, int]:
    """The largest size of a value (-1: any) and the depth. Errors: BadSyntax."""
    found: dict[bytes, int] = {}
    p.parenthesised(lambda: _option(p, found), most=OPTIONS)
    return found.get(b"MAXSIZE", -1), found.get(b"DEPTH", 0)


def _option(p: Parser, found: dict[bytes, int]) -> None:
    word = p.keyword()
    p.space()
    if word in found:
        raise p.fail("an option twice")
    if word == b"MAXSIZE":
        found[word] = p.number()
    elif word == b"DEPTH":
        found[word] = p.word_of(DEPTHS, "DEPTH")
    else:
        raise p.fail("unknown GETMETADATA option")


def entry(name: bytes) -> bytes:
    """An entry as it is said."""
    return name if name and not name.translate(None, ASTRING_CHARS) else string(name)


def value(octets: bytes | None) -> bytes:
    """``nstring / literal8``."""
    if octets is None:
        return b"NIL"
    return b"~" + literal(octets) if b"\0" in octets else string(octets)
