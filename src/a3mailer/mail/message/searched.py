"""What of a mail is searched: its header and its texts, decoded, without case and without extra white space.

One text a mail, the same whether it is made at the moment of the search or was kept by an index: RFC 9051
section 6.4.4 (decoded header fields and text parts, substrings without case), RFC 8621 section 4.4.1 (what is
shown to a reader, not markup). i;unicode-casemap (RFC 5051) is approached by case folding and canonical
composition. White space is one space, so that a phrase is found over the end of a line.

Bounded by limits SEARCHED (octets of a mail) and TEXT (of a part); linear; nothing here raises.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from a3mailer.mail.message import limits
from a3mailer.mail.message.html import html_text
from a3mailer.mail.message.index import MessageIndex
from a3mailer.mail.message.octets import Octets
from a3mailer.mail.message.parts import MESSAGES, Part
from a3mailer.mail.message.text import decoded_text
from a3mailer.mail.message.words import decode_words

_NAME: Final = 80  # octets of the name of a field that is remembered
_NOTHING: Final[Mapping[int, str]] = {}
_BETWEEN: Final = str.maketrans('<>,"', "    ")
_UNUSUAL: Final = re.compile(rb"[^\n\x20-\x7e]|=\?|  | \n|\n |\n[^:\n]*+\n|\n[^:\n]*+:(?! )|\n[^:\n]* :")
"""What keeps an unfolded header, between line ends, from being read as a whole."""


class Searched(NamedTuple):
    """``header`` has a field a line, ``name: value``; ``body`` a part a line. Both folded and collapsed."""

    header: str
    body: str


def fold(text: str) -> str:
    """The form in which texts are compared."""
    if text.isascii():
        return text.lower()
    text = text.casefold()
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def collapse(text: str) -> str:
    """Every run of white space as one space, at the ends too."""
    words = text.split()
    if not words:
        return " " if text else ""
    before = " " if text[0].isspace() else ""
    after = " " if text[-1].isspace() else ""
    return f"{before}{' '.join(words)}{after}"


def needle(text: str) -> str:
    """A text that is looked for, in the form of what it is looked for in."""
    return collapse(fold(text))


def pieces(text: str) -> list[str]:
    """The pieces of a folded text between white space, commas, quotes and angle brackets.

    Where a text holds another, each piece of the other stands inside a piece of it."""
    return text.translate(_BETWEEN).split()


def searched(octets: Octets, index: MessageIndex, extracted: Mapping[int, str] = _NOTHING) -> Searched:
    """Return what is searched of a mail; ``extracted`` is the text of parts that are none, by their place.

    ``octets`` may be the beginning of the mail only (limit SEARCHED)."""
    return Searched(
        header_lines(octets[: index.header_end]), "\n".join(list(_bodies(octets, index, extracted)))
    )


def header_lines(block: bytes) -> str:
    """Each field of a header as one folded line, ``name: value``."""
    block = block.replace(b"\r\n", b"\n").replace(b"\n ", b" ").replace(b"\n\t", b" ").rstrip(b"\n")
    if _UNUSUAL.search(b"\n%b\n" % block) is None:
        return f"{block.decode('ascii').lower()}\n" if block else ""
    return "".join(_lines(block.split(b"\n")))


def _lines(lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        name, colon, value = line.partition(b":")
        if colon:
            yield f"{_plain(name) if len(name) > _NAME else _name(name)}: {_plain(value)}\n"
        elif line:
            yield f"{_plain(line)}\n"


def _plain(value: bytes) -> str:
    return collapse(fold(decode_words(value))).strip()


@lru_cache(limits.REMEMBERED)
def _name(name: bytes) -> str:
    return _plain(name)


def values(header: str, name: str) -> list[str]:
    """The values of all fields of a name (lower case) in a ``Searched.header``."""
    mark = f"{name}: "
    if mark not in header or ":" in name:
        return []
    return [line[len(mark) :] for line in header.split("\n") if line.startswith(mark)]


def _bodies(octets: Octets, index: MessageIndex, extracted: Mapping[int, str]) -> Iterator[str]:
    for number, part in enumerate(index.parts):
        if number in extracted:
            yield collapse(fold(extracted[number]))
        elif part.media in MESSAGES and number + 1 < len(index.parts):
            inner = index.parts[number + 1]
            yield header_lines(octets[inner.start : inner.body])
        elif part.media.startswith(b"text/"):
            yield collapse(fold(_shown(octets, part)))


def _shown(octets: Octets, part: Part) -> str:
    text = decoded_text(octets, part)
    return html_text(text) if part.media == b"text/html" else text
