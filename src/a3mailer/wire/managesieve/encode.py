"""How a server writes (RFC 5804 section 4): strings quoted where that is possible, else as a literal."""

from __future__ import annotations

from typing import Final

from a3mailer.wire.managesieve import limits

_LITERAL_ONLY: Final = (b"\r", b"\n", b"\0")


# string = quoted / literal-s2c
def string(octets: bytes) -> bytes:
    """One string: quoted where it is UTF-8 on one line, and short."""
    if len(octets) <= limits.QUOTED and not any(each in octets for each in _LITERAL_ONLY) and is_utf8(octets):
        quoted = octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        if len(quoted) <= limits.QUOTED:
            return b'"%b"' % quoted
    return literal(octets)


def is_utf8(octets: bytes) -> bool:
    """Whether the octets are text."""
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def literal(octets: bytes) -> bytes:
    """As ``{number}`` CRLF and the octets."""
    return b"{%d}\r\n%b" % (len(octets), octets)


# response-oknobye = ("OK" / "NO" / "BYE") [SP "(" resp-code ")"] [SP string] CRLF
def response(word: bytes, text: str, code: bytes = b"") -> bytes:
    """The line that ends an answer."""
    said = b" " + string(text.encode()) if text else b""
    return word + (b" (%b)" % code if code else b"") + said + b"\r\n"
