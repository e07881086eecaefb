"""xtext (RFC 3461 section 4), and how addresses beyond ASCII are written in reports (RFC 6533 section 3).

An original recipient is kept as ``addr-type;text``: of the type ``utf-8`` the text is utf-8-addr-unitext, in
which ``\\x{HEX}`` stands for a character; of any other type it is what xtext stood for."""

from __future__ import annotations

from typing import Final

_PLAIN: Final = frozenset(range(33, 127)) - {0x2B, 0x3D}
_HEX: Final = frozenset(b"0123456789ABCDEF")


# xtext = *( xchar / hexchar )
# xchar = any ASCII CHAR between "!" (33) and "~" (126) inclusive, except for "+" and "="
# hexchar = ASCII "+" immediately followed by two upper case hexadecimal digits
def decode_xtext(octets: bytes) -> str:
    """The text; its octets are UTF-8. Raises ValueError."""
    if b"+" not in octets:
        return _checked(octets)
    out = bytearray()
    parts = octets.split(b"+")
    out += parts[0]
    for part in parts[1:]:
        if len(part) < 2 or part[0] not in _HEX or part[1] not in _HEX:
            raise ValueError("not xtext")
        out.append(int(part[:2], 16))
        out += part[2:]
    return _checked(bytes(out))


UTF8: Final = "utf-8"
"""The address type of RFC 6533 section 3."""
_SPECIAL: Final = frozenset("+= ") | {chr(c) for c in (*range(32), 127)}
_MOST_DIGITS: Final = 6


def original_of(address: str) -> str:
    """An address as an original recipient, with its type."""
    return f"rfc822;{address}" if address.isascii() else f"{UTF8};{quote(address)}"


# utf-8-addr-unitext = 1*(QUCHAR / EmbeddedUnicodeChar) ; EmbeddedUnicodeChar = "\x{" HEXPOINT "}"
def quote(address: str) -> str:
    """utf-8-addr-unitext: what xtext has no place for is escaped."""
    return normal(address.replace("\\", "\\x{5C}"))


def normal(text: str) -> str:
    """The same of what has escapes already."""
    return "".join(f"\\x{{{ord(c):02X}}}" if c in _SPECIAL else c for c in text)


# utf-8-addr-xtext = 1*(QCHAR / EmbeddedUnicodeChar)
def to_ascii(text: str) -> str:
    """utf-8-addr-unitext as utf-8-addr-xtext, which is ASCII; escapes that are there stay."""
    return "".join(c if c.isascii() else f"\\x{{{ord(c):X}}}" for c in text)


def unquote(text: str, *, ascii_too: bool = True) -> str:
    """Escapes undone; what is no escape stays, and without ``ascii_too`` so do those of ASCII characters."""
    pieces = text.split("\\x{")
    out = [pieces[0]]
    for piece in pieces[1:]:
        digits, brace, rest = piece.partition("}")
        point = _code_point(digits) if brace else None
        keep = point is None or (point < 128 and not ascii_too)
        out.append("\\x{" + piece if keep else chr(point or 0) + rest)
    return "".join(out)


def _code_point(digits: str) -> int | None:
    if not 1 <= len(digits) <= _MOST_DIGITS or not digits.isascii() or not digits.isalnum():
        return None
    try:
        point = int(digits, 16)
    except ValueError:
        return None
    return None if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF else point


def _checked(octets: bytes) -> str:
    text = octets.decode("utf-8")
    if not text.isprintable():
        raise ValueError("xtext of control characters")
    return text


# original-recipient-address = addr-type ";" ( xtext / utf-8-enc-addr )
def encode_original(original: str, *, utf8: bool) -> bytes:
    """An original recipient for ORCPT; ``utf8``: the transaction has SMTPUTF8."""
    kind, _, text = original.partition(";")
    if kind.lower() != UTF8:
        return kind.encode() + b";" + encode_xtext(text)
    return f"{kind};{unquote(text, ascii_too=False) if utf8 else to_ascii(text)}".encode()


def encode_xtext(text: str) -> bytes:
    """ASCII for anything."""
    return b"".join(b"%c" % c if c in _PLAIN else b"+%02X" % c for c in text.encode("utf-8"))
