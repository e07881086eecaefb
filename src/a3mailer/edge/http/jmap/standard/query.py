"""Foo/query and Foo/queryChanges (RFC 8620 sections 5.5 and 5.6).

Changes of a query are made of the changes of its records: whatever was created or changed and is in the
results now is an added item, whatever was changed or destroyed is a removed one - the specification lets
the latter name records that were not in the old results. Every type that has exact /changes has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import msgspec

from a3mailer.edge.http.jmap.limits import COLLATIONS, MAX_COMPARATORS, MAX_CONDITIONS, MAX_IN_QUERY
from a3mailer.edge.http.jmap.method import Call
from a3mailer.edge.http.jmap.records import Comparator, Operator, Queryable, Results, Searchable
from a3mailer.edge.http.jmap.standard.of_type import OfType
from a3mailer.wire.jmap.errors import MethodError, invalid_arguments
from a3mailer.wire.jmap.values import Id, Int, UnsignedInt

OPERATORS: frozenset[object] = frozenset(("AND", "OR", "NOT"))
MAX_QUERY_CHANGES = 5000
"""Changes of records a /queryChanges is made of."""


class _Search(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    account_id: Id
    filter: dict[str, Any] | None = None
    sort: tuple[Comparator, ...] | None = None
    calculate_total: bool = False


class QueryArguments(_Search, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Types with further arguments inherit from it."""

    position: Int = 0
    anchor: Id | None = None
    anchor_offset: Int = 0
    limit: UnsignedInt | None = None


class QueryChangesArguments(_Search, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Types with further arguments inherit from it."""

    since_query_state: str
    max_changes: UnsignedInt | None = None
    up_to_id: Id | None = None


@dataclass(frozen=True, slots=True)
class Query(OfType[Searchable]):
    """The method of a type."""

    verb: ClassVar = "/query"
    form: type[msgspec.Struct] = QueryArguments

    async def run(self, call: Call, arguments: QueryArguments) -> dict[str, object]:
        filter, sort = searched(self.records, arguments.filter, arguments.sort)
        results = await self.records.query(call, filter, sort)
        return await page(call, results, arguments)


@dataclass(frozen=True, slots=True)
class QueryChanges(OfType[Queryable]):
    """The method of a type."""

    verb: ClassVar = "/queryChanges"
    form: type[msgspec.Struct] = QueryChangesArguments

    async def run(self, call: Call, arguments: QueryChangesArguments) -> dict[str, object]:
        filter, sort = searched(self.records, arguments.filter, arguments.sort)
        results = await self.records.query(call, filter, sort)
        return await changed(self.records, call, results, arguments)


def searched(
    records: Searchable, filter: dict[str, Any] | None, sort: Sequence[Comparator] | None
) -> tuple[Any, Sequence[Comparator]]:
    """The filter as Operators and conditions of the type, and the sort.

    Errors: MethodError (``invalidArguments``, ``unsupportedFilter``, ``unsupportedSort``)."""
    sort = sort or ()
    if len(sort) > MAX_COMPARATORS:
        raise MethodError("unsupportedSort", f"more than {MAX_COMPARATORS} comparators")
    for each in sort:
        if each.property not in records.sorts:
            raise MethodError("unsupportedSort", f"not by {each.property[:100]}")
        if each.collation and each.collation not in COLLATIONS:
            raise MethodError("unsupportedSort", f"no such collation: {each.collation[:100]}")
    if filter is None:
        return None, sort
    return _Filters(records.condition).made(filter), sort


@dataclass(slots=True)
class _Filters:
    condition: type[msgspec.Struct]
    left: int = MAX_CONDITIONS

    def made(self, given: object) -> Any:
        """One node; nesting is bounded by that of JSON (``wire.jmap.ijson.MAX_DEPTH``)."""
        self.left -= 1
        if self.left < 0:
            raise MethodError("unsupportedFilter", f"more than {MAX_CONDITIONS} conditions")
        if not isinstance(given, dict):
            raise invalid_arguments("a filter is an object", "filter")
        if "operator" not in given:
            return self._condition(given)
        conditions = given.get("conditions")
        if given["operator"] not in OPERATORS or not isinstance(conditions, list) or len(given) != 2:
            raise invalid_arguments("an operator is AND, OR or NOT with conditions", "filter")
        return Operator(given["operator"], tuple(self.made(each) for each in conditions))

    def _condition(self, given: dict[str, Any]) -> Any:
        if unknown := sorted(given.keys() - _known(self.condition)):
            raise MethodError("unsupportedFilter", f"no such condition: {unknown[0][:100]}")
        try:
            return msgspec.convert(given, self.condition)
        except msgspec.ValidationError as error:
            raise invalid_arguments(f"filter: {error}", "filter") from error


@cache
def _known(condition: type[msgspec.Struct]) -> frozenset[str]:
    """Names in conditions of a type: finding them out costs more than most queries."""
    return frozenset(each.encode_name for each in msgspec.structs.fields(condition))


async def page(call: Call, results: Results, arguments: QueryArguments) -> dict[str, object]:
    """The response of a /query. Errors: MethodError (``anchorNotFound``)."""
    start = await _start(results, arguments)
    most = MAX_IN_QUERY if arguments.limit is None else min(arguments.limit, MAX_IN_QUERY)
    ids = await results.part(start, start + most)
    told: dict[str, object] = {
        "accountId": call.account.key,
        "queryState": results.state,
        "canCalculateChanges": results.can_calculate_changes,
        "position": start,
        "ids": ids,
    }
    if arguments.calculate_total:
        told["total"] = await results.total()
    if arguments.limit is None or arguments.limit > most:
        told["limit"] = most
    return told


async def _start(results: Results, arguments: QueryArguments) -> int:
    if arguments.anchor is not None:
        at = await results.index(arguments.anchor)
        if at < 0:
            raise MethodError("anchorNotFound")
        return max(0, at + arguments.anchor_offset)
    if arguments.position < 0:
        return max(0, await results.total() + arguments.position)
    return arguments.position


async def changed(
    records: Queryable, call: Call, results: Results, arguments: QueryChangesArguments
) -> dict[str, object]:
    """The response of a /queryChanges whose query state is the state of the type.

    Errors: MethodError (``cannotCalculateChanges``, ``tooManyChanges``)."""
    if not results.can_calculate_changes:
        raise MethodError("cannotCalculateChanges")
    since = arguments.since_query_state
    found = await records.changes(call, since, MAX_QUERY_CHANGES)
    if found.more:
        raise MethodError("cannotCalculateChanges", f"more than {MAX_QUERY_CHANGES} changes")
    removed = [*found.updated, *found.destroyed]
    places = [(await results.index(each), each) for each in (*found.created, *found.updated)]
    added = sorted(each for each in places if each[0] >= 0)
    if arguments.max_changes is not None and len(removed) + len(added) > arguments.max_changes:
        raise MethodError("tooManyChanges", f"{len(removed) + len(added)} changes")
    told: dict[str, object] = {
        "accountId": call.account.key,
        "oldQueryState": since,
        "newQueryState": results.state,
        "removed": removed,
        "added": [{"id": each, "index": at} for at, each in added],
    }
    if arguments.calculate_total:
        told["total"] = await results.total()
    return told
