"""The base of the language (RFC 5228 sections 3 to 5): what needs no capability."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from a3mailer.mail.address import Address
from a3mailer.wire.sieve import addresses
from a3mailer.wire.sieve.actions import Discard, Keep, Redirect
from a3mailer.wire.sieve.dialect import CORE
from a3mailer.wire.sieve.door import DEFAULT_LIST, whole_name
from a3mailer.wire.sieve.errors import BadCall, RunFailed
from a3mailer.wire.sieve.machine import MIME, MIME_OPTION, Call, Machine, Tagged
from a3mailer.wire.sieve.matching import CONTAINS, IS, MATCHES
from a3mailer.wire.sieve.vocabulary import (
    ADDRESS_PART,
    COMPARATOR,
    MATCH_TYPE,
    MATCHING,
    Extension,
    Kind,
    Parameter,
    Role,
    Tag,
    Word,
)

HEADERS: Final = Parameter("list of header names", Kind.STRINGS)
KEYS: Final = Parameter("list of keys", Kind.STRINGS)
NOT_OF_ADDRESSES: Final = frozenset(
    b"subject date received message-id in-reply-to references comments keywords mime-version content-type "
    b"content-transfer-encoding content-disposition content-id content-description list-id".split()
)
"""Fields that hold no addresses, so that ``address`` does not look into them (RFC 5228 section 5.1)."""


def parts_of(call: Call, found: Iterable[addresses.Parts]) -> list[bytes]:
    """The part of each address that a call asks for, where the address has one (RFC 5228 section 2.7.4)."""
    part = call.function(ADDRESS_PART) or addresses.whole
    return [each for each in map(part, found) if each is not None]


def _local_part(parts: addresses.Parts, tag: Tagged) -> bytes | None:
    return addresses.local_part(parts)


def _domain(parts: addresses.Parts, tag: Tagged) -> bytes | None:
    return addresses.domain(parts)


def _parsed(machine: Machine, value: bytes, separator: bytes) -> list[addresses.Parts]:
    """The addresses of a field; read once a run."""
    known = machine.kept.setdefault("addresses", {})
    assert isinstance(known, dict)
    found: list[addresses.Parts] | None = known.get(value)
    if found is None:
        machine.hold(len(value))
        found = known[value] = addresses.of_field(value, separator)
    return found


def _address(machine: Machine, call: Call) -> bool:
    values: list[bytes] = []
    separator = addresses.separator_of(machine.mail)
    names = [name for name in call.strings(0) if name.lower() not in NOT_OF_ADDRESSES]
    for value in call.indexed([value for name in names for value in machine.raw_of(call, name)]):
        values += parts_of(call, _parsed(machine, value, separator))
    machine.charge(len(values))
    return call.matches(machine, values, call.strings(1))


def _header(machine: Machine, call: Call) -> bool:
    if call.tag(MIME):
        values = [value for name in call.strings(0) for value in machine.mime_values(call, name)]
        if call.tag(MATCH_TYPE) == "count" and call.tag(MIME_OPTION) not in ("", "param"):
            values = [value for value in values if value]  # fields that were parsed
    else:
        values = [value for name in call.strings(0) for value in machine.values(name)]
    return call.matches(machine, call.indexed(values), call.strings(1))


def _exists(machine: Machine, call: Call) -> bool:
    return all(machine.raw_of(call, name) for name in call.strings(0))


def _size(machine: Machine, call: Call) -> bool:
    limit = call.number(0)
    return machine.size > limit if call.tag("bound") == "over" else machine.size < limit


def _true(machine: Machine, call: Call) -> bool:
    return True


def _false(machine: Machine, call: Call) -> bool:
    return False


def _keep(machine: Machine, call: Call) -> None:
    machine.act(call.modified(machine.changed(Keep(flags=machine.flags))))


def _discard(machine: Machine, call: Call) -> None:
    machine.act(Discard())


def _redirect(machine: Machine, call: Call) -> None:
    try:
        to = _of_list(machine, call) if call.tag("list") else (addresses.outbound(call.string(0)),)
    except BadCall as error:
        raise RunFailed(str(error)) from error
    for address in to:
        machine.act(call.modified(machine.changed(Redirect(address))))


def _of_list(machine: Machine, call: Call) -> Iterable[Address]:
    """All of an external list (RFC 6134 section 2.3). Errors: BadCall."""
    name = call.string(0).decode("utf-8", "replace")
    members = machine.mail.members(whole_name(name))
    if members is None and whole_name(name) == DEFAULT_LIST:
        members = {}
    if members is None:
        raise BadCall(f'there is no list "{name[:60]}"')
    machine.charge(len(members))
    return [addresses.outbound(members[each]) for each in sorted(members)]


def _check_redirect(call: Call) -> None:
    if not call.tag("list"):
        addresses.outbound(call.string(0))


EXTENSION: Final = Extension(
    CORE,
    words=(
        Word("require", Role.REQUIRE),
        Word("if", Role.IF),
        Word("elsif", Role.ELSIF),
        Word("else", Role.ELSE),
        Word("stop", Role.STOP),
        Word("keep", Role.ACTION, _keep),
        Word("discard", Role.ACTION, _discard),
        Word(
            "redirect",
            Role.ACTION,
            _redirect,
            (Parameter("address", Kind.STRING),),
            check=_check_redirect,
        ),
        Word("address", Role.TEST, _address, (HEADERS, KEYS), groups=(*MATCHING, ADDRESS_PART)),
        Word("header", Role.TEST, _header, (HEADERS, KEYS), groups=MATCHING),
        Word("exists", Role.TEST, _exists, (HEADERS,)),
        Word(
            "size",
            Role.TEST,
            _size,
            (Parameter("limit", Kind.NUMBER),),
            (Tag("over", group="bound"), Tag("under", group="bound")),
            needs=("bound",),
        ),
        Word("allof", Role.ALLOF),
        Word("anyof", Role.ANYOF),
        Word("not", Role.NOT),
        Word("true", Role.TEST, _true),
        Word("false", Role.TEST, _false),
    ),
    tags=(
        (COMPARATOR, Tag("comparator", Kind.CONSTANT, COMPARATOR)),
        (ADDRESS_PART, Tag("all", group=ADDRESS_PART)),
        (ADDRESS_PART, Tag("localpart", group=ADDRESS_PART, modify=_local_part)),
        (ADDRESS_PART, Tag("domain", group=ADDRESS_PART, modify=_domain)),
    ),
    match_types=(IS, CONTAINS, MATCHES),
)
