"""Macros of SPF policies and explanations: read and expanded (RFC 7208 section 7).

Pure and total: a text that breaks the grammar is None. What the letters stand for is handed in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import quote

MAX_MACROS: Final = 64
"""Macros of one text; a name of 253 octets has no use for more."""
MAX_NAME: Final = 253
"""Octets of a domain name that can be asked for (section 7.3)."""
MAX_LABEL: Final = 63
"""Octets of a label (RFC 1035 section 2.3.4)."""
EXPLAIN_ONLY: Final = frozenset("crt")
"""Letters that only an explanation may use."""


class Macro(NamedTuple):
    """``%{letter keep r delimiters}``: the rightmost ``keep`` parts (0: all), joined by dots."""

    letter: str
    keep: int = 0
    reverse: bool = False
    delimiters: str = "."
    escape: bool = False
    """Written in upper case: the value is URL-escaped."""


MacroString = tuple[str | Macro, ...]

_PIECE: Final = re.compile(
    r"(?P<literal>[\x21-\x24\x26-\x7e]+)|(?P<space> +)|%(?P<sign>[%_-])"
    r"|%\{(?P<letter>[slodiphcrtv])(?P<keep>[0-9]*)(?P<reverse>r?)(?P<delimiters>[-.+,/_=]*)\}",
    re.IGNORECASE,
)
_SIGNS: Final = {"%": "%", "_": " ", "-": "%20"}


def _macro(found: re.Match[str]) -> Macro | None:
    """None for %{l0}: no parts at all (section 7.1)."""
    letter, digits = found["letter"], found["keep"]
    keep = int(digits.lstrip("0")[:3] or "0")
    if digits and not keep:
        return None
    return Macro(letter.lower(), keep, bool(found["reverse"]), found["delimiters"] or ".", letter.isupper())


# explain-string = *( macro-string / SP )
# macro-string   = *( macro-expand / macro-literal )
# macro-expand   = ( "%{" macro-letter transformers *delimiter "}" ) / "%%" / "%_" / "%-"
# macro-literal  = %x21-24 / %x26-7E
# macro-letter   = "s" / "l" / "o" / "d" / "i" / "p" / "h" / "c" / "r" / "t" / "v"
# transformers   = *DIGIT [ "r" ]
# delimiter      = "." / "-" / "+" / "," / "/" / "_" / "="
def parse_macros(text: str, *, explain: bool = False) -> MacroString | None:
    """The pieces of a macro-string, or of an explain-string; None where it is none."""
    if not explain and "%" not in text:
        found = _PIECE.fullmatch(text)
        return (text,) if found is not None and found["literal"] else None if text else ()
    pieces: list[str | Macro] = []
    macros = at = 0
    while at < len(text):
        found = _PIECE.match(text, at)
        if found is None or (found["space"] and not explain):
            return None
        at = found.end()
        if not found["letter"]:
            pieces.append(_SIGNS[found["sign"]] if found["sign"] else found[0])
            continue
        macro = _macro(found)
        macros += 1
        if macro is None or macros > MAX_MACROS or (not explain and macro.letter in EXPLAIN_ONLY):
            return None
        pieces.append(macro)
    return tuple(pieces)


# toplabel = ( *alphanum ALPHA *alphanum ) / ( 1*alphanum "-" *( alphanum / "-" ) alphanum )
def _toplabel(label: str) -> bool:
    return label.replace("-", "0").isalnum() and not label.isdigit() and "-" not in (label[0], label[-1])


# domain-spec = macro-string domain-end
# domain-end  = ( "." toplabel [ "." ] ) / macro-expand
def parse_domain(text: str) -> MacroString | None:
    """The pieces of a domain-spec; None where it is none."""
    pieces = parse_macros(text)
    if not pieces:
        return None
    if isinstance(pieces[-1], Macro) or text.endswith(("%%", "%_", "%-")):
        return pieces
    _, dot, label = text.removesuffix(".").rpartition(".")
    return pieces if dot and _toplabel(label) else None


def letters(macros: MacroString) -> frozenset[str]:
    """The letters a text uses."""
    return frozenset(piece.letter for piece in macros if isinstance(piece, Macro))


def _expand(macro: Macro, value: str) -> str:
    """Section 7.3: split, reversed, the right-hand parts kept, joined by dots, URL-escaped."""
    if macro.keep or macro.reverse or macro.delimiters != ".":
        if macro.delimiters != ".":
            value = value.translate({ord(c): "\0" for c in macro.delimiters})
            parts = value.split("\0")
        else:
            parts = value.split(".")
        if macro.reverse:
            parts.reverse()
        value = ".".join(parts[-macro.keep :])
    return quote(value, safe="") if macro.escape else value


def expand(macros: MacroString, values: Mapping[str, str]) -> str:
    """The text with every macro replaced by the value of its letter."""
    return "".join(
        piece if isinstance(piece, str) else _expand(piece, values[piece.letter]) for piece in macros
    )


def as_name(text: str) -> str:
    """What an expanded domain-spec asks for: no final dot; labels on the left go until it is short enough."""
    text = text.removesuffix(".")
    return text if len(text) <= MAX_NAME else text[-MAX_NAME - 1 :].partition(".")[2]


_NAME: Final = re.compile(rf"[^.]{{1,{MAX_LABEL}}}(?:\.[^.]{{1,{MAX_LABEL}}})*")


def is_name(text: str) -> bool:
    """Whether the DNS can be asked for it: ASCII labels of 1 to 63 octets, at most 253 in all."""
    return len(text) <= MAX_NAME and text.isascii() and _NAME.fullmatch(text) is not None
