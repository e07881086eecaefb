"""SASLprep (RFC 4013): one written form of a name or password, so that equal ones compare equal.

ASCII without controls is returned as it is.  Errors: Unprepared.
"""

from __future__ import annotations

import stringprep
import unicodedata
from typing import Final

from a3mailer.mail.errors import MailError

MAX_LENGTH: Final = 1024
"""Octets of a password or name, before any work is done on it."""

_PROHIBITED: Final = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


class Unprepared(MailError):
    """The text cannot be a name or a password (RFC 4013 section 2.3, 2.4), or is too long."""


def saslprep(text: str) -> str:
    """The prepared form. Unassigned code points are allowed, as in a query (RFC 4013 section 2.5)."""
    if len(text) > MAX_LENGTH or len(encoded := text.encode("utf-8", "surrogatepass")) > MAX_LENGTH:
        raise Unprepared(f"longer than {MAX_LENGTH} octets")
    if encoded.isascii():
        if not text.isprintable():
            raise Unprepared("control characters")
        return text
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c))
    prepared = unicodedata.normalize("NFKC", mapped)
    if any(prohibited(c) for c in prepared for prohibited in _PROHIBITED):
        raise Unprepared("prohibited characters")
    _check_bidi(prepared)
    return prepared


def _check_bidi(text: str) -> None:
    """RFC 3454 section 6: right-to-left text stands alone and at both ends."""
    if not any(stringprep.in_table_d1(c) for c in text):
        return
    if any(stringprep.in_table_d2(c) for c in text):
        raise Unprepared("mixed writing directions")
    if not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])):
        raise Unprepared("mixed writing directions")
