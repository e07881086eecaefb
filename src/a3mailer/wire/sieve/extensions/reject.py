"""reject and ereject (RFC 5429): the mail is refused with a text. How, is up to whoever runs the script."""

from __future__ import annotations

from typing import Final

from a3mailer.wire.sieve.actions import Reject
from a3mailer.wire.sieve.machine import Call, Machine
from a3mailer.wire.sieve.vocabulary import Extension, Kind, Parameter, Role, Word

LONGEST: Final = 4_000
"""Characters of the reason that are told."""
REASON: Final = Parameter("reason", Kind.STRING)


def _text(call: Call) -> str:
    return call.string(0).decode("utf-8", "replace")[:LONGEST]


def _reject(machine: Machine, call: Call) -> None:
    machine.act(Reject(_text(call)))


def _ereject(machine: Machine, call: Call) -> None:
    machine.act(Reject(_text(call), extended=True))


REJECT: Final = Extension("reject", words=(Word("reject", Role.ACTION, _reject, (REASON,)),))
EREJECT: Final = Extension("ereject", words=(Word("ereject", Role.ACTION, _ereject, (REASON,)),))
