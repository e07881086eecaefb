"""Identity (RFC 8621 section 6): get, changes, set. The account's main address always is one."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

from msgspec import Meta

from a3mailer.edge.http.jmap.accounts import Account
from a3mailer.edge.http.jmap.capabilities import SUBMISSION
from a3mailer.edge.http.jmap.kept import Kept, commit, forget, kept, put
from a3mailer.edge.http.jmap.method import Call, Method
from a3mailer.edge.http.jmap.records import (
    By,
    Changes,
    Created,
    Destroyed,
    Property,
    Record,
    Update,
    Updated,
    table,
)
from a3mailer.edge.http.jmap.services import Services
from a3mailer.edge.http.jmap.standard.changes import Changes as ChangesMethod
from a3mailer.edge.http.jmap.standard.get import Get
from a3mailer.edge.http.jmap.standard.set import Set
from a3mailer.wire.jmap.errors import SetError, invalid_properties
from a3mailer.wire.jmap.written_fields import Wrong, people_of
from a3mailer.wire.smtp.paths import BadPath, parse_mailbox

KIND: Final = "identity"
MAIN: Final = "I0"
MAX_IDENTITIES: Final = 100
MAX_SIGNATURE: Final = 65_536
Line = Annotated[str, Meta(max_length=255)]
Signature = Annotated[str, Meta(max_length=MAX_SIGNATURE)]
EMPTY: Final = {"name": "", "replyTo": None, "bcc": None, "textSignature": "", "htmlSignature": ""}


async def identities(services: Services, account: Account) -> Kept:
    """All of an account."""
    found = await kept(services, account.id, KIND)
    row = await services.store.account(account.id)
    main: Record = {**EMPTY, "made": 0, "name": row.display_name if row is not None else ""}
    main |= found.records.get(MAIN, {})
    main["email"] = account.name
    records = {MAIN: main, **{id: each for id, each in found.records.items() if id != MAIN}}
    return replace(found, records=records, touched={MAIN: 0, **found.touched})


async def state(services: Services, account: Account) -> str:
    """Of all identities."""
    return (await identities(services, account)).state


@dataclass(frozen=True, slots=True)
class Identities:
    """The type."""

    name: str = "Identity"
    capability: str = SUBMISSION
    action: str = "smtp.submit"
    change_action: str = "smtp.submit"
    singleton: bool = False

    @property
    def properties(self) -> Mapping[str, Property]:
        return PROPERTIES

    async def state(self, call: Call) -> str:
        return await state(call.services, call.account)

    async def ids(self, call: Call, most: int) -> Sequence[str]:
        return sorted((await identities(call.services, call.account)).records)

    async def read(self, call: Call, ids: Sequence[str], properties: frozenset[str]) -> Mapping[str, Record]:
        found = (await identities(call.services, call.account)).records
        return {id: {**found[id], "id": id, "mayDelete": id != MAIN} for id in ids if id in found}

    async def changes(self, call: Call, since: str, most: int) -> Changes:
        found = await identities(call.services, call.account)
        return found.changes(since, most, int(call.services.clock.now()))

    async def create(self, call: Call, records: Mapping[str, Record]) -> Created:
        made: dict[str, Record | SetError] = {}
        there = len((await identities(call.services, call.account)).records)
        for key, record in records.items():
            try:
                _check(record, there)
                await _check_owner(call, record["email"])
            except SetError as error:
                made[key] = error
                continue
            record = _whole(record)
            id = f"I{secrets.token_hex(8)}"
            await commit(call, put(call, KIND, id, {**record, "made": int(call.services.clock.now())}))
            there += 1
            made[key] = {"id": id, "mayDelete": True}
        return made

    async def update(self, call: Call, updates: Mapping[str, Update]) -> Updated:
        done: dict[str, Record | SetError | None] = {}
        for id, update in updates.items():
            try:
                _check(update.changed)
            except SetError as error:
                done[id] = error
                continue
            record = {name: value for name, value in update.record.items() if name not in ("id", "mayDelete")}
            await commit(call, put(call, KIND, id, record | _whole(update.changed)))
            done[id] = None
        return done

    async def destroy(self, call: Call, ids: Sequence[str]) -> Destroyed:
        there = (await identities(call.services, call.account)).records
        done: dict[str, SetError | None] = {}
        for id in ids:
            if id not in there:
                done[id] = SetError("notFound")
            elif id == MAIN:
                done[id] = SetError("forbidden", "the main address stays")
            else:
                await commit(call, forget(call, KIND, id))
                done[id] = None
        return done


def _whole(record: Record) -> Record:
    """With both properties of each EmailAddress."""
    named = {name: record[name] for name in ("replyTo", "bcc") if record.get(name) is not None}
    people = {name: [{"name": None, **each} for each in value] for name, value in named.items()}
    return {**record, **people}


def _check(record: Record, there: int = 0) -> None:
    """Errors: SetError."""
    if there >= MAX_IDENTITIES:
        raise SetError("overQuota", f"at most {MAX_IDENTITIES}")
    for name in ("replyTo", "bcc"):
        if record.get(name) is not None:
            try:
                people_of(record[name])
            except Wrong as error:
                raise invalid_properties(name, because=str(error)) from error


async def _check_owner(call: Call, email: str) -> None:
    """Errors: SetError (``forbiddenFrom``, ``invalidProperties``)."""
    try:
        address = parse_mailbox(email.encode())
    except (BadPath, UnicodeEncodeError) as error:
        if email.startswith("*@"):
            raise SetError("forbiddenFrom", "an identity has one address") from error
        raise invalid_properties("email", because="that is no mail address") from error
    if not await call.services.submitting.directory.owns(call.account.id, address):
        raise SetError("forbiddenFrom", "the address is not yours")


PROPERTIES: Final = table(
    Property("name", Line, By.CLIENT, ""),
    Property("email", Line, By.CREATOR),
    Property("replyTo", list | None, By.CLIENT, None),
    Property("bcc", list | None, By.CLIENT, None),
    Property("textSignature", Signature, By.CLIENT, ""),
    Property("htmlSignature", Signature, By.CLIENT, ""),
    Property("mayDelete", bool),
)
IDENTITIES: Final = Identities()
METHODS: Final[tuple[Method, ...]] = (Get(IDENTITIES), ChangesMethod(IDENTITIES), Set(IDENTITIES))
