"""LIST patterns (RFC 9051 section 6.3.9): ``*`` matches anything, ``%`` anything but the delimiter.

All places of the pattern are followed at once, as the bits of one number, so the work is the length
of the name times a few operations on that number: no pattern is exponential.
"""

from __future__ import annotations

from typing import Final

DELIMITER: Final = "/"


class Pattern:
    """One pattern, ready to match many names."""

    __slots__ = ("_any", "_final", "_letters", "_literal", "_start", "_wild")

    def __init__(self, pattern: str) -> None:
        pattern = _collapsed(pattern)
        self._literal = pattern if not ("*" in pattern or "%" in pattern) else None
        self._letters: dict[str, int] = {}
        self._any = self._wild = 0
        for place, letter in enumerate(pattern):
            bit = 1 << place
            if letter == "*":
                self._any |= bit
                self._wild |= bit
            elif letter == "%":
                self._wild |= bit
            else:
                self._letters[letter] = self._letters.get(letter, 0) | bit
        self._final = 1 << len(pattern)
        self._start = self._skip(1)

    def _skip(self, places: int) -> int:
        """A wildcard may also match nothing."""
        return places | (places & self._wild) << 1

    def matches(self, name: str) -> bool:
        """Whether the whole name matches."""
        if self._literal is not None:
            return name == self._literal
        places = self._start
        letters, wild = self._letters, self._wild
        for letter in name:
            stay = places & (self._any if letter == DELIMITER else wild)
            places = stay | (places & letters.get(letter, 0)) << 1
            if not places:
                return False
            places |= (places & wild) << 1
        return bool(places & self._final)


def _collapsed(pattern: str) -> str:
    """Neighbouring wildcards as the one that is as strong."""
    out: list[str] = []
    for letter in pattern:
        if letter in "*%" and out and out[-1] in ("*", "%"):
            if letter == "*":
                out[-1] = "*"
            continue
        out.append(letter)
    return "".join(out)
