"""fileinto (RFC 5228 section 4.1): into a mailbox by its name."""

from __future__ import annotations

from typing import Final

from a3mailer.wire.sieve.actions import FileInto
from a3mailer.wire.sieve.errors import BadCall, RunFailed
from a3mailer.wire.sieve.machine import Call, Machine
from a3mailer.wire.sieve.vocabulary import Extension, Kind, Parameter, Role, Word

MAILBOX_NAME: Final = 4_096
"""Octets."""


def mailbox_name(octets: bytes) -> str:
    """A name as a script has it. Errors: BadCall."""
    try:
        name = octets.decode()
    except UnicodeDecodeError as error:
        raise BadCall("a mailbox name that is not UTF-8") from error
    if not name or len(octets) > MAILBOX_NAME:
        raise BadCall("a mailbox name that is empty or too long")
    if not name.isprintable():
        raise BadCall("a mailbox name with characters that cannot be seen")
    return name


def _fileinto(machine: Machine, call: Call) -> None:
    try:
        name = mailbox_name(call.string(0))
    except BadCall as error:
        raise RunFailed(str(error)) from error
    machine.act(call.modified(machine.changed(FileInto(name, flags=machine.flags))))


def _check(call: Call) -> None:
    mailbox_name(call.string(0))


EXTENSION: Final = Extension(
    "fileinto",
    words=(Word("fileinto", Role.ACTION, _fileinto, (Parameter("mailbox", Kind.STRING),), check=_check),),
)
