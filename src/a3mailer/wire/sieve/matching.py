"""How a test compares what it found with its keys: the comparator and the match type of the call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from a3mailer.wire.sieve.comparators import Comparator
from a3mailer.wire.sieve.glob import match, pattern, search_cost
from a3mailer.wire.sieve.machine import Call, Machine, Matcher
from a3mailer.wire.sieve.vocabulary import MatchType

_SPREAD: Final = 8


def _is(
    machine: Machine, call: Call, comparator: Comparator, values: Sequence[bytes], keys: Sequence[bytes]
) -> bool:
    wanted = {comparator.key(key) for key in keys}
    machine.charge(len(keys) + len(values) + (sum(map(len, keys)) + sum(map(len, values)) >> _SPREAD))
    return any(comparator.key(value) in wanted for value in values)


def _contains(
    machine: Machine, call: Call, comparator: Comparator, values: Sequence[bytes], keys: Sequence[bytes]
) -> bool:
    wanted = [comparator.key(key) for key in keys]
    for value in values:
        text = comparator.key(value)
        for key in wanted:
            machine.charge(1 + search_cost(len(text), len(key)))
            if key in text:
                return True
    return False


def _matches(
    machine: Machine, call: Call, comparator: Comparator, values: Sequence[bytes], keys: Sequence[bytes]
) -> bool:
    patterns = [pattern(comparator.key(key)) for key in keys]
    machine.charge(sum(map(len, keys)) >> 4)
    for value in values:
        text = comparator.key(value)
        for each in patterns:
            found = match(each, text, machine.charge, value)
            if found is not None:
                if "variables" in machine.enabled:
                    machine.hold(sum(map(len, found)))
                    machine.match(found)
                return True
    return False


IS: Final = MatchType("is", _is)
CONTAINS: Final = MatchType("contains", _contains, substring=True)
MATCHES: Final = MatchType("matches", _matches, substring=True)


def matcher(match_type: MatchType, comparator: Comparator) -> Matcher:
    """The two as one."""
    run = match_type.run

    def matches(machine: Machine, call: Call, values: Sequence[bytes], keys: Sequence[bytes]) -> bool:
        return run(machine, call, comparator, values, keys)

    return matches
