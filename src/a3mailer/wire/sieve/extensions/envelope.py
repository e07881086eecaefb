"""envelope (RFC 5228 section 5.4): who sent the mail and whom it reached, as SMTP has it."""

from __future__ import annotations

from typing import Final

from a3mailer.wire.sieve import addresses
from a3mailer.wire.sieve.errors import BadCall, RunFailed
from a3mailer.wire.sieve.extensions.core import KEYS, parts_of
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

PARTS: Final = frozenset(("from", "to"))
"""The parts that are paths; an unknown part is an error."""


def _parts(call: Call) -> list[str]:
    """Errors: BadCall."""
    parts = [name.decode("utf-8", "replace").lower() for name in call.strings(0)]
    for part in parts:
        if part not in PARTS:
            raise BadCall(f'the envelope has no part "{part[:60]}"')
    return parts


def _envelope(machine: Machine, call: Call) -> bool:
    try:
        parts = _parts(call)
    except BadCall as error:
        raise RunFailed(str(error)) from error
    paths = [path for part in parts for path in machine.mail.envelope(part)]
    if call.tag(MATCH_TYPE) == "count":
        paths = [path for path in paths if path]  # RFC 5231 section 4.2: the null reverse-path counts as none
    machine.hold(sum(map(len, paths)))
    separator = addresses.separator_of(machine.mail)
    values = parts_of(call, (addresses.of_path(path, separator) for path in paths))
    return call.matches(machine, values, call.strings(1))


def _check(call: Call) -> None:
    _parts(call)


EXTENSION: Final = Extension(
    "envelope",
    words=(
        Word(
            "envelope",
            Role.TEST,
            _envelope,
            (Parameter("list of envelope parts", Kind.STRINGS), KEYS),
            groups=(*MATCHING, ADDRESS_PART),
            check=_check,
        ),
    ),
)
