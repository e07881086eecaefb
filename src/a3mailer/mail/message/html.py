"""The text that HTML shows, for searching: tags, comments, scripts and styles dropped, references replaced.

A simple reading, not a sanitiser. What is not closed is text, so nothing that a reader may see is lost. A tag
that stands inside words leaves no space. Linear; nothing here raises.
"""

import html
import re
from typing import Final

_ELEMENTS: Final = ("script", "style")
_INLINE: Final = re.compile(
    r"</?+(?:a|abbr|b|bdi|bdo|big|cite|code|del|dfn|em|font|i|ins|kbd|mark|q|s|samp|small|span|strike"
    r"|strong|sub|sup|tt|u|var|wbr)(?:[\s/][^<>]*+)?+>",
    re.IGNORECASE,
)
_TAG: Final = re.compile(r"<[a-z/!?][^<>]*+>", re.IGNORECASE)
_ZEROES: Final = re.compile(r"(?<=&#)0{8,}+")
_BEYOND: Final = re.compile(r"&#[0-9]{9,}+;?")


def html_text(text: str) -> str:
    """Return the text that is shown, with spaces where tags stood."""
    text = _without(text, "<!--", "-->", text)
    lower = text.lower()
    if len(lower) != len(text):  # a letter became two
        lower = text = lower
    for name in _ELEMENTS:
        if f"<{name}" in lower:
            text = _without(text, f"<{name}", f"</{name}", lower)
            lower = text.lower()
            if len(lower) != len(text):
                lower = text = lower
    return unescaped(_TAG.sub(" ", _INLINE.sub("", text)))


def unescaped(text: str) -> str:
    """Return text with its character references replaced: U+FFFD for a number that is no character.

    QUIRK: Python refuses to read a number of more than 4,300 digits, leading zeroes included."""
    if "&#" in text:
        text = _BEYOND.sub("\ufffd", _ZEROES.sub("0", text))
    return html.unescape(text)


def _without(text: str, begin: str, end: str, looked_at: str) -> str:
    """Drop everything from each ``begin`` through the ">" of the next ``end``, found in ``looked_at``."""
    first = looked_at.find(begin)
    if first < 0:
        return text
    kept: list[str] = []
    at = 0
    while first >= 0:
        last = _closed(looked_at, end, first + len(begin))
        if last < 0:
            break
        kept.append(text[at:first])
        at = last + 1
        first = looked_at.find(begin, at)
    kept.append(text[at:])
    return "".join(kept)


def _closed(text: str, end: str, start: int) -> int:
    last = text.find(end, start)
    return -1 if last < 0 else text.find(">", last)
