"""Parts as text: whole for SEARCH (RFC 9051 section 6.4.4), their beginning for the preview (RFC 8970).

Bounded by limits TEXT and PREVIEW_OCTETS, linear; nothing here raises on any octets.
"""

from collections.abc import Iterable
from html.entities import html5
from typing import Final

from a3mailer.mail.message import charsets, encodings, limits
from a3mailer.mail.message.octets import Octets
from a3mailer.mail.message.parts import Part

_CANDIDATES: Final = 5  # text parts that are tried for a preview
_FIRST_LOOK: Final = 1_200  # octets; enough for the preview of most mails
_FIRST_LOOK_HTML: Final = 4_096
_ENTITY: Final = 33
_CODE_POINT: Final = 0x10FFFF
_ZERO_WIDTH: Final = "\u00ad\u034f\u200b\u200c\u200d\u200e\u200f\u2060\u3164\ufeff\u115f\u1160\u17b4\u17b5"
_INVISIBLE: Final = {
    **dict.fromkeys((*range(32), *range(127, 160)), " "),  # controls
    **dict.fromkeys((0x61C, *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xFFF9, 0xFFFC))),  # bidi
}
_INLINE: Final = frozenset(
    [
        "a",
        "abbr",
        "b",
        "big",
        "code",
        "del",
        "em",
        "font",
        "i",
        "ins",
        "kbd",
        "label",
        "mark",
        "s",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "tt",
        "u",
        "wbr",
    ]
)
_SKIPPED: Final = ("style", "script", "head", "title")


def decoded_text(octets: Octets, part: Part) -> str:
    """Return the content of a part as text: its transfer encoding undone, then its charset.

    HTML keeps its tags. A part longer than limit TEXT is read up to there.
    """
    return _decoded(octets, part, limits.TEXT)


def _decoded(octets: Octets, part: Part, look: int) -> str:
    raw = octets[part.body : min(part.end, part.body + look)]
    return charsets.decode(encodings.decode(raw, part.encoding), part.charset)


def preview(octets: Octets, parts: Iterable[Part]) -> str:
    """Return the beginning of the first text part that has any, white space collapsed, cut at PREVIEW."""
    tried = 0
    for part in parts:
        if part.media.startswith(b"text/") and part.disposition != b"attachment" and part.end > part.body:
            text = _preview_of(octets, part)
            tried += 1
            if text or tried == _CANDIDATES:
                return text
    return ""


def _preview_of(octets: Octets, part: Part) -> str:
    html = part.media == b"text/html"
    look = _FIRST_LOOK_HTML if html else _FIRST_LOOK
    while True:
        text = _decoded(octets, part, look)
        text = _collapsed(_unescaped(without_tags(text, 2 * limits.PREVIEW)) if html else text)
        if len(text) >= limits.PREVIEW or look >= limits.PREVIEW_OCTETS or part.body + look >= part.end:
            return text[: limits.PREVIEW].rstrip()
        look = limits.PREVIEW_OCTETS


def _collapsed(text: str) -> str:
    words = text.split()
    if text.isascii():
        joined = " ".join(words)
        return joined if joined.isprintable() else joined.translate(_INVISIBLE)
    return " ".join([word for word in words if word.strip(_ZERO_WIDTH)]).translate(_INVISIBLE)


def without_tags(html: str, wanted: int) -> str:
    """Return the text of HTML without tags, comments, style, script and head; block tags become spaces.

    A simple reading for previews, not a sanitiser: it stops after `wanted` characters and leaves entities.
    """
    lower = html.lower()
    if len(lower) != len(html):  # a few letters grow when lowered; the offsets below need equal lengths
        lower = html
    out: list[str] = []
    at = 0
    while wanted > 0:
        tag = html.find("<", at)
        text = html[at:] if tag < 0 else html[at:tag]
        out.append(text)
        wanted -= len(text.strip())
        if tag < 0:
            break
        at, filling = _after_tag(lower, tag)
        out.append(filling)
        if at < 0:
            break
    return "".join(out)


def _after_tag(lower: str, at: int) -> tuple[int, str]:
    """Return the offset after a tag, -1 when it has no end, and the text that stands for it."""
    if lower.startswith("<!--", at):
        end = lower.find("-->", at + 4)
        return (-1 if end < 0 else end + 3), ""
    begin = at + 2 if lower.startswith("/", at + 1) else at + 1
    if not (lower[begin : begin + 1].isalpha() or lower[begin : begin + 1] in ("!", "?")):
        return at + 1, "<"
    end = lower.find(">", begin)
    if end < 0:
        return -1, ""
    words = lower[begin : min(begin + 12, end)].split(None, 1)
    name = words[0].rstrip("/")
    if name in _SKIPPED and begin == at + 1:
        end = lower.find("</" + name, end)
        return (-1 if end < 0 else end + 2 + len(name)), " "
    return end + 1, "" if name in _INLINE else " "


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
