"""i;unicode-casemap (RFC 5051): the form in which strings are put in order, without case and composition.

Python compares strings by code points, which is the order of their UTF-8 octets (section 2, the note).
"""

from __future__ import annotations

import unicodedata


class _Prepared(dict[int, str]):
    """What becomes of a code point, found out once each."""

    def __missing__(self, point: int) -> str:
        character = chr(point)
        title = character.title()
        if len(title) == 1:  # longer ones are special casings, which UnicodeData.txt does not have
            character = title
        found = self[point] = unicodedata.normalize("NFKD", character)
        return found


_PREPARED = _Prepared()


def casemap(text: str) -> str:
    """The "titlecased canonicalized" form of a text: two that are equal in it are the same string."""
    if text.isascii():
        return text.upper()
    return text.translate(_PREPARED)
