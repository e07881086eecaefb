"""Scripts of the operator: ``policy.scripts`` (``STAGE=FILE``), and those around the scripts of accounts."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from a3mailer.config.fields import BadValue
from a3mailer.config.syntax import domain_name

STAGES: Final = ("connect", "ehlo", "auth", "mail", "rcpt", "data")


class Scripted(NamedTuple):
    """A stage and what runs there."""

    stage: str
    file: str
    """In the data directory."""


# scripted = stage "=" path      ; a relative path, never out of the data directory
def parse_scripted(text: str) -> Scripted:
    """Errors: BadValue."""
    stage, equals, file = text.partition("=")
    if not equals or stage not in STAGES:
        raise BadValue(f"{text!r} is not STAGE=FILE with one of the stages: {', '.join(STAGES)}")
    return Scripted(stage, _inside(file))


def _inside(file: str) -> str:
    """A file of the data directory. Errors: BadValue."""
    path = Path(file)
    if not file or path.is_absolute() or ".." in path.parts:
        raise BadValue(f"{file!r} is not a file in the data directory")
    return file


class Around(NamedTuple):
    """A script at delivery: for which domain (empty: for all), or under which name it is included."""

    name: str
    file: str


# around = [ domain "=" ] path
def parse_around(text: str) -> Around:
    """Errors: BadValue."""
    domain, equals, file = text.rpartition("=")
    if equals:
        domain_name(domain)
    return Around(domain.lower(), _inside(file))


# included = name "=" path
def parse_included(text: str) -> Around:
    """Errors: BadValue."""
    name, equals, file = text.partition("=")
    if not equals or not name or not name.isprintable():
        raise BadValue(f"{text!r} is not NAME=FILE")
    return Around(name, _inside(file))
