"""ihave (RFC 5463): capabilities that are asked for while a script runs, and ``error``, which ends it."""

from __future__ import annotations

from typing import Final

from a3mailer.wire.sieve.errors import RunFailed
from a3mailer.wire.sieve.machine import Call, Machine
from a3mailer.wire.sieve.vocabulary import Extension, Kind, Parameter, Role, Word

LONGEST: Final = 1_000
"""Characters of an error that are told."""


def _ihave(machine: Machine, call: Call) -> bool:
    """All of them or none."""
    wanted = {value.decode("utf-8", "replace") for value in call.strings(0)}
    if not wanted <= machine.enabled | machine.offered:
        return False
    machine.enabled |= wanted
    return True


def _error(machine: Machine, call: Call) -> None:
    raise RunFailed(call.string(0).decode("utf-8", "replace")[:LONGEST])


EXTENSION: Final = Extension(
    "ihave",
    words=(
        Word("ihave", Role.TEST, _ihave, (Parameter("list of capabilities", Kind.CONSTANTS),)),
        Word("error", Role.ACTION, _error, (Parameter("message", Kind.STRING),)),
    ),
)
