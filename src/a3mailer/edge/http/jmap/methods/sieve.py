"""SieveScript (RFC 9661): get, set, query and validate, on the scripts that ManageSieve has (access/scripts).

The state is the number of changes of the account's scripts. There is no /changes, nor is one of queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter, methodcaller
from typing import Any, Final

import msgspec

from a3mailer.access.blobs import name_of_script
from a3mailer.access.casemap import casemap
from a3mailer.access.scripts import Roll, Script, check_name, checked
from a3mailer.edge.http.jmap.accounts import Account
from a3mailer.edge.http.jmap.capabilities import SIEVE
from a3mailer.edge.http.jmap.method import Call, Method
from a3mailer.edge.http.jmap.records import (
    By,
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
from a3mailer.edge.http.jmap.replies import set_error
from a3mailer.edge.http.jmap.services import Services
from a3mailer.edge.http.jmap.standard.get import Get
from a3mailer.edge.http.jmap.standard.query import Query
from a3mailer.edge.http.jmap.standard.set import Done, SetArguments, change
from a3mailer.mail.errors import (
    AlreadyExists,
    BadName,
    BadScript,
    DamagedContent,
    MailError,
    NoSuchMessage,
    NoSuchThing,
    TooLarge,
)
from a3mailer.wire.jmap.errors import SetError, Taken, invalid_properties
from a3mailer.wire.jmap.values import Id, Ref


class Wanted(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A FilterCondition (section 2.5)."""

    name: str | None = None
    is_active: bool | None = None

    def fits(self, record: Record) -> bool:
        """Does a script match all conditions?"""
        return (self.name is None or self.name in record["name"]) and self.is_active in (
            None,
            record["isActive"],
        )


async def state(services: Services, account: Account) -> str:
    """Of all scripts."""
    return str((await services.scripts.roll(account.id)).changes)


@dataclass(frozen=True, slots=True)
class SieveScripts:
    """The type."""

    name: str = "SieveScript"
    capability: str = SIEVE
    action: str = "sieve.list"
    change_action: str = "sieve.change"
    singleton: bool = False
    condition: type[msgspec.Struct] = Wanted
    sorts: frozenset[str] = frozenset(("name", "isActive"))

    @property
    def properties(self) -> Mapping[str, Property]:
        return PROPERTIES

    async def state(self, call: Call) -> str:
        return await state(call.services, call.account)

    async def ids(self, call: Call, most: int) -> Sequence[str]:
        return tuple(await _all(call))

    async def read(self, call: Call, ids: Sequence[str], properties: frozenset[str]) -> Mapping[str, Record]:
        found = await _all(call)
        return {id: found[id] for id in ids if id in found}

    async def query(self, call: Call, filter: Any, sort: Sequence[Comparator]) -> Results:
        now = await self.state(call)
        found = [each for each in (await _all(call)).values() if fits(filter, methodcaller("fits", each))]
        for key in reversed(sort):
            by = _by_name if key.property == "name" else itemgetter("isActive")
            found.sort(key=by, reverse=not key.is_ascending)
        return Listed([each["id"] for each in found], now, can_calculate_changes=False)

    async def create(self, call: Call, records: Mapping[str, Record]) -> Created:
        made: dict[str, Record | SetError] = {}
        for key, record in records.items():
            try:
                made[key] = await _made(call, record)
            except SetError as error:
                made[key] = error
            except MailError as error:
                made[key] = _refusal(error)
        return made

    async def update(self, call: Call, updates: Mapping[str, Update]) -> Updated:
        done: dict[str, Record | SetError | None] = {}
        for id, update in updates.items():
            try:
                done[id] = await _altered(call, id, update)
            except SetError as error:
                done[id] = error
            except MailError as error:
                done[id] = _refusal(error)
        return done

    async def destroy(self, call: Call, ids: Sequence[str]) -> Destroyed:
        done: dict[str, SetError | None] = {}
        for id in ids:
            try:
                await call.services.scripts.remove(call.account.id, id)
            except MailError as error:
                done[id] = set_error(error)
            else:
                done[id] = None
        return done


async def _all(call: Call) -> dict[str, Record]:
    """All scripts, by id."""
    roll = await call.services.scripts.roll(call.account.id)
    return {each.id: _record(roll, each) for each in roll.scripts}


def _by_name(record: Record) -> str:
    return casemap(record["name"])


def _record(roll: Roll, script: Script) -> Record:
    return {
        "id": script.id,
        "name": script.name,
        "blobId": name_of_script(script.digest, script.id),
        "isActive": script.id == roll.active,
    }


def _refusal(error: MailError) -> SetError:
    """Of a record that is made or changed (section 2.4)."""
    if isinstance(error, AlreadyExists):
        return Taken("alreadyExists", "another script has this name", existingId=str(error))
    if isinstance(error, BadName):
        return invalid_properties("name", because=str(error))
    return set_error(error)


async def _octets(call: Call, blob: str) -> bytes:
    """The octets of a script that is to be. Errors: SetError, TooLarge."""
    most = call.services.scripts.largest
    try:
        size = await call.blobs.size(call.account.id, blob)
        if size > most:
            raise TooLarge(f"a script has at most {most} octets")
        return await call.blobs.octets(call.account.id, blob)
    except (NoSuchMessage, DamagedContent) as error:
        raise SetError("blobNotFound", "there is no such blob", notFound=[blob]) from error


async def _free_name(call: Call, own: str = "") -> str:
    """For a script whose owner gives it none (``own``: its id)."""
    roll = await call.services.scripts.roll(call.account.id)
    number = roll.last + 1
    while (there := roll.named(f"script-{number}")) is not None and there.id != own:
        number += 1
    return f"script-{number}"


def _differing(given: Record, script: Script) -> Record:
    """What the client is told, as it is not what it has sent."""
    told: Record = {"blobId": name_of_script(script.digest, script.id), "name": script.name}
    return {name: value for name, value in told.items() if name in given and given[name] != value}


async def _made(call: Call, record: Record) -> Record:
    """Errors: SetError, MailError."""
    name = record["name"]
    check_name("-" if name is None else name)
    octets = await _octets(call, record["blobId"])
    if name is None:
        name = await _free_name(call)
    now = int(call.services.clock.now())
    script = await call.services.scripts.put(call.account.id, name, octets, now, only_new=True)
    return {"id": script.id, "isActive": False, **_differing(record, script)}


async def _altered(call: Call, id: str, update: Update) -> Record:
    """Errors: SetError, MailError."""
    changed = {name: value for name, value in update.changed.items() if value != update.record[name]}
    octets = await _octets(call, changed["blobId"]) if "blobId" in changed else None
    name = changed.get("name")
    if "name" in changed and name is None:
        name = await _free_name(call, id)
    now = int(call.services.clock.now())
    return _differing(changed, await call.services.scripts.alter(call.account.id, id, octets, now, name))


class SieveSetArguments(SetArguments, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Section 2.4. What is no id is ignored, so any text is taken."""

    on_success_activate_script: str | None = None
    on_success_deactivate_script: bool = False


@dataclass(frozen=True, slots=True)
class SieveSet:
    """SieveScript/set."""

    name: str = "SieveScript/set"
    capability: str = SIEVE
    action: str = "sieve.change"
    writes: bool = True
    form: type[msgspec.Struct] | None = SieveSetArguments

    async def run(self, call: Call, arguments: SieveSetArguments) -> dict[str, object]:
        done = await change(SCRIPTS, call, arguments)
        if not (done.not_created or done.not_updated or done.not_destroyed):
            await _activated(call, arguments, done)
        return done.response(call.account.key)


async def _activated(call: Call, arguments: SieveSetArguments, done: Done) -> None:
    """What runs from now on. Deactivating comes first, so a script that is activated runs."""
    scripts, account = call.services.scripts, call.account.id
    roll = await scripts.roll(account)
    wanted = call.exchange.real(arguments.on_success_activate_script or "")
    target = next((each.id for each in roll.scripts if each.id == wanted), "")
    if target:
        try:
            await scripts.run(account, target)
        except (NoSuchThing, BadScript):  # gone, or it has lost what it requires: as an id that is none
            target = ""
    if not target:
        if not arguments.on_success_deactivate_script:
            return
        await scripts.run(account, "")
    if roll.active and roll.active != target:
        _told(done, roll.active, active=False)
    if target:
        _told(done, target, active=True)
    done.new_state = await SCRIPTS.state(call)


def _told(done: Done, id: str, *, active: bool) -> None:
    """Say of a script whether it is active."""
    for record in done.created.values():
        if record["id"] == id:
            record["isActive"] = active
            return
    done.updated[id] = {**(done.updated.get(id) or {}), "isActive": active}


# --- validate ----------------------------------------------------------------------------------------


class ValidateArguments(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Section 2.6."""

    account_id: Id
    blob_id: Ref


@dataclass(frozen=True, slots=True)
class SieveValidate:
    """SieveScript/validate."""

    name: str = "SieveScript/validate"
    capability: str = SIEVE
    action: str = "sieve.list"
    writes: bool = False
    form: type[msgspec.Struct] | None = ValidateArguments

    async def run(self, call: Call, arguments: ValidateArguments) -> dict[str, object]:
        error: SetError | None = None
        try:
            checked(await _octets(call, call.exchange.real(arguments.blob_id) or arguments.blob_id))
        except SetError as wrong:
            error = wrong
        except (BadScript, TooLarge) as wrong:
            error = set_error(wrong)
        return {"accountId": call.account.key, "error": error and error.answer()}


PROPERTIES: Final = table(
    Property("name", str | None, By.CLIENT, None),
    Property("blobId", Ref, By.CLIENT, refers=True),
    Property("isActive", bool),
)
SCRIPTS: Final = SieveScripts()
METHODS: Final[tuple[Method, ...]] = (Get(SCRIPTS), SieveSet(), Query(SCRIPTS), SieveValidate())
