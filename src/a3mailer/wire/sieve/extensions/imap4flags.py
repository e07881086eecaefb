"""imap4flags (RFC 5232): the flags a mail gets in its mailbox. What is no flag is passed over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import structs

from a3mailer.mail.flags import MAX_KEYWORD_LENGTH, MAX_KEYWORDS, SYSTEM_FLAGS
from a3mailer.wire.sieve.actions import FileInto, Keep
from a3mailer.wire.sieve.errors import BadCall, RunFailed
from a3mailer.wire.sieve.extensions.core import KEYS
from a3mailer.wire.sieve.extensions.fcc import beside_fcc
from a3mailer.wire.sieve.machine import Call, Machine, Tagged
from a3mailer.wire.sieve.strings import NAME
from a3mailer.wire.sieve.vocabulary import MATCHING, Extension, Kind, Parameter, Role, Tag, Word

READING: Final = 6
"""Shift: octets of a list of flags that are read for one step."""
_SYSTEM: Final = {name.lower(): name for name in SYSTEM_FLAGS}
# flag-keyword = "$MDNSent" / "$Forwarded" / ... / atom (RFC 9051 section 9)
_KEYWORD: Final = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z^_`a-z|~\[}]+")


def flags_of(texts: Iterable[bytes]) -> tuple[str, ...]:
    """The flags of a list: each once, those that cannot be set left out."""
    found: dict[str, str] = {}
    for text in texts:
        for word in text.decode("utf-8", "replace").split():
            name = _SYSTEM.get(word.lower()) or (word if _is_keyword(word) else "")
            if name and len(found) < MAX_KEYWORDS:
                found.setdefault(name.lower(), name)
    return tuple(found.values())


def _is_keyword(word: str) -> bool:
    return len(word) <= MAX_KEYWORD_LENGTH and _KEYWORD.fullmatch(word) is not None


def _of(machine: Machine, name: str) -> tuple[str, ...]:
    if not name:
        return machine.flags or ()
    return _read(machine, (machine.variable(name),))


def _read(machine: Machine, texts: Sequence[bytes]) -> tuple[str, ...]:
    """``flags_of``, charged."""
    machine.charge(sum(map(len, texts)) >> READING)
    return flags_of(texts)


def _set(machine: Machine, call: Call, flags: tuple[str, ...]) -> None:
    name = _name(machine, call)
    if not name:
        machine.flags = flags
        return
    machine.set_variable(name, " ".join(flags).encode())


def _name(machine: Machine, call: Call) -> str:
    """The variable, "" for the internal one."""
    if not call.strings(0):
        return ""
    return _variable(machine, call.string(0))


def _variable(machine: Machine, name: bytes) -> str:
    if "variables" not in machine.enabled:
        raise RunFailed("a variable of flags needs the capability variables")
    if not NAME.fullmatch(name) or b"." in name:
        raise RunFailed(f"{name[:60].decode('utf-8', 'replace')!r} is no name of a variable")
    return name.decode().lower()


def _setflag(machine: Machine, call: Call) -> None:
    _set(machine, call, _read(machine, call.strings(1)))


def _addflag(machine: Machine, call: Call) -> None:
    before = " ".join(_of(machine, _name(machine, call))).encode()
    _set(machine, call, _read(machine, (before, *call.strings(1))))


def _removeflag(machine: Machine, call: Call) -> None:
    gone = {flag.lower() for flag in _read(machine, call.strings(1))}
    before = _of(machine, _name(machine, call))
    _set(machine, call, tuple(flag for flag in before if flag.lower() not in gone))


def _hasflag(machine: Machine, call: Call) -> bool:
    names = [_variable(machine, name) for name in call.strings(0)] or [""]
    values = [flag.encode() for name in names for flag in _of(machine, name)]
    keys = [word for text in call.strings(1) for word in text.split()]
    return call.matches(machine, values, keys)


def _flags(action: Keep | FileInto, tag: Tagged) -> Keep | FileInto:
    assert isinstance(tag.value, tuple)
    return structs.replace(action, flags=flags_of(tag.value))


def _check(call: Call) -> None:
    if call.strings(0) and (not NAME.fullmatch(call.string(0)) or b"." in call.string(0)):
        raise BadCall(f"{call.string(0)[:60].decode('utf-8', 'replace')!r} is no name of a variable")


_WHERE: Final = (
    Parameter("variable", Kind.STRING, optional=True),
    Parameter("list of flags", Kind.STRINGS),
)
_TAG: Final = Tag("flags", Kind.STRINGS, modify=_flags)
EXTENSION: Final = Extension(
    "imap4flags",
    words=(
        Word("setflag", Role.ACTION, _setflag, _WHERE, check=_check),
        Word("addflag", Role.ACTION, _addflag, _WHERE, check=_check),
        Word("removeflag", Role.ACTION, _removeflag, _WHERE, check=_check),
        Word(
            "hasflag",
            Role.TEST,
            _hasflag,
            (Parameter("list of variables", Kind.STRINGS, optional=True), KEYS),
            groups=MATCHING,
        ),
    ),
    tags=(("keep", _TAG), ("fileinto", _TAG), *beside_fcc(_TAG)),
)
