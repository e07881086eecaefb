"""vnd.a3.policy: scripts of an operator at the stages of SMTP, from CONNECT to DATA.

Tests: ``stage <stages>``, ``client <networks>``, ``helo``, ``auth`` and ``tls``, the last two also without
keys. They look at the items ``vnd.a3.stage``, ``remote-ip``, ``vnd.a3.helo``, ``vnd.a3.login`` and
``vnd.a3.tls`` of the environment; what is not known (yet) is false.
Commands: ``accept``, ``refuse <text>`` and ``defer <text>`` end the script; ``tag <text>`` is noted in the
header, ``quarantine <text>`` puts the mail apart. A text may begin with an enhanced status code (RFC 3463),
and with a reply code before it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar, Final

from a3mailer.wire.sieve.actions import Action
from a3mailer.wire.sieve.errors import BadCall, RunFailed, Stopped
from a3mailer.wire.sieve.machine import Call, Machine
from a3mailer.wire.sieve.vocabulary import MATCHING, Extension, Kind, Parameter, Role, Word

CAPABILITY: Final = "vnd.a3.policy"
STAGES: Final = frozenset((b"connect", b"ehlo", b"auth", b"mail", b"rcpt", b"data"))
LONGEST: Final = 500
"""Characters of a text."""
REMEMBERED: Final = 4_096
"""Networks that are kept read."""
# text = [ [ reply-code SP ] status-code SP ] 1*character     ; status-code as in RFC 3463 section 2
_TEXT: Final = re.compile(r"(?:(?:([45])[0-9]{2} )?([45]\.[0-9]{1,3}\.[0-9]{1,3}) )?(.*)", re.DOTALL)
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Accept(Action, frozen=True):
    """Nothing further is looked at by this script."""

    word: ClassVar[str] = "accept"
    cancels: ClassVar[bool] = False


class Refuse(Action, frozen=True):
    """Refused at this stage; ``status`` begins with 4 where it may be tried again."""

    word: ClassVar[str] = "refuse"

    text: str
    status: str = "5.7.1"


class Tag(Action, frozen=True):
    """A finding that is only noted."""

    word: ClassVar[str] = "tag"
    cancels: ClassVar[bool] = False

    text: str


class Quarantine(Action, frozen=True):
    """Where it would go to an inbox, it goes to the junk."""

    word: ClassVar[str] = "quarantine"
    cancels: ClassVar[bool] = False

    text: str


def _item(name: str) -> Callable[[Machine, Call], bool]:
    """A test that matches one item; without keys it asks whether there is one."""

    def test(machine: Machine, call: Call) -> bool:
        value = machine.mail.environment(name)
        if not value:
            return False
        return not call.strings(0) or call.matches(machine, (value,), call.strings(0))

    return test


def _stage(machine: Machine, call: Call) -> bool:
    return machine.mail.environment("vnd.a3.stage") in {value.lower() for value in call.strings(0)}


def _check_stage(call: Call) -> None:
    for value in call.strings(0):
        if value.lower() not in STAGES:
            raise BadCall(f"{value[:60].decode('utf-8', 'replace')!r} is no stage")


@lru_cache(REMEMBERED)
def _network(text: bytes) -> _Network:
    """Errors: BadCall."""
    try:
        return ipaddress.ip_network(text.decode("ascii"))
    except ValueError as error:
        raise BadCall(f"{text[:60].decode('utf-8', 'replace')!r} is no network: {error}") from error


def _client(machine: Machine, call: Call) -> bool:
    try:
        item = machine.mail.environment("remote-ip") or b""
        address = ipaddress.ip_address(item.decode("ascii", "replace"))
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    machine.charge(len(call.strings(0)))
    try:
        return any(address in _network(text) for text in call.strings(0))
    except BadCall as error:
        raise RunFailed(str(error)) from error


def _check_client(call: Call) -> None:
    for text in call.strings(0):
        _network(text)


def _read(call: Call, kind: str) -> tuple[str, str]:
    """Text and status code. ``kind``: 4 or 5. Errors: BadCall."""
    text = call.string(0).decode("utf-8", "replace")
    found = _TEXT.fullmatch(" ".join(text.split())[:LONGEST])
    assert found is not None
    code, status, rest = found.groups()
    status = status or f"{kind}.7.1"
    if (code or kind) != kind or status[0] != kind:
        raise BadCall(f"the code must begin with {kind}")
    if not rest or not rest.isprintable():
        raise BadCall("a text is wanted that a client can be told")
    return rest, status


def _refusal(kind: str) -> tuple[Callable[[Machine, Call], None], Callable[[Call], None]]:
    def run(machine: Machine, call: Call) -> None:
        try:
            machine.act(Refuse(*_read(call, kind)))
        except BadCall as error:
            raise RunFailed(str(error)) from error
        raise Stopped

    def check(call: Call) -> None:
        _read(call, kind)

    return run, check


def _accept(machine: Machine, call: Call) -> None:
    machine.act(Accept())
    raise Stopped


def _note(call: Call) -> str:
    text = " ".join(call.string(0).decode("utf-8", "replace").split())[:LONGEST]
    return "".join(c if c.isprintable() else "?" for c in text)


def _tag(machine: Machine, call: Call) -> None:
    machine.act(Tag(_note(call)))


def _quarantine(machine: Machine, call: Call) -> None:
    machine.act(Quarantine(_note(call)))


_STAGES: Final = Parameter("list of stages", Kind.STRINGS)
_NETWORKS: Final = Parameter("list of networks", Kind.STRINGS)
_KEYS: Final = Parameter("list of keys", Kind.STRINGS)
_MAYBE: Final = Parameter("list of keys", Kind.STRINGS, optional=True)
_WHY: Final = (Parameter("text", Kind.STRING),)
_REFUSE, _CHECK_REFUSE = _refusal("5")
_DEFER, _CHECK_DEFER = _refusal("4")
EXTENSION: Final = Extension(
    CAPABILITY,
    words=(
        Word("stage", Role.TEST, _stage, (_STAGES,), check=_check_stage),
        Word("client", Role.TEST, _client, (_NETWORKS,), check=_check_client),
        Word("helo", Role.TEST, _item("vnd.a3.helo"), (_KEYS,), groups=MATCHING),
        Word("auth", Role.TEST, _item("vnd.a3.login"), (_MAYBE,), groups=MATCHING),
        Word("tls", Role.TEST, _item("vnd.a3.tls"), (_MAYBE,), groups=MATCHING),
        Word("accept", Role.ACTION, _accept),
        Word("refuse", Role.ACTION, _REFUSE, _WHY, check=_CHECK_REFUSE),
        Word("defer", Role.ACTION, _DEFER, _WHY, check=_CHECK_DEFER),
        Word("tag", Role.ACTION, _tag, _WHY),
        Word("quarantine", Role.ACTION, _quarantine, _WHY),
    ),
)
