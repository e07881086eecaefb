"""duplicate (RFC 7352): was this seen before? What is new is remembered when the run has ended well."""

from __future__ import annotations

from typing import Final

from a3mailer.wire.sieve.actions import Remember
from a3mailer.wire.sieve.machine import Call, Machine
from a3mailer.wire.sieve.vocabulary import Extension, Kind, Role, Tag, Word

DEFAULT: Final = 7 * 86_400
LONGEST: Final = 90 * 86_400
"""Seconds; a longer time is this one."""


def _duplicate(machine: Machine, call: Call) -> bool:
    value = _value(machine, call)
    given = call.tag_number("seconds")
    seconds = DEFAULT if given is None else min(given, LONGEST)
    if value is None or not seconds:
        return False
    handle = b"".join(call.tag_strings("handle"))
    machine.hold(len(value) + len(handle))
    seen = machine.mail.remembers(handle, value)
    if not seen or call.tag("last"):
        machine.act(Remember(handle, value, seconds, again=seen))
    return seen


def _value(machine: Machine, call: Call) -> bytes | None:
    """What tells the mail from others; None where it has nothing that does."""
    if call.tag("what") == "uniqueid":
        return call.tag_strings("what")[0]
    name = call.tag_strings("what")[0] if call.tag("what") else b"message-id"
    values = machine.values(name)
    return values[0] if values else None


EXTENSION: Final = Extension(
    "duplicate",
    words=(
        Word(
            "duplicate",
            Role.TEST,
            _duplicate,
            tags=(
                Tag("handle", Kind.STRING),
                Tag("header", Kind.STRING, "what"),
                Tag("uniqueid", Kind.STRING, "what"),
                Tag("seconds", Kind.NUMBER),
                Tag("last"),
            ),
        ),
    ),
)
