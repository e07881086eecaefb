"""relational (RFC 5231): ``:value`` and ``:count``; the comparator i;ascii-numeric (RFC 4790)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from a3mailer.wire.sieve.comparators import ASCII_NUMERIC, Comparator
from a3mailer.wire.sieve.dialect import COMPARATOR_PREFIX
from a3mailer.wire.sieve.errors import BadCall
from a3mailer.wire.sieve.machine import Call, Machine, Tagged
from a3mailer.wire.sieve.vocabulary import MATCH_TYPE, Extension, Kind, MatchType

RELATIONS: Final[Mapping[bytes, Callable[[bytes, bytes], bool]]] = {
    b"gt": operator.gt,
    b"ge": operator.ge,
    b"lt": operator.lt,
    b"le": operator.le,
    b"eq": operator.eq,
    b"ne": operator.ne,
}


def _check(tag: Tagged) -> None:
    if not isinstance(tag.value, tuple) or tag.value[0].lower() not in RELATIONS:
        raise BadCall(f":{tag.name} wants gt, ge, lt, le, eq or ne")


def _value(
    machine: Machine, call: Call, comparator: Comparator, values: Sequence[bytes], keys: Sequence[bytes]
) -> bool:
    relation = RELATIONS[call.tag_strings(MATCH_TYPE)[0].lower()]
    wanted = [comparator.key(key) for key in keys]
    for value in values:
        found = comparator.key(value)
        machine.charge(1 + len(wanted) + (len(found) >> 8))
        if any(relation(found, key) for key in wanted):
            return True
    return False


def _count(
    machine: Machine, call: Call, comparator: Comparator, values: Sequence[bytes], keys: Sequence[bytes]
) -> bool:
    return _value(machine, call, comparator, (b"%d" % len(values),), keys)


RELATIONAL: Final = Extension(
    "relational",
    match_types=(
        MatchType("value", _value, order=True, takes=Kind.CONSTANT, check_tag=_check),
        MatchType("count", _count, order=True, takes=Kind.CONSTANT, check_tag=_check),
    ),
)
NUMERIC: Final = Extension(COMPARATOR_PREFIX + ASCII_NUMERIC.name, comparators=(ASCII_NUMERIC,))
