"""extlists (RFC 6134): is it in a list that is kept elsewhere? ``redirect :list`` sends to all of one.

What lists an account has, the door says: their names are URIs (``tag:``, ``urn:ietf:params:sieve:``) or begin
with a colon as a short form of the latter. To ask for one that is not there is an error of the run, but for
``:addrbook:default``, which is empty then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from a3mailer.wire.sieve.comparators import Comparator
from a3mailer.wire.sieve.door import DEFAULT_LIST, whole_name
from a3mailer.wire.sieve.errors import BadCall, RunFailed
from a3mailer.wire.sieve.machine import Call, Machine
from a3mailer.wire.sieve.vocabulary import COMPARATOR, Extension, Kind, MatchType, Parameter, Role, Tag, Word

NAME: Final = 512
"""Octets."""
_URI: Final = re.compile(r":\S|[A-Za-z][A-Za-z0-9+.\-]*:\S")


def list_name(octets: bytes) -> str:
    """The whole name. Errors: BadCall."""
    try:
        name = octets.decode()
    except UnicodeDecodeError as error:
        raise BadCall("the name of a list is not UTF-8") from error
    if len(octets) > NAME or not name.isprintable() or not _URI.match(name):
        raise BadCall(f'"{name[:60]}" is no name of a list, which is an absolute URI')
    return whole_name(name)


def members(machine: Machine, octets: bytes) -> Mapping[bytes, bytes]:
    """Who is in a list, by the name in lower case. Errors: BadCall, also where there is none."""
    name = list_name(octets)
    found = machine.mail.members(name)
    if found is None and name != DEFAULT_LIST:
        raise BadCall(f'there is no list "{name[:60]}"')
    return found or {}


def _list(
    machine: Machine, call: Call, comparator: Comparator, values: Sequence[bytes], keys: Sequence[bytes]
) -> bool:
    machine.charge(len(values) * len(keys))
    for key in keys:
        try:
            _check_comparator(call)
            found = members(machine, key)
        except BadCall as error:
            raise RunFailed(str(error)) from error
        for value in values:
            member = found.get(value.decode("utf-8", "replace").lower().encode())
            if member is not None:
                if "variables" in machine.enabled:
                    machine.match((member,))  # as the list has it (section 2.2)
                return True
    return False


def _check_comparator(call: Call) -> None:
    """Errors: BadCall."""
    if call.tag(COMPARATOR):
        raise BadCall(":list takes no comparator")


def _check(call: Call) -> None:
    _check_comparator(call)
    for key in call.strings(len(call.positional) - 1):
        list_name(key)


def _valid(machine: Machine, call: Call) -> bool:
    try:
        for name in call.strings(0):
            members(machine, name)
    except BadCall:
        return False
    return True


EXTENSION: Final = Extension(
    "extlists",
    words=(Word("valid_ext_list", Role.TEST, _valid, (Parameter("list of external lists", Kind.STRINGS),)),),
    tags=(("redirect", Tag("list")),),
    match_types=(MatchType("list", _list, check=_check),),
)
