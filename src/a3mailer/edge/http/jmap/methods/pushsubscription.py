"""PushSubscription/get and /set (RFC 8620 sections 7.2.1 and 7.2.2): of no account, of one's credentials."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from a3mailer.access.pushes import LONGEST, MOST, Subscription, drop, put, subscriptions
from a3mailer.edge.http.jmap.capabilities import CORE
from a3mailer.edge.http.jmap.limits import MAX_OBJECTS_IN_GET
from a3mailer.edge.http.jmap.method import Call, Method
from a3mailer.edge.http.jmap.records import By, Created, Destroyed, Property, Record, Update, Updated, table
from a3mailer.edge.http.jmap.standard.get import properties_of, too_many
from a3mailer.edge.http.jmap.standard.set import SetArguments, change
from a3mailer.identity.principal import Principal
from a3mailer.runtime.http import MAX_URL, HttpFailure
from a3mailer.store.ports import Transaction
from a3mailer.wire.jmap.errors import MethodError, SetError, invalid_properties
from a3mailer.wire.jmap.values import Id, Ref, UTCDate, read_date, utc_date
from a3mailer.wire.webpush.encrypt import subscriber_keys

CODE: Final = 24
"""Random octets of a verification code."""
NEW: Final = 10
"""Subscriptions of one account that are made within NEW_SECONDS: each is a request to somebody's URL."""
NEW_SECONDS: Final = 3600
SECRET: Final = frozenset(("url", "keys"))
"""Properties that are never told."""
Text = Annotated[str, Meta(min_length=1, max_length=255)]


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The subscriber's keys (RFC 8291)."""

    p256dh: Annotated[str, Meta(max_length=200)]
    auth: Annotated[str, Meta(max_length=100)]


@dataclass(frozen=True, slots=True)
class PushSubscriptions:
    """The type; it has neither account nor state."""

    name: str = "PushSubscription"
    capability: str = CORE
    action: str = "session.login"
    change_action: str = "session.login"
    singleton: bool = False
    properties: Mapping[str, Property] = field(
        default_factory=lambda: table(
            Property("deviceClientId", Text, By.CREATOR),
            Property("url", Annotated[str, Meta(max_length=MAX_URL)], By.CREATOR, shown=False),
            Property("keys", Keys | None, By.CREATOR, None, shown=False, told=False),
            Property("verificationCode", Text | None, By.CLIENT, None),
            Property("expires", UTCDate | None, By.CLIENT, None),
            Property("types", Annotated[tuple[Text, ...], Meta(max_length=100)] | None, By.CLIENT, None),
        )
    )

    async def state(self, call: Call) -> str:
        return ""

    async def ids(self, call: Call, most: int) -> Sequence[str]:
        return tuple(await self._mine(call))

    async def read(self, call: Call, ids: Sequence[str], properties: frozenset[str]) -> Mapping[str, Record]:
        mine = await self._mine(call)
        return {each: _record(each, mine[each]) for each in ids if each in mine}

    async def _mine(self, call: Call) -> dict[str, Subscription]:
        found = await subscriptions(call.services.store, call.principal.account)
        return {id: each for id, (each, _) in found.items() if each.of(call.principal)}

    async def create(self, call: Call, records: Mapping[str, Record]) -> Created:
        store, who, now = call.services.store, call.principal, int(call.services.clock.now())
        rows = [row for _, row in (await subscriptions(store, who.account)).values()]
        there = len(rows)
        young = call.services.pushes.recent(who.account, now, NEW_SECONDS)
        told: dict[str, Record | SetError] = {}
        for key, record in records.items():
            try:
                made = _made(call, record, now)
            except SetError as error:
                told[key] = error
                continue
            if there >= MOST:
                told[key] = SetError("overQuota", f"at most {MOST} push subscriptions")
            elif young >= NEW:
                told[key] = SetError("rateLimit", "too many push subscriptions were made of late")
            else:
                id = f"S{secrets.token_hex(12)}"
                await store.commit(Transaction((put(who.account, id, made, now),)))
                call.services.pushes.made(who.account, now)
                there, young = there + 1, young + 1
                told[key] = {"id": id, "expires": utc_date(made.expires)}
        return told

    async def update(self, call: Call, updates: Mapping[str, Update]) -> Updated:
        store, account = call.services.store, call.principal.account
        now = int(call.services.clock.now())
        rows = await subscriptions(store, account)
        told: dict[str, Record | SetError | None] = {}
        for id, update in updates.items():
            try:
                made = _changed(rows[id][0], update.changed, now)
            except SetError as error:
                told[id] = error
                continue
            due = now if made.verified else rows[id][1].due
            await store.commit(Transaction((put(account, id, made, due),)))
            asked = update.changed.get("expires")
            clamped = "expires" in update.changed and asked != utc_date(made.expires)
            told[id] = {"expires": utc_date(made.expires)} if clamped else None
        return told

    async def destroy(self, call: Call, ids: Sequence[str]) -> Destroyed:
        mine = await self._mine(call)
        told: dict[str, SetError | None] = {}
        for id in ids:
            if id in mine:
                await call.services.store.commit(Transaction((drop(call.principal.account, id),)))
            told[id] = None if id in mine else SetError("notFound")
        return told


def _record(id: str, made: Subscription) -> Record:
    return {
        "id": id,
        "deviceClientId": made.device,
        "url": made.url,
        "keys": {"p256dh": made.p256dh, "auth": made.auth} if made.p256dh else None,
        "verificationCode": made.code if made.verified else None,
        "expires": utc_date(made.expires),
        "types": None if made.types is None else list(made.types),
    }


def _made(call: Call, record: Record, now: int) -> Subscription:
    """Errors: SetError (``invalidProperties``)."""
    wrong = [] if record["verificationCode"] is None else ["verificationCode"]
    if not record["url"].startswith("https://") or not _permitted(call, record["url"]):
        wrong.append("url")
    keys = record["keys"] or {"p256dh": "", "auth": ""}
    if record["keys"] is not None and not _usable(keys):
        wrong.append("keys")
    expires = _expires(record["expires"], now)
    if expires is None:
        wrong.append("expires")
    if wrong or expires is None:
        raise invalid_properties(*wrong)
    who: Principal = call.principal
    return Subscription(
        device=record["deviceClientId"],
        url=record["url"],
        code=secrets.token_urlsafe(CODE),
        expires=expires,
        role=who.role,
        login=who.login,
        address=who.address,
        tenant=who.tenant,
        epoch=who.epoch,
        p256dh=keys["p256dh"],
        auth=keys["auth"],
        types=None if record["types"] is None else tuple(record["types"]),
        scopes=tuple(sorted(who.scopes)),
        token=who.token.hex(),
    )


def _permitted(call: Call, url: str) -> bool:
    try:
        call.services.pushes.permitted(url)
    except HttpFailure:
        return False
    return True


def _usable(keys: dict[str, str]) -> bool:
    try:
        subscriber_keys(keys["p256dh"], keys["auth"])
    except ValueError:
        return False
    return True


def _expires(given: str | None, now: int) -> int | None:
    """Seconds since the epoch, bounded; None where it is no date or over."""
    if given is None:
        return now + LONGEST
    try:
        wanted = read_date(given)
    except ValueError:
        return None
    return min(wanted, now + LONGEST) if wanted > now else None


def _changed(made: Subscription, changed: Record, now: int) -> Subscription:
    """Errors: SetError (``invalidProperties``)."""
    wrong, new = [], made
    code = changed.get("verificationCode")
    if code is not None:
        if secrets.compare_digest(code.encode("utf-8", "replace"), made.code.encode()):
            new = msgspec.structs.replace(new, verified=True)
        else:
            wrong.append("verificationCode")
    if "expires" in changed:
        expires = _expires(changed["expires"], now)
        if expires is None:
            wrong.append("expires")
        else:
            new = msgspec.structs.replace(new, expires=expires)
    if "types" in changed:
        types = changed["types"]
        new = msgspec.structs.replace(new, types=None if types is None else tuple(types))
    if wrong:
        raise invalid_properties(*wrong)
    return new


TYPE: Final = PushSubscriptions()


class GetPush(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Arguments of PushSubscription/get."""

    ids: tuple[Id, ...] | None = None
    properties: tuple[str, ...] | None = None


class SetPush(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Arguments of PushSubscription/set."""

    create: dict[Id, dict[str, Any]] | None = None
    update: dict[Ref, dict[str, Any]] | None = None
    destroy: tuple[Ref, ...] | None = None


@dataclass(frozen=True, slots=True)
class PushGet:
    """/get without account and state; URL and keys are never told."""

    name: str = "PushSubscription/get"
    capability: str = CORE
    action: str = "session.login"
    writes: bool = False
    form: type[msgspec.Struct] | None = GetPush

    async def run(self, call: Call, arguments: GetPush) -> dict[str, object]:
        wanted = properties_of(TYPE, arguments.properties)
        if wanted & SECRET:
            raise MethodError("forbidden", "url and keys are not told")
        ids = tuple(dict.fromkeys(await TYPE.ids(call, MOST) if arguments.ids is None else arguments.ids))
        if len(ids) > MAX_OBJECTS_IN_GET:
            raise too_many(MAX_OBJECTS_IN_GET)
        found = await TYPE.read(call, ids, wanted)
        shown = [
            {name: value for name, value in found[each].items() if name in wanted}
            for each in ids
            if each in found
        ]
        return {"list": shown, "notFound": [each for each in ids if each not in found]}


@dataclass(frozen=True, slots=True)
class PushSet:
    """/set without account and states."""

    name: str = "PushSubscription/set"
    capability: str = CORE
    action: str = "session.login"
    writes: bool = False
    form: type[msgspec.Struct] | None = SetPush

    async def run(self, call: Call, arguments: SetPush) -> dict[str, object]:
        given = SetArguments(
            account_id="-", create=arguments.create, update=arguments.update, destroy=arguments.destroy
        )
        told = (await change(TYPE, call, given)).response("")
        return {
            name: value for name, value in told.items() if name not in ("accountId", "oldState", "newState")
        }


METHODS: Final[tuple[Method, ...]] = (PushGet(), PushSet())
