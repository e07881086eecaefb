"""Content-Transfer-Encoding (RFC 2045 section 6) undone, for any octets: base64 and quoted-printable.

Octets that are no base64 are skipped and missing padding is supplied (RFC 2045 section 6.8 says to ignore
them); broken quoted-printable stays as it is. Linear; nothing here raises.
"""

import binascii
import string
from typing import Final

from a3mailer.mail.message import limits
from a3mailer.mail.message.ascii import EQUALS

_ALPHABET: Final = (string.ascii_letters + string.digits + "+/=").encode()
_NOT_BASE64: Final = bytes(set(range(256)) - set(_ALPHABET))
_MISSING: Final = (b"", b"", b"==", b"=")


# base64 = *(4base64char / CRLF) [2base64char "==" / 3base64char "="]
def from_base64(octets: bytes) -> bytes:
    """Return the octets a base64 text stands for; texts set one after the other are all decoded."""
    text = octets.translate(None, _NOT_BASE64)
    if EQUALS not in text.rstrip(b"="):
        return _segment(text.rstrip(b"="))
    return b"".join(map(_segment, text.split(b"=", limits.ENCODED_SEGMENTS)))


def _segment(text: bytes) -> bytes:
    text = text.translate(None, b"=")
    rest = len(text) % 4
    if rest == 1:
        text = text[:-1]
    return binascii.a2b_base64(text + _MISSING[rest])


# quoted-printable = qp-line *(CRLF qp-line)
def from_quoted_printable(octets: bytes) -> bytes:
    """Return the octets a quoted-printable text stands for."""
    return binascii.a2b_qp(octets)


def decode(octets: bytes, encoding: bytes) -> bytes:
    """Undo a Content-Transfer-Encoding given in lower case; the identity for all others."""
    if encoding == b"base64":
        return from_base64(octets)
    if encoding == b"quoted-printable":
        return from_quoted_printable(octets)
    return octets
