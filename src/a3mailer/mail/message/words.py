"""Encoded words (RFC 2047) in header fields, turned into text; raw UTF-8 (RFC 6532) is read as it is.

Iterative and linear. An encoded word that is none stays as it was written, and nothing here raises. The text
holds no control characters: CR, LF, NUL and their kind, however encoded, become spaces, so that a decoded
value can stand in a line of its own.
"""

import binascii
from collections.abc import Iterator
from typing import Final

from a3mailer.mail.message import charsets, encodings
from a3mailer.mail.message.ascii import EQUALS

_CHARSET: Final = 80  # octets of charset and language
_CONTROLS: Final = dict.fromkeys((*range(32), *range(127, 160), 0x2028, 0x2029), " ")


def clean(text: str) -> str:
    """Return the text with every control character as a space."""
    return text if text.isprintable() else text.translate(_CONTROLS)


# encoded-word = "=?" charset ["*" language] "?" encoding "?" encoded-text "?="     ; encoding = "B" / "Q"
def _encoded_words(value: bytes) -> Iterator[tuple[int, int, bytes, bytes]]:
    """Yield (start, end, charset, octets) of each encoded word in document order."""
    at = value.find(b"=?")
    while at >= 0:
        mark = value.find(b"?", at + 2, at + 2 + _CHARSET)
        kind = value[mark + 1 : mark + 3].lower() if mark > at + 2 else b""
        if kind not in (b"b?", b"q?"):
            at = value.find(b"=?", at + 2)
            continue
        end = value.find(b"?=", mark + 3)
        if end < 0:
            return
        text = value[mark + 3 : end]
        octets = encodings.from_base64(text) if kind == b"b?" else binascii.a2b_qp(text, header=True)
        yield at, end + 2, value[at + 2 : mark].partition(b"*")[0].lower(), octets
        at = value.find(b"=?", end + 2)


def decode_words(value: bytes) -> str:
    """Return the text of an unfolded field value, a phrase or a comment, with its encoded words decoded.

    White space between two encoded words is dropped, and octets of neighbours in one charset are put
    together before they are decoded, since many programs cut a character in two.
    """
    if EQUALS not in value or value.find(b"=?") < 0:
        return clean(charsets.decode(value))
    out: list[str] = []
    pending: list[bytes] = []  # octets of neighbouring encoded words in `pending_charset`
    pending_charset = b""
    done = 0
    for start, end, charset, octets in _encoded_words(value):
        between = value[done:start]
        apart = bool(between.strip())
        if pending and (apart or charset != pending_charset):
            out.append(charsets.decode(b"".join(pending), pending_charset))
            pending.clear()
        if apart or not done:
            out.append(charsets.decode(between))
        pending.append(octets)
        pending_charset = charset
        done = end
    out.append(charsets.decode(b"".join(pending), pending_charset))
    out.append(charsets.decode(value[done:]))
    return clean("".join(out))
