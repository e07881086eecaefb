"""envelope (RFC 5228 section 5.4): who sent the mail and whom it reached, as SMTP has it.

QUIRK: ``auth`` is no part of the RFC, but Pigeonhole has it: the login of who submitted the mail.
"""

from __future__ import annotations

from typing import Final

from a3mailer.wire.sieve import addresses
from a3mailer.wire.sieve.errors import BadCall, RunFailed
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
ADDRESSES: Final = ("from", "to", "auth")
"""Parts that are addresses."""


def _check_part(call: Call, part: str) -> None:
    """RFC 6009 sections 4 and 5. Errors: BadCall."""
    if call.tag(ADDRESS_PART) and part not in ADDRESSES:
        raise BadCall(f':{call.tag(ADDRESS_PART)} is for addresses, "{part[:60]}" is none')


def _check(call: Call) -> None:
    for name in call.strings(0):
        _check_part(call, name.decode("utf-8", "replace").lower())


def _envelope(machine: Machine, call: Call) -> bool:
    paths: list[bytes] = []
    for name in call.strings(0):
        part = name.decode("utf-8", "replace").lower()
        if not machine.has_member(PART, part):
            raise RunFailed(f'"{part[:60]}" is no {PART}')
        try:
            _check_part(call, part)
        except BadCall as error:
            raise RunFailed(str(error)) from error
        found = machine.mail.envelope(part)
        if call.tag(MATCH_TYPE) == "count" and part in ADDRESSES:
            found = tuple(
                path for path in found if path
            )  # RFC 5231 section 4.2: the null path counts as none
        paths += [iso8601(machine, call, int(moment)) for moment in found] if part == ABSOLUTE else found
    machine.hold(sum(map(len, paths)))
    separator = addresses.separator_of(machine.mail)
    values = parts_of(call, (addresses.of_path(path, separator) for path in paths if path))
    values += [path for path in paths if not path]  # the null reverse-path, whatever part is asked for
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
            check=_check,
        ),
    ),
    members=tuple((PART, name) for name in ADDRESSES),
)
