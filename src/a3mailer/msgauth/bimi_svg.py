"""A BIMI picture is SVG Tiny Portable/Secure (draft-svg-tiny-ps-abrotman): nothing in it moves, runs or is
fetched from elsewhere. Elements and attributes are those of a list; all else is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from a3mailer.runtime import markup

MAX_PICTURE: Final = 32 * 1024
"""Octets, as the draft has it."""
LIMITS: Final = markup.Limits(MAX_PICTURE, depth=32, elements=4000)
MAX_TITLE: Final = 64
MAX_USES: Final = 64
NAMESPACE: Final = "http://www.w3.org/2000/svg"
ELEMENTS: Final = frozenset(
    (
        "svg", "title", "desc", "defs", "g", "use", "path", "rect", "circle", "ellipse", "line", "polyline",
        "polygon", "linearGradient", "radialGradient", "stop", "solidColor", "text", "textArea", "tbreak",
        "tspan",
    )
)  # fmt: skip
REFERENCES: Final = ("href", "xlink:href")


class BadPicture(ValueError):
    """It is not to be shown; the text says why."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is shown: the octets as they came, and the words for those who do not see them."""

    octets: bytes
    title: str
    square: bool
    """It is meant to be."""


class _Reading:
    def __init__(self) -> None:
        self.title = ""
        self.root: dict[str, str] = {}
        self._open: list[str] = []
        self._named = 0
        """How many of the open elements can be referred to."""
        self._ids: list[bool] = []
        self._uses = 0

    def start(self, name: str, attributes: list[str]) -> None:
        found = dict(zip(attributes[::2], attributes[1::2], strict=True))
        if name not in ELEMENTS or (name == "svg") != (not self._open):
            raise BadPicture(f"an element {name[:40]!a}, which such a picture has not")
        if not self._open:
            self.root = found
        for attribute, value in found.items():
            _check(attribute, value)
        self._open.append(name)
        self._ids.append("id" in found or "xml:id" in found or name == "defs")
        self._named += self._ids[-1]
        if name == "use":
            self._uses += 1
            if self._uses > MAX_USES or self._named:
                raise BadPicture("uses within uses, or too many of them")

    def text(self, text: str) -> None:
        if self._open == ["svg", "title"] and len(self.title) <= 4 * MAX_TITLE:
            self.title += text

    def end(self, _name: str) -> None:
        self._open.pop()
        self._named -= self._ids.pop()


def _check(attribute: str, value: str) -> None:
    """Errors: BadPicture."""
    name, low = attribute.lower(), "".join(value.lower().split())
    if name.startswith("on") or name in ("style", "class", "src", "externalresourcesrequired"):
        raise BadPicture(f"an attribute {attribute[:40]!a}, which such a picture has not")
    if name in REFERENCES or name.endswith(":href"):
        if not low.startswith("#"):
            raise BadPicture("a reference to something elsewhere")
    elif low.count("url(") != low.count("url(#") or "script:" in low:
        raise BadPicture("a reference to something elsewhere")


def parse(octets: bytes) -> Picture:
    """The picture. Errors: BadPicture, and nothing else."""
    reading = _Reading()
    instructions = octets.count(b"<?")
    if instructions > 1 or (instructions and not octets.removeprefix(b"\xef\xbb\xbf").startswith(b"<?xml ")):
        raise BadPicture("instructions for programs")
    try:
        markup.read(octets, reading, LIMITS)
    except markup.BadMarkup as error:
        raise BadPicture(str(error)) from None
    root, title = reading.root, " ".join(reading.title.split())
    if root.get("xmlns") != NAMESPACE:
        raise BadPicture("no SVG")
    if (root.get("version"), root.get("baseProfile")) != ("1.2", "tiny-ps"):
        raise BadPicture('not version="1.2" baseProfile="tiny-ps"')
    if "x" in root or "y" in root:
        raise BadPicture("its outermost element has x or y")
    if not title or len(title) > MAX_TITLE or not title.isprintable():
        raise BadPicture(f"no title, or one of more than {MAX_TITLE} characters")
    return Picture(octets, title, _is_square(root.get("viewBox", "")))


def _is_square(box: str) -> bool:
    parts = box.replace(",", " ").split()
    return len(parts) == 4 and parts[2] == parts[3]
