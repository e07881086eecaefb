"""environment (RFC 5183): what is known of the place and the client. The door says which items there are."""

from __future__ import annotations

from typing import Final

from a3mailer.wire.sieve.extensions.core import KEYS
from a3mailer.wire.sieve.machine import Call, Machine
from a3mailer.wire.sieve.vocabulary import MATCH_TYPE, MATCHING, Extension, Kind, Parameter, Role, Word


def _environment(machine: Machine, call: Call) -> bool:
    value = machine.mail.environment(call.string(0).decode("utf-8", "replace").lower())
    if value is None:
        return False
    values = () if call.tag(MATCH_TYPE) == "count" and not value else (value,)
    return call.matches(machine, values, call.strings(1))


EXTENSION: Final = Extension(
    "environment",
    words=(
        Word("environment", Role.TEST, _environment, (Parameter("item", Kind.STRING), KEYS), groups=MATCHING),
    ),
)
