"""variables (RFC 5229): ``set`` with its modifiers, the test ``string``; ``strings`` reads references."""

from __future__ import annotations

import re
from typing import Final

from a3mailer.wire.sieve.errors import BadCall, RunFailed
from a3mailer.wire.sieve.extensions.core import KEYS
from a3mailer.wire.sieve.machine import GLOBAL, Call, Machine, Tagged
from a3mailer.wire.sieve.strings import NAME
from a3mailer.wire.sieve.vocabulary import (
    MATCH_TYPE,
    MATCHING,
    Extension,
    Kind,
    Parameter,
    Role,
    Tag,
    Word,
)

_WILD: Final = re.compile(rb"([*?\\])")


def _set(machine: Machine, call: Call) -> None:
    name = call.string(0).decode().lower()
    if name.startswith(GLOBAL) and "include" not in machine.enabled:
        raise RunFailed(f"{name[:60]} needs the capability include")
    machine.set_variable(name, call.modified(call.string(1)))


def check_name(call: Call) -> None:
    """Of a variable that is set. Errors: BadCall."""
    name = call.string(0).lower()
    if not NAME.fullmatch(name):
        raise BadCall(f"{name[:60].decode('utf-8', 'replace')!r} is no name of a variable")
    if b"." in name.removeprefix(GLOBAL.encode()):
        raise BadCall("variables of a namespace cannot be set, but for global")


def _string(machine: Machine, call: Call) -> bool:
    values = call.strings(0)
    if call.tag(MATCH_TYPE) == "count":
        values = tuple(value for value in values if value)
    return call.matches(machine, values, call.strings(1))


def _lower(value: bytes, tag: Tagged) -> bytes:
    return value.lower()


def _upper(value: bytes, tag: Tagged) -> bytes:
    return value.upper()


def _lower_first(value: bytes, tag: Tagged) -> bytes:
    return value[:1].lower() + value[1:]


def _upper_first(value: bytes, tag: Tagged) -> bytes:
    return value[:1].upper() + value[1:]


def _quote_wildcard(value: bytes, tag: Tagged) -> bytes:
    return _WILD.sub(rb"\\\1", value)


def _length(value: bytes, tag: Tagged) -> bytes:
    return b"%d" % len(value.decode("utf-8", "replace"))


MODIFIERS: Final = (
    Tag("lower", group="modifier 40", modify=_lower),
    Tag("upper", group="modifier 40", modify=_upper),
    Tag("lowerfirst", group="modifier 30", modify=_lower_first),
    Tag("upperfirst", group="modifier 30", modify=_upper_first),
    Tag("quotewildcard", group="modifier 20", modify=_quote_wildcard),
    Tag("length", group="modifier 10", modify=_length),
)
"""What may be made of a value before it is one (RFC 5229 section 4.1)."""
TAKERS: Final = ("set", "extracttext")
"""Words that take them."""
EXTENSION: Final = Extension(
    "variables",
    words=(
        Word(
            "set",
            Role.ACTION,
            _set,
            (Parameter("name", Kind.CONSTANT), Parameter("value", Kind.STRING)),
            MODIFIERS,
            check=check_name,
        ),
        Word(
            "string", Role.TEST, _string, (Parameter("list of sources", Kind.STRINGS), KEYS), groups=MATCHING
        ),
    ),
    grammar=True,
)
