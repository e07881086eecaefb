"""Grams: the three characters that follow each other anywhere in a text, as numbers of buckets.

Of scripts without spaces between words, where a needle of one or two characters is usual, pairs and single
characters count too. A bucket stands for many grams; what a filter lets through is looked at anyway.
"""

from __future__ import annotations

from typing import Final

BUCKETS: Final = 1 << 14
SHIFT: Final = 32 - 14
FACTORS: Final = (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35, 0x2C1B3C6D)
WIDE: Final = 0x2E80
"""From this character on (CJK, Hangul, Kana and beyond) pairs and single characters are grams."""
_WORD: Final = 0xFFFFFFFF


def bucket(first: int, second: int, third: int) -> int:
    """The bucket of a gram; characters that are not there are 0."""
    mixed = (first * FACTORS[0] ^ second * FACTORS[1] ^ third * FACTORS[2]) & _WORD
    mixed ^= mixed >> 15
    return (mixed * FACTORS[3] & _WORD) >> SHIFT


def buckets_of(needle: str) -> set[int]:
    """The buckets that are set for every text that holds the needle; none when it says too little."""
    codes = [ord(character) for character in needle]
    if len(codes) > 2:
        return {bucket(codes[at], codes[at + 1], codes[at + 2]) for at in range(len(codes) - 2)}
    if len(codes) == 2 and min(codes) >= WIDE:
        return {bucket(codes[0], codes[1], 0)}
    return {bucket(code, 0, 0) for code in codes if code >= WIDE}
