"""Identifiers as every protocol shows them (RFC 8474, RFC 8620 section 1.2): a letter and the number.

A letter, so that no identifier is all digits or begins with a dash; the same in IMAP and JMAP.
"""

from __future__ import annotations

from typing import Final

EMAIL_LETTER: Final = "M"
THREAD_LETTER: Final = "T"
MAILBOX_LETTER: Final = "F"
ACCOUNT_LETTER: Final = "A"
PRINCIPAL_LETTER: Final = "P"
MAX_DIGITS: Final = 18
"""What the store can count."""


# objectid = letter 1*18DIGIT, without leading zeros
def object_id(letter: str, number: int) -> str:
    """The identifier."""
    return f"{letter}{number}"


def number_of(letter: str, identifier: str) -> int | None:
    """The number of an identifier of this letter; None where it is no such identifier."""
    digits = identifier[1:]
    if identifier[:1] != letter or not (digits.isascii() and digits.isdigit()) or len(digits) > MAX_DIGITS:
        return None
    return int(digits) if digits[0] != "0" else None
