"""Mailbox names on the wire: modified UTF-7 (RFC 3501 section 5.1.3), or UTF-8 once IMAP4rev2 is enabled.

A name has one spelling in each form: another encoding of the same name is refused, so that no alias
of a mailbox exists. What is not in Unicode's form C is taken for the name in that form, in which a
mailbox is created: whoever created it may name it again (RFC 9051 section 5.1).
"""

from __future__ import annotations

import binascii
import unicodedata
from typing import Final

from a3mailer.mail.mailbox import with_inbox
from a3mailer.wire.imap import limits
from a3mailer.wire.imap.errors import BadSyntax

_DIRECT: Final = bytes(c for c in range(0x20, 0x7F) if c != 0x26)


def decode_mailbox(octets: bytes, *, utf8: bool) -> str:
    """A mailbox name in form C; its first level is compared with INBOX without case. Errors: BadSyntax."""
    if len(octets) > limits.MAILBOX_NAME:
        raise BadSyntax("mailbox name too long")
    name = _utf8(octets) if utf8 else decode_utf7(octets)
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    return with_inbox(name)


def _utf8(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        raise BadSyntax("mailbox name is not UTF-8") from error


# mailbox names: printable US-ASCII except "&" stands for itself, "&" is "&-", all else is
# "&" modified-base64 of UTF-16BE "-"
def decode_utf7(octets: bytes) -> str:
    """Modified UTF-7 to text. Errors: BadSyntax, also for any other spelling than ``encode_utf7``'s."""
    if not octets.translate(None, _DIRECT):
        return octets.decode("ascii")
    first, *pieces = octets.split(b"&")
    try:
        out = [first.decode("ascii")]
        for piece in pieces:
            shifted, dash, direct = piece.partition(b"-")
            if not dash:
                raise BadSyntax("mailbox name is not modified UTF-7")
            out += _shifted(shifted), direct.decode("ascii")
    except (UnicodeDecodeError, binascii.Error) as error:
        raise BadSyntax("mailbox name is not modified UTF-7") from error
    text = "".join(out)
    if encode_utf7(text) != octets:
        raise BadSyntax("mailbox name is not in its one modified UTF-7 form")
    return text


def _shifted(base64: bytes) -> str:
    if not base64:
        return "&"
    padded = base64.replace(b",", b"/") + b"=" * (-len(base64) % 4)
    return binascii.a2b_base64(padded).decode("utf-16-be")


def encode_utf7(name: str) -> bytes:
    """Text to modified UTF-7."""
    if name.isascii() and name.isprintable() and "&" not in name:
        return name.encode("ascii")
    out: list[bytes] = []
    shifted: list[str] = []
    for character in name:
        if " " <= character <= "~":
            if shifted:
                out.append(_shift(shifted))
            out.append(b"&-" if character == "&" else character.encode("ascii"))
        else:
            shifted.append(character)
    if shifted:
        out.append(_shift(shifted))
    return b"".join(out)


def _shift(characters: list[str]) -> bytes:
    octets = "".join(characters).encode("utf-16-be", "surrogatepass")
    characters.clear()
    return b"&" + binascii.b2a_base64(octets, newline=False).rstrip(b"=").replace(b"/", b",") + b"-"
