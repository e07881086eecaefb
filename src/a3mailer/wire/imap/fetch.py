"""What FETCH may ask for (RFC 9051 section 6.4.5, RFC 3501 section 6.4.5, RFC 7162, RFC 8474)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from a3mailer.wire.imap import limits
from a3mailer.wire.imap.parser import DIGITS, Parser


class Item(Enum):
    """Data items without a section; the value is the word of the response."""

    UID = b"UID"
    FLAGS = b"FLAGS"
    INTERNALDATE = b"INTERNALDATE"
    SIZE = b"RFC822.SIZE"
    ENVELOPE = b"ENVELOPE"
    BODY = b"BODY"
    """BODYSTRUCTURE without extension data."""
    BODYSTRUCTURE = b"BODYSTRUCTURE"
    MODSEQ = b"MODSEQ"
    EMAILID = b"EMAILID"
    THREADID = b"THREADID"
    SAVEDATE = b"SAVEDATE"
    PREVIEW = b"PREVIEW"


class Kind(Enum):
    """How the octets of a section come out."""

    BODY = 1
    BINARY = 2
    """Content-Transfer-Encoding removed (RFC 3516)."""
    BINARY_SIZE = 3


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a message: ``part`` numbers, then ``text``: ``""``, HEADER, TEXT, MIME, FIELDS, NOT."""

    kind: Kind
    part: tuple[int, ...] = ()
    text: str = ""
    fields: tuple[bytes, ...] = ()
    start: int | None = None
    size: int = 0
    peek: bool = False
    label: bytes = b""
    """The name of the item in the response, without the origin octet."""
    names: frozenset[bytes] = frozenset()
    """``fields`` in lower case."""


@dataclass(frozen=True, slots=True)
class FetchItems:
    """What one FETCH asks for, each once."""

    items: tuple[Item, ...] = ()
    sections: tuple[Section, ...] = ()

    @property
    def sets_seen(self) -> bool:
        """Whether reading marks the message \\Seen."""
        return any(not section.peek for section in self.sections)

    @property
    def unseen(self) -> FetchItems:
        """The same, read without setting \\Seen: what is told unasked nobody has looked at."""
        return FetchItems(self.items, tuple(replace(section, peek=True) for section in self.sections))


_FAST: Final = (Item.FLAGS, Item.INTERNALDATE, Item.SIZE)
_MACROS: Final[dict[bytes, tuple[Item, ...]]] = {
    b"FAST": _FAST,
    b"ALL": (*_FAST, Item.ENVELOPE),
    b"FULL": (*_FAST, Item.ENVELOPE, Item.BODY),
}
_ITEMS: Final = {item.value: item for item in Item}
_RFC822: Final = {
    b"RFC822": Section(Kind.BODY, label=b"RFC822"),
    b"RFC822.HEADER": Section(Kind.BODY, text="HEADER", peek=True, label=b"RFC822.HEADER"),
    b"RFC822.TEXT": Section(Kind.BODY, text="TEXT", label=b"RFC822.TEXT"),
}
_ITEM_CHARS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789."
_TEXTS: Final = {
    b"HEADER": "HEADER",
    b"TEXT": "TEXT",
    b"MIME": "MIME",
    b"HEADER.FIELDS": "FIELDS",
    b"HEADER.FIELDS.NOT": "NOT",
}
_SECTIONS: Final = {
    b"BODY": (Kind.BODY, False),
    b"BODY.PEEK": (Kind.BODY, True),
    b"BINARY": (Kind.BINARY, False),
    b"BINARY.PEEK": (Kind.BINARY, True),
    b"BINARY.SIZE": (Kind.BINARY_SIZE, True),
}


# fetch = ( "ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")" )
def parse_fetch_items(p: Parser) -> FetchItems:
    """The items of FETCH. Errors: BadSyntax."""
    if p.peek() == b"(":
        return fetch_attributes(p)
    at = p.at
    macro = _MACROS.get(p.run(_ITEM_CHARS).upper())
    if macro is not None:
        return FetchItems(macro)
    p.at = at
    return _collected((_fetch_att(p),))


# "(" fetch-att *(SP fetch-att) ")"
def fetch_attributes(p: Parser) -> FetchItems:
    """Items without macros. Errors: BadSyntax."""
    return _collected(p.parenthesised(lambda: _fetch_att(p), most=limits.FETCH_ITEMS))


def _collected(found: Iterable[Item | Section]) -> FetchItems:
    found = tuple(found)
    items = dict.fromkeys(one for one in found if isinstance(one, Item))
    sections = dict.fromkeys(one for one in found if isinstance(one, Section))
    return FetchItems(tuple(items), tuple(sections))


# fetch-att = "ENVELOPE" / "FLAGS" / "INTERNALDATE" / "RFC822.SIZE" / "BODY" ["STRUCTURE"] / "UID" /
#             "BODY" section [partial] / "BODY.PEEK" section [partial] /
#             "BINARY" [".PEEK"] section-binary [partial] / "BINARY.SIZE" section-binary
def _fetch_att(p: Parser) -> Item | Section:
    word = p.run(_ITEM_CHARS).upper()
    if p.peek() == b"[" and word in _SECTIONS:
        return _section(p, word)
    if word in _RFC822:
        return _RFC822[word]
    if word == Item.PREVIEW.value:
        _preview_modifiers(p)
    if word not in _ITEMS:
        raise p.fail("unknown FETCH data item")
    return _ITEMS[word]


def _preview_modifiers(p: Parser) -> None:
    # preview = "PREVIEW" [SP "(" preview-mod *(SP preview-mod) ")"]     preview-mod = "LAZY"  (RFC 8970)
    if p.octets[p.at : p.at + 7].upper() == b" (LAZY)":
        p.at += 7


# section = "[" [section-spec] "]"    section-spec = section-msgtext / (section-part ["." section-text])
def _section(p: Parser, word: bytes) -> Section:
    kind, peek = _SECTIONS[word]
    p.expect(b"[")
    part = _part(p)
    text = ""
    fields: tuple[bytes, ...] = ()
    at = p.at
    name = p.run(_ITEM_CHARS).upper()
    if name:
        text = _TEXTS.get(name, "")
        if not text or (text == "MIME" and not part) or kind is not Kind.BODY:
            raise p.fail("unknown section")
        if text in {"FIELDS", "NOT"}:
            p.space()
            fields = p.parenthesised(p.astring, most=limits.HEADER_NAMES)
    elif part and p.octets[at - 1 : at] == b".":
        raise p.fail("section expected")
    p.expect(b"]")
    label = _label(kind, part, name, fields)
    start, size = (None, 0) if kind is Kind.BINARY_SIZE else _partial(p)
    names = frozenset(field.lower() for field in fields)
    return Section(kind, part, text, fields, start, size, peek, label, names)


# section-part = nz-number *("." nz-number)
def _part(p: Parser) -> tuple[int, ...]:
    numbers: list[int] = []
    while p.peek().isdigit():
        numbers.append(p.nz_number())
        if not p.take(b"."):
            break
    return tuple(numbers)


# partial = "<" number64 "." nz-number64 ">"
def _partial(p: Parser) -> tuple[int | None, int]:
    if not p.take(b"<"):
        return None, 0
    start = p.number64()
    p.expect(b".")
    size = p.nz_number(limits.NUMBER64)
    p.expect(b">")
    return start, size


def _label(kind: Kind, part: tuple[int, ...], name: bytes, fields: tuple[bytes, ...]) -> bytes:
    number = b".".join(b"%d" % n for n in part)
    spec = b".".join(piece for piece in (number, name) if piece)
    if fields:
        spec += b" (%b)" % b" ".join(_field(f) for f in fields)
    return b"%b[%b]" % ({Kind.BODY: b"BODY", Kind.BINARY: b"BINARY"}.get(kind, b"BINARY.SIZE"), spec)


_FIELD_CHARS: Final = bytes(c for c in range(0x21, 0x7F) if c not in b'(){%*"\\') + DIGITS


def _field(name: bytes) -> bytes:
    if name and not name.translate(None, _FIELD_CHARS):
        return name
    return b'"%b"' % bytes(c for c in name if c >= 0x20 and c != 0x7F and c not in b'"\\')
