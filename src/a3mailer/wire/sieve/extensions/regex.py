"""regex (draft-murchison-sieve-regex): ``:regex`` by RE2, linear in the value, without back-references.

Attack row 38: an expression that takes other engines for ever takes this one as long as its value is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import re2

from a3mailer.wire.sieve.comparators import ASCII_CASEMAP, Comparator
from a3mailer.wire.sieve.errors import BadCall, RunFailed
from a3mailer.wire.sieve.extensions.variables import TAKERS
from a3mailer.wire.sieve.machine import Call, Machine, Tagged
from a3mailer.wire.sieve.vocabulary import Extension, MatchType, Tag

LONGEST: Final = 2_048
"""Octets of an expression."""
MEMORY: Final = 1 << 20
"""Octets that one compiled expression may take."""
REMEMBERED: Final = 256
"""Expressions that are kept compiled."""
COMPILING: Final = 50
"""Steps of compiling one, and as many again for each 64 octets of it."""
_META: Final = re.compile(rb"[.^$*+?()\[\]{}|\\]")


@lru_cache(REMEMBERED)
def _compiled(key: bytes, fold: bool) -> re2._Regexp:
    """Errors: BadCall."""
    if len(key) > LONGEST:
        raise BadCall(f"an expression of more than {LONGEST} octets")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MEMORY
    options.case_sensitive = not fold
    options.dot_nl = True
    try:
        return re2.compile(key.decode("utf-8", "replace").encode(), options)
    except re2.error as error:
        raise BadCall(f"{key[:60].decode('utf-8', 'replace')!r} is no regular expression") from error


def _regex(
    machine: Machine, call: Call, comparator: Comparator, values: Sequence[bytes], keys: Sequence[bytes]
) -> bool:
    fold = comparator is ASCII_CASEMAP
    expressions = []
    for key in keys:
        machine.charge(COMPILING + COMPILING * (len(key) >> 6))
        try:
            expressions.append(_compiled(key, fold))
        except BadCall as error:
            raise RunFailed(str(error)) from error
    for value in values:
        text = value.decode("utf-8", "replace").encode()
        for key, expression in zip(keys, expressions, strict=True):
            machine.charge(1 + (len(text) * (1 + (len(key) >> 4)) >> 6))
            found = expression.search(text)
            if found is not None:
                _remember(machine, found)
                return True
    return False


def _remember(machine: Machine, found: re2._Match) -> None:
    if "variables" in machine.enabled:
        parts = tuple(part or b"" for part in (found.group(), *found.groups()))
        machine.hold(sum(map(len, parts)))
        machine.match(parts)


def _check(call: Call) -> None:
    for key in call.strings(len(call.positional) - 1):
        _compiled(key, True)


def _quote(value: bytes, tag: Tagged) -> bytes:
    return _META.sub(rb"\\\g<0>", value)


EXTENSION: Final = Extension(
    "regex",
    tags=tuple((word, Tag("quoteregex", group="modifier 20", modify=_quote)) for word in TAKERS),
    match_types=(MatchType("regex", _regex, substring=True, check=_check),),
)
