"""Encoding of what the server says (RFC 9051 section 9): strings, names, flags, lines."""

from __future__ import annotations

from typing import Final

from a3mailer.mail.flags import RECENT, SYSTEM_FLAGS
from a3mailer.wire.imap.names import encode_utf7
from a3mailer.wire.imap.parser import ASTRING_CHARS

QUOTABLE: Final = 1024
"""Longer strings are sent as literals."""
_SAFE: Final = bytes(c for c in range(0x20, 0x7F) if c not in b'"\\')
_SAFE8: Final = bytes(c for c in (*range(0x20, 0x7F), *range(0x80, 0x100)) if c not in b'"\\')
_UNQUOTABLE: Final = bytes(range(0x80, 0x100)) + b"\0\r\n"


def string(octets: bytes) -> bytes:
    """``string``: quoted where it may be, else a literal."""
    if len(octets) <= QUOTABLE:
        if not octets.translate(None, _SAFE):
            return b'"%b"' % octets
        if octets.translate(_TO_NUL).find(b"\0") < 0:
            return b'"%b"' % octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return literal(octets)


_TO_NUL: Final = bytes.maketrans(_UNQUOTABLE, b"\0" * len(_UNQUOTABLE))


def nstring(octets: bytes | None) -> bytes:
    """``nstring``: a string, or NIL for None."""
    return b"NIL" if octets is None else string(octets)


def literal(octets: bytes) -> bytes:
    """``literal``."""
    return b"{%d}\r\n%b" % (len(octets), octets)


def mailbox(name: str, *, utf8: bool) -> bytes:
    """A mailbox name: an atom where it can be, quoted otherwise."""
    octets = name.encode() if utf8 else encode_utf7(name)
    if octets and not octets.translate(None, ASTRING_CHARS) and octets.upper() != b"NIL":
        return octets
    if not octets.translate(None, _SAFE8):
        return b'"%b"' % octets
    return b'"%b"' % octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _flags(bits: int) -> bytes:
    names = (*SYSTEM_FLAGS.items(), ("\\Recent", RECENT))
    return b" ".join(name.encode() for name, bit in names if bits & bit)


FLAG_WORDS: Final = tuple(_flags(bits) for bits in range(256))
"""System flags by their octet, ``\\Seen \\Flagged``."""


def flag_list(bits: int, keywords: str = "") -> bytes:
    """What goes between the parentheses of FLAGS."""
    words = FLAG_WORDS[bits]
    if not keywords:
        return words
    return b"%b %b" % (words, keywords.encode()) if words else keywords.encode()
