"""Quotas (RFC 9425): what an account may keep, and what of it is used. An account without a limit has none.

A state says what it stands for - limit and use -, so changes are exact and nothing is kept for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import methodcaller
from typing import Any, Final

import msgspec

from a3mailer.edge.http.jmap import records
from a3mailer.edge.http.jmap.accounts import Account
from a3mailer.edge.http.jmap.capabilities import MAIL, QUOTA
from a3mailer.edge.http.jmap.method import Call, Method
from a3mailer.edge.http.jmap.records import Comparator, Listed, Property, Record, Results, fits, table
from a3mailer.edge.http.jmap.services import Services
from a3mailer.edge.http.jmap.standard.changes import Changes
from a3mailer.edge.http.jmap.standard.get import Get
from a3mailer.edge.http.jmap.standard.query import Query, QueryChanges
from a3mailer.mail.errors import NoSuchAccount
from a3mailer.wire.jmap.errors import MethodError
from a3mailer.wire.jmap.values import MAX_INT

ONLY: Final = "octets"
"""The id of the one there is."""
NAME: Final = "mail"
MAX_DIGITS: Final = 18


class Wanted(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A FilterCondition (section 4.4)."""

    name: str | None = None
    scope: str | None = None
    resource_type: str | None = None
    type: str | None = None

    def fits(self, record: Record) -> bool:
        """Does a quota match all conditions?"""
        return (
            (self.name is None or self.name in record["name"])
            and self.scope in (None, record["scope"])
            and self.resource_type in (None, record["resourceType"])
            and (self.type is None or self.type in record["types"])
        )


async def quota_state(services: Services, account: Account) -> str:
    """Limit and use. Errors: NoSuchAccount."""
    row = await services.store.account(account.id)
    if row is None:
        raise NoSuchAccount(str(account.id))
    return f"{row.quota}-{row.used_octets}" if row.quota else "0"


@dataclass(frozen=True, slots=True)
class Quotas:
    """The type."""

    name: str = "Quota"
    capability: str = QUOTA
    action: str = "quota.read"
    condition: type[msgspec.Struct] = Wanted
    sorts: frozenset[str] = frozenset(("name", "used"))
    properties: Mapping[str, Property] = field(
        default_factory=lambda: table(
            *map(Property, ("resourceType", "used", "hardLimit", "warnLimit", "softLimit", "scope", "name")),
            Property("types"),
            Property("description"),
        )
    )

    async def state(self, call: Call) -> str:
        return await quota_state(call.services, call.account)

    async def ids(self, call: Call, most: int) -> Sequence[str]:
        return tuple(await self.read(call, (ONLY,), frozenset()))

    async def read(self, call: Call, ids: Sequence[str], properties: frozenset[str]) -> Mapping[str, Record]:
        limit, used = _read(await self.state(call)) or (0, 0)
        if ONLY not in ids or not limit or MAIL not in call.exchange.using:
            return {}
        return {
            ONLY: {
                "id": ONLY,
                "resourceType": "octets",
                "used": min(used, MAX_INT),
                "hardLimit": min(limit, MAX_INT),
                "warnLimit": None,
                "softLimit": None,
                "scope": "account",
                "name": NAME,
                "types": ["Email"],
                "description": None,
            }
        }

    async def changes(self, call: Call, since: str, most: int) -> records.Changes:
        then, state = _read(since), await self.state(call)
        now = _read(state)
        if then is None or now is None:
            raise MethodError("cannotCalculateChanges", "that was no state")
        only_used = {"updatedProperties": ["used"] if then[0] == now[0] else None}
        if then == now or not (then[0] or now[0]):
            return records.Changes((), (), (), state, further=only_used)
        if not then[0]:
            return records.Changes((ONLY,), (), (), state, further=only_used)
        if not now[0]:
            return records.Changes((), (), (ONLY,), state, further=only_used)
        return records.Changes((), (ONLY,), (), state, further=only_used)

    async def query(self, call: Call, filter: Any, sort: Sequence[Comparator]) -> Results:
        found = await self.read(call, (ONLY,), frozenset())
        ids = [id for id, each in found.items() if fits(filter, methodcaller("fits", each))]
        return Listed(ids, await self.state(call))


def _read(state: str) -> tuple[int, int] | None:
    """(limit, use) of a state; None where it is none."""
    limit, dash, used = state.partition("-")
    words = (limit, used) if dash else (limit,)
    if not all(each.isascii() and each.isdigit() and len(each) <= MAX_DIGITS for each in words):
        return None
    if not dash:
        return (0, 0) if limit == "0" else None
    return int(limit), int(used)


QUOTAS: Final = Quotas()
METHODS: Final[tuple[Method, ...]] = (Get(QUOTAS), Changes(QUOTAS), Query(QUOTAS), QueryChanges(QUOTAS))
