"""xtext (RFC 3461 section 4) and the addresses that DSN parameters carry in it (RFC 6533 section 3)."""

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


def _checked(octets: bytes) -> str:
    text = octets.decode("utf-8")
    if not text.isprintable():
        raise ValueError("xtext of control characters")
    return text


def encode_xtext(text: str) -> bytes:
    """ASCII for anything."""
    return b"".join(b"%c" % c if c in _PLAIN else b"+%02X" % c for c in text.encode("utf-8"))
