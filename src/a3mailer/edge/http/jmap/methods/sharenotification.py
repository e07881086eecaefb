"""ShareNotification (RFC 9670 section 3): get, changes, set (destroy alone), query, queryChanges.

What they say is what ``access/notices.py`` keeps; they are in the account that the Principals are in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec

from a3mailer.access.notices import Notice, Notices, dismissed, notices
from a3mailer.edge.http.jmap.accounts import Account
from a3mailer.edge.http.jmap.capabilities import PRINCIPALS
from a3mailer.edge.http.jmap.kept import Kept, commit
from a3mailer.edge.http.jmap.mailbox_rights import shown_of_others
from a3mailer.edge.http.jmap.method import Call, Method
from a3mailer.edge.http.jmap.methods.principal import seen_by
from a3mailer.edge.http.jmap.records import (
    Changes,
    Comparator,
    Created,
    Destroyed,
    Listed,
    Property,
    Record,
    Results,
    Update,
    Updated,
    fits,
    table,
)
from a3mailer.edge.http.jmap.services import Services
from a3mailer.edge.http.jmap.standard.changes import Changes as ChangesMethod
from a3mailer.edge.http.jmap.standard.get import Get
from a3mailer.edge.http.jmap.standard.query import Query, QueryChanges
from a3mailer.edge.http.jmap.standard.set import Set, SetArguments, refusing
from a3mailer.mail.ids import SYSTEM_ACCOUNT, AccountId
from a3mailer.mail.objectids import (
    ACCOUNT_LETTER,
    MAILBOX_LETTER,
    PRINCIPAL_LETTER,
    object_id,
)
from a3mailer.wire.jmap.errors import SetError, invalid_arguments
from a3mailer.wire.jmap.values import Id, UTCDate, read_date, utc_date

MAILBOX: Final = "Mailbox"
ONLY_DESTROYED: Final = SetError("forbidden", "the server makes them; they can be destroyed")


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A FilterCondition (section 3.4.1)."""

    after: UTCDate | None = None
    before: UTCDate | None = None
    object_type: str | msgspec.UnsetType = msgspec.UNSET
    object_account_id: Id | msgspec.UnsetType = msgspec.UNSET


def _kept(found: Notices) -> Kept:
    records = {id: msgspec.to_builtins(notice) for id, notice in found.live.items()}
    return Kept(records, found.touched, floor=found.floor)


async def state(services: Services, account: Account) -> str:
    """Of all notifications."""
    return _kept(await notices(services.store, account.id, int(services.clock.now()))).state


@dataclass(frozen=True, slots=True)
class ShareNotifications:
    """The type."""

    name: str = "ShareNotification"
    capability: str = PRINCIPALS
    action: str = "principal.list"
    change_action: str = "principal.change"
    singleton: bool = False
    condition: type[msgspec.Struct] = Condition
    sorts: frozenset[str] = frozenset(("created",))

    @property
    def properties(self) -> Mapping[str, Property]:
        return PROPERTIES

    async def state(self, call: Call) -> str:
        return await state(call.services, call.account)

    async def _told(self, call: Call) -> Notices:
        return await notices(call.services.store, call.account.id, int(call.services.clock.now()))

    async def ids(self, call: Call, most: int) -> Sequence[str]:
        return sorted((await self._told(call)).live)

    async def read(self, call: Call, ids: Sequence[str], properties: frozenset[str]) -> Mapping[str, Record]:
        live = (await self._told(call)).live
        seen = await seen_by(call.services, call.account)
        found = {id: notice for id in ids if (notice := live.get(id)) is not None}
        return {
            id: _record(call, id, notice, seen.of(f"account:{notice.by}") is not None)
            for id, notice in found.items()
        }

    async def changes(self, call: Call, since: str, most: int) -> Changes:
        found = _kept(await self._told(call))
        return found.changes(since, most, int(call.services.clock.now()))

    async def query(self, call: Call, filter: Any, sort: Sequence[Comparator]) -> Results:
        found = await self._told(call)
        live = found.live
        order = sorted(id for id, notice in live.items() if fits(filter, partial(_fits, notice)))
        order.sort(key=lambda id: live[id].made, reverse=bool(sort) and not sort[0].is_ascending)
        return Listed(order, _kept(found).state)

    async def create(self, call: Call, records: Mapping[str, Record]) -> Created:
        return dict.fromkeys(records, ONLY_DESTROYED)

    async def update(self, call: Call, updates: Mapping[str, Update]) -> Updated:
        return dict.fromkeys(updates, ONLY_DESTROYED)

    async def destroy(self, call: Call, ids: Sequence[str]) -> Destroyed:
        live = (await self._told(call)).live
        known = [id for id in ids if id in live]
        if known:
            now = int(call.services.clock.now())
            await commit(call, *dismissed(call.account.id, known, now))
        return {id: None if id in live else SetError("notFound") for id in ids}


def _record(call: Call, id: str, notice: Notice, known: bool) -> Record:
    by = object_id(PRINCIPAL_LETTER, notice.by) if known and notice.by != SYSTEM_ACCOUNT else None
    return {
        "id": id,
        "created": utc_date(notice.made),
        "changedBy": {"name": notice.by_name, "email": notice.by_address or None, "principalId": by},
        "objectType": MAILBOX,
        "objectAccountId": object_id(ACCOUNT_LETTER, AccountId(notice.account)),
        "objectId": object_id(MAILBOX_LETTER, notice.mailbox),
        "oldRights": shown_of_others(call.exchange.using, notice.old) if notice.old else None,
        "newRights": shown_of_others(call.exchange.using, notice.new) if notice.new else None,
        "name": notice.name,
    }


def _fits(notice: Notice, filter: Any) -> bool:
    try:
        return (
            (filter.after is None or notice.made >= read_date(filter.after))
            and (filter.before is None or notice.made < read_date(filter.before))
            and filter.object_type in (msgspec.UNSET, MAILBOX)
            and filter.object_account_id in (msgspec.UNSET, object_id(ACCOUNT_LETTER, notice.account))
        )
    except ValueError as error:
        raise invalid_arguments("filter: there is no such date") from error


class ShareNotificationSet(Set):
    """ShareNotification/set: whatever is to be created or updated is forbidden (section 3.3)."""

    async def run(self, call: Call, arguments: SetArguments) -> dict[str, object]:
        return await refusing(self.records, call, arguments, ONLY_DESTROYED, updates=True)


PROPERTIES: Final = table(
    *map(
        Property,
        (
            "created", "changedBy", "objectType", "objectAccountId", "objectId", "oldRights", "newRights",
            "name",
        ),
    )
)  # fmt: skip
TYPE: Final = ShareNotifications()
METHODS: Final[tuple[Method, ...]] = (
    Get(TYPE),
    ChangesMethod(TYPE),
    ShareNotificationSet(TYPE),
    Query(TYPE),
    QueryChanges(TYPE),
)
