"""extlists (RFC 6134): is it in a list that is kept elsewhere? ``redirect :list`` sends to all of one.

What lists an account has, the door says: their names are URIs (``tag:``, ``urn:ietf:params:sieve:``) or begin
with a colon as a short form of the latter. A list that is not there has nobody in it; to redirect to it is an
error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from a3mailer.wire.sieve.comparators import Comparator
from a3mailer.wire.sieve.door import whole_name
from a3mailer.wire.sieve.errors import BadCall, RunFailed
from a3mailer.wire.sieve.machine import Call, Machine
from a3mailer.wire.sieve.vocabulary import Extension, Kind, MatchType, Parameter, Role, Tag, Word

NAME: Final = 512
"""Octets."""


def list_name(octets: bytes) -> str:
    """The whole name. Errors: BadCall."""
    try:
        name = octets.decode()
    except UnicodeDecodeError as error:
        raise BadCall("the name of a list is not UTF-8") from error
    if not name or len(octets) > NAME or not name.isprintable():
        raise BadCall("no name of a list")
    return whole_name(name)


def _list(
    machine: Machine, call: Call, comparator: Comparator, values: Sequence[bytes], keys: Sequence[bytes]
) -> bool:
    machine.charge(len(values) * len(keys))
    for key in keys:
        try:
            members = machine.mail.members(list_name(key)) or ()
        except BadCall as error:
            raise RunFailed(str(error)) from error
        for value in values:
            if value.lower() in members:
                if "variables" in machine.enabled:
                    machine.match((value,))
                return True
    return False


def _check(call: Call) -> None:
    for key in call.strings(len(call.positional) - 1):
        list_name(key)


def _valid(machine: Machine, call: Call) -> bool:
    try:
        return all(machine.mail.members(list_name(name)) is not None for name in call.strings(0))
    except BadCall:
        return False


EXTENSION: Final = Extension(
    "extlists",
    words=(Word("valid_ext_list", Role.TEST, _valid, (Parameter("list of external lists", Kind.STRINGS),)),),
    tags=(("redirect", Tag("list")),),
    match_types=(MatchType("list", _list, check=_check),),
)
