"""Making the filter of a volume: a bit for each bucket and mail. Only who makes an index needs numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from a3mailer.store.backends.sqlite.texts.grams import BUCKETS, FACTORS, SHIFT, WIDE

_F1, _F2, _F3, _F4 = map(np.uint32, FACTORS)
_EIGHT: Final = 8


def _mixed(codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    codes ^= codes >> np.uint32(15)
    codes *= _F4
    codes >>= np.uint32(SHIFT)
    return codes


def _mark(bits: NDArray[np.uint8], text: str) -> None:
    """Set the octets of the buckets of a text."""
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)
    first, second = codes * _F1, codes * _F2
    if len(codes) > 2:
        bits[_mixed(first[:-2] ^ second[1:-1] ^ codes[2:] * _F3)] = 1
    if not text.isascii():
        wide = codes >= WIDE
        bits[_mixed(first[wide])] = 1
        bits[_mixed((first[:-1] ^ second[1:])[wide[:-1] & wide[1:]])] = 1


def rows_of(texts: Sequence[str]) -> bytes:
    """A row a bucket, of a bit a text each, the first in the highest bit; rows are whole octets."""
    octets = -(-len(texts) // _EIGHT)
    packed = np.zeros((octets, BUCKETS), np.uint8)
    marks = np.empty((_EIGHT, BUCKETS), np.uint8)
    for number in range(octets):
        marks.fill(0)
        for place, text in enumerate(texts[number * _EIGHT : (number + 1) * _EIGHT]):
            _mark(marks[place], text)
        packed[number] = np.packbits(marks, axis=0)[0]
    return packed.T.tobytes()
