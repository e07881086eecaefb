"""index (RFC 5260 section 6): one of several fields of a name, counted from the first or the last."""

from __future__ import annotations

from typing import Final

from a3mailer.wire.sieve.errors import BadCall
from a3mailer.wire.sieve.machine import Tagged
from a3mailer.wire.sieve.vocabulary import Extension, Kind, Tag


def _check(tag: Tagged) -> None:
    if tag.value == 0:
        raise BadCall(":index counts from 1")


INDEX: Final = Tag("index", Kind.NUMBER, check=_check)
LAST: Final = Tag("last", beside="index")
WORDS: Final = ("header", "address", "date")
EXTENSION: Final = Extension("index", tags=tuple((word, tag) for word in WORDS for tag in (INDEX, LAST)))
