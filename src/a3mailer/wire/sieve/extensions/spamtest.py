"""spamtest, spamtestplus and virustest (RFC 5235): what was found of a mail, in numbers that scripts know.

A mail that was not looked at is "0" and counts as none.
"""

from __future__ import annotations

from typing import Final

from a3mailer.wire.sieve.machine import Call, Machine
from a3mailer.wire.sieve.vocabulary import MATCH_TYPE, MATCHING, Extension, Kind, Parameter, Role, Tag, Word

_VALUE: Final = Parameter("value", Kind.STRING)


def _compared(machine: Machine, call: Call, value: int | None) -> bool:
    if call.tag(MATCH_TYPE) == "count":
        return call.matches(machine, () if value is None else (b"x",), call.strings(0))
    return call.matches(machine, (b"%d" % (value or 0),), call.strings(0))


def _spamtest(machine: Machine, call: Call) -> bool:
    percent = machine.mail.verdict.spam
    if percent is None or call.tag("percent"):
        return _compared(machine, call, percent)
    return _compared(machine, call, 1 + percent * 9 // 100)


def _virustest(machine: Machine, call: Call) -> bool:
    return _compared(machine, call, machine.mail.verdict.virus)


_SPAM: Final = Word("spamtest", Role.TEST, _spamtest, (_VALUE,), groups=MATCHING)
SPAM: Final = Extension("spamtest", words=(_SPAM,))
PLUS: Final = Extension("spamtestplus", words=(_SPAM,), tags=(("spamtest", Tag("percent")),))
VIRUS: Final = Extension(
    "virustest", words=(Word("virustest", Role.TEST, _virustest, (_VALUE,), groups=MATCHING),)
)
