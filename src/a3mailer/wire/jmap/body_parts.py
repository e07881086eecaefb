"""Body parts of an Email (RFC 8621 section 4.1.4): its structure, what is shown, and its texts.

Made of the octets and the index that delivery made of them: where a part begins and ends is looked up, not
searched for. What is inside an attached message is not part of the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from a3mailer.mail.message import charsets, encodings, headers
from a3mailer.mail.message.parts import MESSAGES, Part
from a3mailer.wire.jmap.header_forms import Field, fields_of, header_property, raw, shown, value_of

DEFAULT: Final = (
    "partId", "blobId", "size", "name", "type", "charset", "disposition", "cid", "language", "location",
)  # fmt: skip
"""Properties of a part where the client names none (section 4.2)."""
PROPERTIES: Final = frozenset((*DEFAULT, "headers", "subParts"))
_INLINE: Final = ("image/", "audio/", "video/")
_KNOWN: Final = frozenset((b"", b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable"))
Made = dict[str, Any]


def is_property(name: str) -> bool:
    """Can a client ask for this property of a part?"""
    return name in PROPERTIES or header_property(name) is not None


@dataclass(slots=True)
class Node:
    """One part of the tree."""

    part: Part
    children: list[Node]

    @property
    def media(self) -> str:
        return self.part.media.decode("ascii", "replace")

    @property
    def multipart(self) -> bool:
        return self.part.media.startswith(b"multipart/")

    @property
    def id(self) -> str | None:
        """``partId``: the IMAP part specifier."""
        return None if self.multipart else ".".join(map(str, self.part.number)) or "1"


def tree(parts: Sequence[Part]) -> Node:
    """The parts as a tree, without what is inside attached messages."""
    nodes: list[Node | None] = []
    for part in parts:
        above = nodes[part.parent] if part.parent >= 0 else None
        hidden = part.parent >= 0 and (above is None or parts[part.parent].media in MESSAGES)
        node = None if hidden else Node(part, [])
        if node is not None and above is not None:
            above.children.append(node)
        nodes.append(node)
    root = nodes[0]
    assert root is not None
    return root


def leaves(root: Node) -> list[Node]:
    """All parts that are no multipart, in order."""
    found, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        if node.multipart:
            waiting += reversed(node.children)
        else:
            found.append(node)
    return found


@dataclass(slots=True)
class Shown:
    """What is shown as text, as HTML, and offered to be saved."""

    text: list[Node]
    html: list[Node]
    attachments: list[Node]


def views(root: Node) -> Shown:
    """The algorithm of section 4.1.4; depth is bounded by that of the index."""
    made = Shown([], [], [])
    _sort([root], "mixed", False, made, made.text, made.html)
    return made


def _sort(
    nodes: Sequence[Node],
    kind: str,
    alternative: bool,
    made: Shown,
    text: list[Node] | None,
    html: list[Node] | None,
) -> None:
    texts, htmls = len(text or ()), len(html or ())
    for number, node in enumerate(nodes):
        if node.multipart:
            inner = node.media.partition("/")[2]
            _sort(node.children, inner, alternative or inner == "alternative", made, text, html)
        elif not _is_inline(node, number, kind):
            made.attachments.append(node)
        elif kind == "alternative":
            view = {"text/plain": text, "text/html": html}.get(node.media)
            (made.attachments if view is None else view).append(node)
        else:
            if alternative:
                html = None if node.media == "text/plain" else html
                text = None if node.media == "text/html" else text
            _show(node, made, text, html)
    if kind == "alternative" and text is not None and html is not None:
        _stand_in(text, texts, html, htmls)


def _show(node: Node, made: Shown, text: list[Node] | None, html: list[Node] | None) -> None:
    for view in (text, html):
        if view is not None:
            view.append(node)
    if (text is None or html is None) and node.media.startswith(_INLINE):
        made.attachments.append(node)


def _stand_in(text: list[Node], texts: int, html: list[Node], htmls: int) -> None:
    """Of alternatives of which only one kind was found, that is shown in both."""
    if texts == len(text) and htmls != len(html):
        text += html[htmls:]
    elif htmls == len(html) and texts != len(text):
        html += text[texts:]


def _is_inline(node: Node, number: int, kind: str) -> bool:
    media = node.media.startswith(_INLINE)
    return (
        node.part.disposition != b"attachment"
        and (media or node.media in ("text/plain", "text/html"))
        and (number == 0 or (kind != "related" and (media or not node.part.filename)))
    )


class Body:
    """The parts of one mail as JMAP shows them. ``name_of``: how the octets of a part are called."""

    __slots__ = ("_fields", "_listed", "name_of", "octets", "root", "views")

    def __init__(
        self, octets: bytes, parts: Sequence[Part], name_of: Callable[[int, int, bytes], str]
    ) -> None:
        self.octets = octets
        self.name_of = name_of
        self.root = tree(parts)
        self.views = views(self.root)
        self._fields: dict[tuple[int, int], tuple[Field, ...]] = {}
        self._listed: dict[tuple[int, Sequence[str]], Made] = {}

    def structure(self, properties: Sequence[str]) -> Made:
        """``bodyStructure``."""
        return self._part(self.root, properties, deep=True)

    def list(self, nodes: Sequence[Node], properties: Sequence[str]) -> list[Made]:
        """``textBody``, ``htmlBody``, ``attachments``."""
        return [self._shown(node, properties) for node in nodes]

    def _shown(self, node: Node, properties: Sequence[str]) -> Made:
        """What is text is HTML, too, where there is no other: it is made once."""
        key = (id(node), tuple(properties))
        made = self._listed.get(key)
        if made is None:
            made = self._listed[key] = self._part(node, properties, deep=False)
        return made

    def fields(self, start: int, end: int) -> tuple[Field, ...]:
        """All fields of the header between these octets; that of a mail is that of its outermost part."""
        found = self._fields.get((start, end))
        if found is None:
            found = self._fields[(start, end)] = fields_of(self.octets, start, end)
        return found

    def _part(self, node: Node, properties: Sequence[str], *, deep: bool) -> Made:
        part = node.part
        fields: tuple[Field, ...] = ()
        if not _PLAIN.issuperset(properties):
            fields = self.fields(part.start, part.body)
        made = {
            name: self._value(node, name, fields, properties) for name in properties if name != "subParts"
        }
        if deep and node.multipart:
            made["subParts"] = [self._part(child, properties, deep=True) for child in node.children]
        elif "subParts" in properties:
            made["subParts"] = None
        return made

    def _value(self, node: Node, name: str, fields: tuple[Field, ...], properties: Sequence[str]) -> object:
        part = node.part
        simple = _SIMPLE.get(name)
        if simple is not None:
            return simple(node)
        if name == "blobId":
            return None if node.multipart else self.name_of(part.body, part.end, part.encoding)
        if name == "size":
            return self._size(part)
        if name == "headers":
            return shown(fields)
        if name in _OF_HEADER:
            return _OF_HEADER[name](fields)
        wanted = header_property(name)
        return None if wanted is None else value_of(wanted, fields)

    def _size(self, part: Part) -> int:
        if part.media.startswith(b"multipart/"):  # which is no file that one could save
            return 0
        if part.encoding not in (b"base64", b"quoted-printable"):
            return part.end - part.body
        return len(encodings.decode(self.octets[part.body : part.end], part.encoding))

    def values(self, nodes: Sequence[Node], most: int) -> dict[str, Made]:
        """``bodyValues`` of those of these parts that are text, at most so many octets each; 0: all."""
        return {
            str(node.id): body_value(self.octets, node.part, most)
            for node in nodes
            if node.part.media.startswith(b"text/")
        }


def body_value(octets: bytes, part: Part, most: int) -> Made:
    """An EmailBodyValue."""
    content = encodings.decode(octets[part.body : part.end], part.encoding)
    text = charsets.decode(content, part.charset)
    problem = part.encoding not in _KNOWN or not charsets.is_text(content, part.charset)
    text = text.replace("\r\n", "\n")
    cut = cut_off(text, most, html=part.media == b"text/html")
    return {"value": cut, "isEncodingProblem": problem, "isTruncated": len(cut) < len(text)}


def cut_off(text: str, most: int, *, html: bool = False) -> str:
    """At most so many octets of UTF-8, whole characters; of HTML no half of a tag or character reference."""
    if not most or len(text.encode()) <= most:
        return text
    cut = text.encode()[:most].decode("utf-8", "ignore")
    if html:
        for opening, closing in (("<", ">"), ("&", ";")):
            at = cut.rfind(opening)
            if at > cut.rfind(closing) and (opening == "<" or len(cut) - at < 32):
                cut = cut[:at]
    return cut


def _charset(node: Node) -> str | None:
    charset = node.part.charset.decode("ascii", "replace")
    return charset or ("us-ascii" if node.part.media.startswith(b"text/") else None)


def _last(name: str, fields: tuple[Field, ...]) -> bytes | None:
    found = [value for field, value in fields if field.lower() == name]
    return headers.unfold(found[-1]) if found else None


def _cid(fields: tuple[Field, ...]) -> str | None:
    value = _last("content-id", fields)
    if value is None:
        return None
    inner = value.partition(b"<")[2].partition(b">")[0] if b"<" in value else value
    return raw(inner.strip()) or None


def _language(fields: tuple[Field, ...]) -> list[str] | None:
    value = _last("content-language", fields)
    if value is None:
        return None
    return [raw(tag.strip()) for tag in value.split(b",") if tag.strip()] or None


def _location(fields: tuple[Field, ...]) -> str | None:
    value = _last("content-location", fields)
    return None if value is None else raw(b"".join(value.split())) or None


def _of_part(name: str, node: Node) -> str | None:
    value = getattr(node.part, name)
    return (value if isinstance(value, str) else value.decode("ascii", "replace")) or None


_SIMPLE: Final[dict[str, Callable[[Node], object]]] = {
    "partId": lambda node: node.id,
    "type": lambda node: node.media,
    "charset": _charset,
    "disposition": partial(_of_part, "disposition"),
    "name": partial(_of_part, "filename"),
}
_PLAIN: Final = frozenset((*_SIMPLE, "blobId", "size", "subParts"))
"""Properties that are made without looking at the header of the part."""
_OF_HEADER: Final[dict[str, Callable[[tuple[Field, ...]], object]]] = {
    "cid": _cid,
    "language": _language,
    "location": _location,
}
