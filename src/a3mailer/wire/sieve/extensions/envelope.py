"""envelope (RFC 5228 section 5.4): who sent the mail and whom it reached, as SMTP has it.

QUIRK: ``auth`` is no part of the RFC, but Pigeonhole has it: the login of who submitted the mail.
"""

from __future__ import annotations

from typing import Final

from a3mailer.wire.sieve import addresses
from a3mailer.wire.sieve.errors import RunFailed
from a3mailer.wire.sieve.extensions.core import KEYS, parts_of
from a3mailer.wire.sieve.extensions.date import iso8601
from a3mailer.wire.sieve.machine import Call, Machine
from a3mailer.wire.sieve.vocabulary import (
    ADDRESS_PART,
    MATCH_TYPE,
    MATCHING,
    Extension,
    Kind,
    Parameter,
    Role,
    Word,
)

PART: Final = "part of the envelope"
"""The open set; an unknown part is an error."""
ABSOLUTE: Final = "bytimeabsolute"
"""A part that the door gives in seconds since the epoch, and a script sees as date and time (RFC 6009)."""


def _envelope(machine: Machine, call: Call) -> bool:
    paths: list[bytes] = []
    for name in call.strings(0):
        part = name.decode("utf-8", "replace").lower()
        if not machine.has_member(PART, part):
            raise RunFailed(f'"{part[:60]}" is no {PART}')
        found = machine.mail.envelope(part)
        paths += [iso8601(machine, call, int(moment)) for moment in found] if part == ABSOLUTE else found
    if call.tag(MATCH_TYPE) == "count":
        paths = [path for path in paths if path]  # RFC 5231 section 4.2: the null reverse-path counts as none
    machine.hold(sum(map(len, paths)))
    separator = addresses.separator_of(machine.mail)
    values = parts_of(call, (addresses.of_path(path, separator) for path in paths))
    return call.matches(machine, values, call.strings(1))


EXTENSION: Final = Extension(
    "envelope",
    words=(
        Word(
            "envelope",
            Role.TEST,
            _envelope,
            (Parameter("list of envelope parts", Kind.STRINGS, members=PART), KEYS),
            groups=(*MATCHING, ADDRESS_PART),
        ),
    ),
    members=((PART, "from"), (PART, "to"), (PART, "auth")),
)
