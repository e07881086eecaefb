"""Comparators (RFC 4790): which octets are the same, and which come first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

_DIGITS: Final = b"0123456789"


class Comparator(NamedTuple):
    """``key`` maps a string to a value that equals and orders as the comparator wants it."""

    name: str
    key: Callable[[bytes], bytes]
    substring: bool = True
    order: bool = True


def _same(value: bytes) -> bytes:
    return value


def _casemap(value: bytes) -> bytes:
    """RFC 4790 section 9.2: lower-case US-ASCII letters become upper-case ones."""
    return value.upper()


def _numeric(value: bytes) -> bytes:
    """RFC 4790 section 9.1: the number at the beginning; what begins with none is more than every number.

    As octets that order alike, the length in front: no number is too long, and nothing is converted."""
    digits = value[: len(value) - len(value.lstrip(_DIGITS))]
    if not digits:
        return b"\xff"
    digits = digits.lstrip(b"0")
    return len(digits).to_bytes(4, "big") + digits


OCTET: Final = Comparator("i;octet", _same)
ASCII_CASEMAP: Final = Comparator("i;ascii-casemap", _casemap)
ASCII_NUMERIC: Final = Comparator("i;ascii-numeric", _numeric, substring=False)
BUILT_IN: Final = (OCTET, ASCII_CASEMAP)
"""Those no script needs to require (RFC 5228 section 2.7.3)."""
