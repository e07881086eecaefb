"""XML of strangers, read as events: no document type, no entity, no second file is ever looked at, and
octets, depth and elements are bounded (attack row 27). UTF-8, unless the caller knows better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from xml.parsers import expat


class BadMarkup(ValueError):
    """What was given is no XML, or has what it must not have; the text says what."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is read at most."""

    octets: int
    depth: int
    elements: int


class Reader(Protocol):
    """Is told what is there, in order. It may raise BadMarkup."""

    def start(self, name: str, attributes: list[str], /) -> None:
        """An element begins; ``attributes`` are names and values by turns."""

    def text(self, text: str, /) -> None:
        """Characters, in as many pieces as it happens."""

    def end(self, name: str, /) -> None:
        """The element ends."""


def read(octets: bytes, reader: Reader, limits: Limits, encoding: str = "UTF-8") -> None:
    """Tell ``reader`` of a whole document. Errors: BadMarkup."""
    if len(octets) > limits.octets:
        raise BadMarkup(f"larger than {limits.octets} octets")
    depth = elements = 0

    def start(name: str, attributes: list[str]) -> None:
        nonlocal depth, elements
        depth += 1
        elements += 1
        if elements > limits.elements or depth > limits.depth:
            raise BadMarkup("too many elements, or too deep")
        reader.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        reader.end(name)

    parser = expat.ParserCreate(encoding)
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.ordered_attributes = True
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.ExternalEntityRefHandler = _no_other_file
    parser.StartElementHandler = start
    parser.CharacterDataHandler = reader.text
    parser.EndElementHandler = end
    try:
        parser.Parse(octets, True)
    except expat.ExpatError as error:
        raise BadMarkup(f"no XML: {error}") from None


def _refuse(*_: object) -> None:
    raise BadMarkup("a document type or an entity, which is never looked at")


def _no_other_file(*_: object) -> int:
    return 0


def local_name(name: str) -> str:
    """The name without its prefix, in lower case."""
    return name.rpartition(":")[2].lower()
