"""IMAP strings as octets on the wire (RFC 9051 section 9, RFC 3501): quoted, literal, NIL.

A quoted string holds printable US-ASCII only, so that it is right for IMAP4rev1 clients as well; anything
else is a literal. CR, LF and NUL, which no header value may hold, become spaces.
"""

from typing import Final

from a3mailer.mail.message import limits

NIL: Final = b"NIL"
QUOTABLE: Final = bytes({9, *range(32, 127)} - set(b'"\\'))  # without a backslash before it
_CONTROLS: Final = bytes({*range(32), 127} - {9})
_SPACED: Final = bytes(32 if c in b"\r\n\0" else c for c in range(256))


# string = quoted / literal      ; quoted = DQUOTE *QUOTED-CHAR DQUOTE; literal = "{" number "}" CRLF *CHAR8
def string(value: bytes) -> bytes:
    """Return a value as quoted string where that is possible, else as literal."""
    if not value.translate(None, QUOTABLE) and len(value) <= limits.QUOTED:
        return b'"%b"' % value
    value = value.translate(_SPACED)
    if len(value) <= limits.QUOTED and value.isascii() and value.translate(None, _CONTROLS) == value:
        return b'"%b"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b"{%d}\r\n%b" % (len(value), value)


# nstring = string / nil
def nstring(value: bytes | None) -> bytes:
    """Return a value as string, NIL for none."""
    if value is None:
        return NIL
    if not value.translate(None, QUOTABLE) and len(value) <= limits.QUOTED:  # string, without another call
        return b'"%b"' % value
    return string(value)


def skip(fragment: bytes, at: int) -> int:
    """Return the offset after the string, atom or single parenthesis that begins at `at`."""
    octet = fragment[at : at + 1]
    if octet == b'"':
        at += 1
        while True:
            quote = fragment.index(b'"', at)
            escape = fragment.find(b"\\", at, quote)
            if escape < 0:
                return quote + 1
            at = escape + 2
    if octet == b"{":
        stop = fragment.index(b"}", at)
        return stop + 3 + int(fragment[at + 1 : stop])
    if octet in (b"(", b")", b" "):
        return at + 1
    while at < len(fragment) and fragment[at] not in b' ()"{':
        at += 1
    return at
