"""Parts as text: whole for SEARCH (RFC 9051 section 6.4.4), their beginning for the preview (RFC 8970).

Bounded by limits TEXT and PREVIEW_OCTETS, linear; nothing here raises on any octets.
"""

import re
from collections.abc import Iterable, Iterator
from html.entities import html5
from typing import Final

from a3mailer.mail.message import charsets, encodings, limits
from a3mailer.mail.message.octets import Octets
from a3mailer.mail.message.parts import Part

_CANDIDATES: Final = 5  # text parts that are tried for a preview
_FIRST_LOOK: Final = 512  # octets; enough for the preview of most mails, four times that is looked at next
_FIRST_LOOK_HTML: Final = 6_144
_WANTED: Final = limits.PREVIEW + limits.PREVIEW // 2  # some of it is white space and references
_GLANCE: Final = 256  # octets; enough for nearly all plain text that is written in US-ASCII
_CUT: Final = 8  # characters before a cut in encoded text that may differ from those without the cut
_SELF_EVIDENT: Final = frozenset(("", "utf_8", "cp1252", "iso8859_2", "iso8859_15", None))  # read US-ASCII
_UTF_8: Final = frozenset(("utf_8", None))  # an unknown charset is read as UTF-8
_SPACED: Final = bytes(
    32 if 9 <= c < 14 or 28 <= c < 32 else c for c in range(256)
)  # white space of str.split
_SHOWN: Final = bytes(32 if c < 32 or c == 127 else c for c in range(256))
_LATER_CONTROLS: Final = re.compile(rb"\xc2[\x80-\x84\x86-\x9f]")  # U+0080 and on in UTF-8, but white space
_UNUSUAL: Final = re.compile(  # white space, what is not seen, what is not shown
    "[\x80-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u2000-\u200f\u2028-\u202f"
    "\u205f\u2060\u2066-\u2069\u3000\u3164\ufeff\ufff9-\ufffb]"
)
_ENTITY: Final = 33
_CODE_POINT: Final = 0x10FFFF
_ZERO_WIDTH: Final = "\u00ad\u034f\u200b\u200c\u200d\u200e\u200f\u2060\u3164\ufeff\u115f\u1160\u17b4\u17b5"
_INVISIBLE: Final = {
    **{c: c for c in (*range(0x600), 0xFFFD)},  # one that is not in the table costs an exception inside
    **dict.fromkeys((*range(32), *range(127, 160)), " "),  # controls
    **dict.fromkeys((0x61C, *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xFFF9, 0xFFFC))),  # bidi
}
_INLINE_NAMES: Final = ("a", "b", "em", "font", "i", "s", "small", "span", "strong", "sub", "sup", "u", "wbr")
_INLINE: Final = frozenset((*_INLINE_NAMES, *("/" + name for name in _INLINE_NAMES)))
_INLINE_BEGINS: Final = tuple(name + " " for name in _INLINE_NAMES)
_SKIPPED: Final = frozenset(("head", "script", "style", "title"))
_SKIPPED_BEGINS: Final = frozenset(("he", "HE", "He", "sc", "SC", "Sc", "st", "ST", "St", "ti", "TI", "Ti"))


def decoded_text(octets: Octets, part: Part) -> str:
    """Return the content of a part as text: its transfer encoding undone, then its charset.

    HTML keeps its tags. A part longer than limit TEXT is read up to there.
    """
    raw = octets[part.body : min(part.end, part.body + limits.TEXT)]
    return charsets.decode(encodings.decode(raw, part.encoding), part.charset)


def preview(octets: Octets, parts: Iterable[Part]) -> str:
    """Return the beginning of the first text part that has any, white space collapsed, cut at PREVIEW."""
    tried = 0
    for part in parts:
        if part.media.startswith(b"text/") and part.disposition != b"attachment" and part.end > part.body:
            found = None if part.media == b"text/html" else at_a_glance(octets, part)
            text = preview_general(octets, part) if found is None else found
            tried += 1
            if text or tried == _CANDIDATES:
                return text
    return ""


def preview_general(octets: Octets, part: Part) -> str:
    """Return the preview of any one text part."""
    html = part.media == b"text/html"
    start, end = part.body, part.end
    look = _FIRST_LOOK_HTML if html else _FIRST_LOOK
    if html and part.encoding != b"base64":
        window = octets[start : min(end, start + limits.PREVIEW_OCTETS)]
        start += max(0, window.find(b"<body"), window.find(b"<BODY"))
    while True:
        raw = encodings.decode(octets[start : min(end, start + look)], part.encoding)
        text = charsets.decode(_uncut(raw) if start + look < end else raw, part.charset)
        text = _collapsed(_unescaped(without_tags(text, _WANTED)) if html else text)
        if len(text) >= limits.PREVIEW or look >= limits.PREVIEW_OCTETS or start + look >= end:
            return text[: limits.PREVIEW].rstrip()
        look *= 4


def _uncut(octets: bytes) -> bytes:
    """Drop a UTF-8 character that the end cuts in two: the rest might be taken for another charset."""
    for back in range(1, min(4, len(octets)) + 1):
        octet = octets[-back]
        if octet >= 0xC0:
            length = 2 if octet < 0xE0 else 3 if octet < 0xF0 else 4
            return octets[:-back] if back < length else octets
        if octet < 0x80:
            break
    return octets


def at_a_glance(octets: Octets, part: Part) -> str | None:
    """Return the preview of plain text that is seen in its first octets, None where they are not enough.

    White space is collapsed before the octets become characters, so they must be US-ASCII or said to be
    UTF-8, and nothing in them may be invisible.
    """
    start, end = part.body, part.end
    raw = encodings.decode(octets[start : min(end, start + _GLANCE)], part.encoding)
    plain = raw.isascii()
    if charsets.decoder_of(part.charset) not in (_SELF_EVIDENT if plain else _UTF_8):
        return None
    raw = raw.translate(_SPACED).replace(b"  ", b" ")
    while raw.find(b"  ") >= 0:
        raw = raw.replace(b"  ", b" ")
    raw = raw.strip(b" ").translate(_SHOWN)
    text = raw.decode() if plain else _LATER_CONTROLS.sub(b" ", raw).decode("utf_8", "replace")
    if len(text) < limits.PREVIEW + _CUT and end - start > _GLANCE:
        return None
    if not plain and _UNUSUAL.search(text):
        return None
    return text[: limits.PREVIEW].rstrip()


def _collapsed(text: str) -> str:
    words = text.split()
    joined = " ".join(words)
    if joined.isprintable():
        return joined
    visible = " ".join([word for word in words if word.strip(_ZERO_WIDTH)])
    return visible[:_WANTED].translate(_INVISIBLE)  # a character a lookup: no more than can be shown


def without_tags(html: str, wanted: int) -> str:
    """Return the text of HTML without tags, comments, style, script and head; tags become spaces.

    A simple reading for previews, not a sanitiser: it stops after `wanted` characters of text. A single tag
    of those that stand inside words leaves no space; character references stay.
    """
    if "<!--" in html:
        html = _without_comments(html)
    text, *pieces = html.split("<")
    out = [text]
    for tag, after in _shown(pieces):
        if after:
            inside = text and (tag in _INLINE or tag.startswith(_INLINE_BEGINS))
            out.append(after if inside else " " + after)
            wanted -= len(after.strip())
            if wanted <= 0:
                break
        text = after
    return "".join(out)


def _shown(pieces: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield (tag, text after it) of the pieces of HTML between "<" and "<" that are not skipped."""
    until = ""  # the end tag of what is being skipped
    for piece in pieces:
        if until:
            if piece[: len(until)].lower() != until:
                continue
            until = ""
        tag, closed, after = piece.partition(">")
        if closed:
            if tag[:2] in _SKIPPED_BEGINS:
                until = _end_of_skipped(tag)
            if not until:
                yield tag, after
        elif not piece[:1].isalpha():  # else a tag that is cut, or has a "<" in an attribute
            yield "", "<" + piece


def _end_of_skipped(tag: str) -> str:
    name = tag[:7].split(None, 1)[0].lower()
    return "/" + name if name in _SKIPPED else ""


def _without_comments(html: str) -> str:
    kept, *pieces = html.split("<!--")
    return kept + "".join([piece.partition("-->")[2] for piece in pieces])


def _unescaped(text: str) -> str:
    """Return text with its character references replaced, those that are none left as they are."""
    pieces = text.split("&")
    out = [pieces[0]]
    for piece in pieces[1:]:
        name, semicolon, _ = piece[:_ENTITY].partition(";")
        character = _character(name) if semicolon else None
        out.append("&" + piece if character is None else character + piece[len(name) + 1 :])
    return "".join(out)


def _character(name: str) -> str | None:
    if not name.startswith("#"):
        return html5.get(name + ";")
    digits, radix = (name[2:], 16) if name[1:2] in ("x", "X") else (name[1:], 10)
    if len(digits) > 8 or not (digits.isascii() and digits.isalnum()):
        return None
    try:
        code = int(digits, radix)
    except ValueError:
        return None
    if code == 0 or code > _CODE_POINT or 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return chr(code)
