"""body (RFC 5173): what stands in the parts of a mail, decoded, or its body as it came.

A script sees at most BODY octets of each reading; the rest is not looked at, and that is no error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from a3mailer.mail.message import encodings
from a3mailer.mail.message.headers import header_end
from a3mailer.mail.message.octets import Octets
from a3mailer.mail.message.parts import MESSAGES, Part
from a3mailer.mail.message.text import decoded_text, without_tags
from a3mailer.wire.sieve.extensions.core import KEYS
from a3mailer.wire.sieve.machine import BODY as KEPT
from a3mailer.wire.sieve.machine import Call, Machine
from a3mailer.wire.sieve.vocabulary import MATCHING, Extension, Kind, Role, Tag, Word

BODY: Final = 512 * 1024
"""Octets of one reading, all parts together."""
READING: Final = 6
"""Shift: octets that are made text of for one step."""
TRANSFORM: Final = "transform"


def _body(machine: Machine, call: Call) -> bool:
    octets = machine.octets
    end = header_end(octets, 0, len(octets))
    empty_line = octets[max(end - 3, 0) : end].endswith((b"\n\n", b"\n\r\n")) or 0 < end <= 2
    if not empty_line:
        return False
    matched = machine.matched
    try:
        return call.matches(machine, _read(machine, call, end), call.strings(0))
    finally:
        machine.matched = matched  # RFC 5173 section 6: no match variables are set


def _read(machine: Machine, call: Call, end: int) -> list[bytes]:
    """The strings of one reading; made once a run."""
    how = call.tag(TRANSFORM) or "text"
    wanted = tuple(text.lower() for text in call.tag_strings(TRANSFORM))
    remembered = machine.kept.setdefault(KEPT, {})
    assert isinstance(remembered, dict)
    found = remembered.get((how, wanted))
    if found is None:
        if how == "text":  # HTML is taken apart
            machine.charge(min(len(machine.octets) - end, BODY) >> READING)
        found = _cut(_texts(machine.octets, machine.parts, how, wanted, end))
        machine.hold(sum(map(len, found)))
        remembered[how, wanted] = found
    made: list[bytes] = found
    return made


def _cut(texts: Iterator[bytes]) -> list[bytes]:
    out = []
    left = BODY
    for text in texts:
        out.append(text[:left])
        left -= len(text)
        if left <= 0:
            break
    return out


def _texts(
    octets: Octets, parts: Sequence[Part], how: str, wanted: tuple[bytes, ...], end: int
) -> Iterator[bytes]:
    if how == "raw":
        yield octets[end : end + BODY]
        return
    for number, part in enumerate(parts):
        if how == "text":
            if part.media.startswith(b"text/") and _is_type(part.media):
                yield _text(octets, part)
        elif any(_is(part.media, kind) for kind in wanted):
            yield from _content(octets, parts, number)


def _is(media: bytes, wanted: bytes) -> bool:
    """RFC 5173 section 5.2: nothing is every type, a word without a slash every subtype."""
    if b"/" in wanted:
        return media == wanted and _is_type(media)
    return not wanted or media.partition(b"/")[0] == wanted


def _is_type(media: bytes) -> bool:
    """One slash, between two words."""
    kind, _, subtype = media.partition(b"/")
    return bool(kind and subtype) and b"/" not in subtype


def _text(octets: Octets, part: Part) -> bytes:
    """Text as UTF-8, HTML without its tags."""
    short = part._replace(end=min(part.end, part.body + BODY))
    text = decoded_text(octets, short)
    return (without_tags(text, len(text)) if part.media == b"text/html" else text).encode()


def _content(octets: Octets, parts: Sequence[Part], number: int) -> Iterator[bytes]:
    part = parts[number]
    if part.media.startswith(b"multipart/"):
        yield from _around(octets, part, [each for each in parts if each.parent == number])
    elif part.media in MESSAGES:
        yield _header(octets[part.body : min(header_end(octets, part.body, part.end), part.body + BODY)])
    elif part.media.startswith(b"text/"):
        yield decoded_text(octets, part._replace(end=min(part.end, part.body + BODY))).encode()
    else:
        yield encodings.decode(octets[part.body : min(part.end, part.body + BODY)], part.encoding)


def _header(octets: bytes) -> bytes:
    """Without the empty line behind it."""
    for end, line in ((b"\r\n", 2), (b"\n", 1)):
        if octets.endswith(end + end) or octets == end:
            return octets[:-line]
    return octets


def _around(octets: Octets, part: Part, children: list[Part]) -> Iterator[bytes]:
    """The prologue and the epilogue of a multipart."""
    if not children:
        yield octets[part.body : min(part.end, part.body + BODY)]
        return
    first = octets[max(part.body, children[0].start - BODY) : children[0].start]
    yield first[: first[:-1].rfind(b"\n") + 1]
    behind = octets[children[-1].end : min(part.end, children[-1].end + BODY)]
    close = behind.find(b"\n", behind.find(b"\n") + 1)  # the line end before the delimiter, then its own
    yield behind[close + 1 :] if close >= 0 else b""


EXTENSION: Final = Extension(
    "body",
    words=(
        Word(
            "body",
            Role.TEST,
            _body,
            (KEYS,),
            (
                Tag("raw", group=TRANSFORM),
                Tag("text", group=TRANSFORM),
                Tag("content", Kind.STRINGS, TRANSFORM),
            ),
            MATCHING,
        ),
    ),
)
