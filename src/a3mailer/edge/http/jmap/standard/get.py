"""Foo/get (RFC 8620 section 5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from a3mailer.edge.http.jmap.limits import MAX_OBJECTS_IN_GET
from a3mailer.edge.http.jmap.method import Call
from a3mailer.edge.http.jmap.records import Records
from a3mailer.edge.http.jmap.standard.of_type import OfType
from a3mailer.wire.jmap.errors import MethodError, invalid_arguments
from a3mailer.wire.jmap.values import Id, Ref


class GetArguments(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Types with further arguments inherit from it."""

    account_id: Id
    ids: tuple[Ref, ...] | None = None
    properties: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Get(OfType[Records]):
    """The method of a type."""

    verb: ClassVar = "/get"
    form: type[msgspec.Struct] = GetArguments

    async def run(self, call: Call, arguments: GetArguments) -> dict[str, object]:
        wanted = properties_of(self.records, arguments.properties)
        ids, lost = meant(call, arguments.ids)
        told = await get(self.records, call, ids, wanted)
        return {**told, "notFound": [*told["notFound"], *lost]}


def meant(call: Call, ids: Sequence[str] | None) -> tuple[Sequence[str] | None, list[str]]:
    """The ids, unlike each other, and references to no record of this request (section 5.3)."""
    if ids is None:
        return None, []
    if "#" not in "".join(ids):  # a form lets it stand in the first place only
        return tuple(dict.fromkeys(ids)), []
    found = {each: call.exchange.real(each) for each in ids}
    real = tuple(dict.fromkeys(each for each in found.values() if each is not None))
    return real, [each for each, id in found.items() if id is None]


def properties_of(records: Records, names: Sequence[str] | None) -> frozenset[str]:
    """The properties that are wanted, always with ``id``. Errors: MethodError (``invalidArguments``)."""
    if names is None:
        return frozenset(name for name, each in records.properties.items() if each.shown)
    properties = records.properties
    wanted = frozenset(names)
    if unknown := sorted([name for name in wanted if name not in properties]):
        raise invalid_arguments(f"no such property: {unknown[0][:100]}")
    return wanted | {"id"}


async def get(
    records: Records, call: Call, ids: Sequence[str] | None, properties: frozenset[str]
) -> dict[str, Any]:
    """The response of a /get. The state is read first: what changes meanwhile is then told twice, not never.

    Errors: MethodError (``requestTooLarge``)."""
    state = await records.state(call)
    if ids is None:
        ids = await records.ids(call, MAX_OBJECTS_IN_GET)
        if len(ids) > MAX_OBJECTS_IN_GET:
            raise too_many(MAX_OBJECTS_IN_GET)
    elif len(ids) > MAX_OBJECTS_IN_GET:
        raise too_many(MAX_OBJECTS_IN_GET)
    found = await records.read(call, ids, properties)
    return {
        "accountId": call.account.key,
        "state": state,
        "list": [
            {name: value for name, value in found[each].items() if name in properties}
            for each in ids
            if each in found
        ],
        "notFound": [each for each in ids if each not in found],
    }


def too_many(most: int) -> MethodError:
    """The error of more records than are taken at once."""
    return MethodError("requestTooLarge", f"more than {most} records")
