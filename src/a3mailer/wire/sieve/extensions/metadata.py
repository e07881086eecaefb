"""mboxmetadata, servermetadata (RFC 5490 sections 3.3, 3.4 and 4): annotations of mailboxes and the server.

What cannot be read, or may not be, is not there.
"""

from __future__ import annotations

from typing import Final

from a3mailer.wire.sieve.extensions.core import KEYS
from a3mailer.wire.sieve.machine import Call, Machine
from a3mailer.wire.sieve.vocabulary import MATCHING, Extension, Kind, Parameter, Role, Word

_MAILBOX: Final = Parameter("mailbox", Kind.STRING)
_NAME: Final = Parameter("annotation name", Kind.STRING)
_NAMES: Final = Parameter("list of annotation names", Kind.STRINGS)


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _matches(machine: Machine, call: Call, mailbox: str | None, place: int) -> bool:
    """Is there the annotation that stands at a place, and does its value match a key behind it?"""
    value = machine.mail.annotation(mailbox, _text(call.string(place)))
    if value is None:
        return False
    machine.hold(len(value))
    return call.matches(machine, (value,), call.strings(place + 1))


def _all_exist(machine: Machine, call: Call, mailbox: str | None, place: int) -> bool:
    names = map(_text, call.strings(place))
    return all(machine.mail.annotation(mailbox, name) is not None for name in names)


def _metadata(machine: Machine, call: Call) -> bool:
    return _matches(machine, call, _text(call.string(0)), 1)


def _metadata_exists(machine: Machine, call: Call) -> bool:
    return _all_exist(machine, call, _text(call.string(0)), 1)


def _server_metadata(machine: Machine, call: Call) -> bool:
    return _matches(machine, call, None, 0)


def _server_metadata_exists(machine: Machine, call: Call) -> bool:
    return _all_exist(machine, call, None, 0)


MAILBOX: Final = Extension(
    "mboxmetadata",
    words=(
        Word("metadata", Role.TEST, _metadata, (_MAILBOX, _NAME, KEYS), groups=MATCHING),
        Word("metadataexists", Role.TEST, _metadata_exists, (_MAILBOX, _NAMES)),
    ),
)
SERVER: Final = Extension(
    "servermetadata",
    words=(
        Word("servermetadata", Role.TEST, _server_metadata, (_NAME, KEYS), groups=MATCHING),
        Word("servermetadataexists", Role.TEST, _server_metadata_exists, (_NAMES,)),
    ),
)
