"""Principal (RFC 9670 section 2): get, changes, set, query, queryChanges. One may change what one says of
oneself; all else is the administrator's (``access/people.py`` says who is seen by whom).

A state names what many see and what only the asker sees, each by a digest; changes are found where this
worker still knows both, and cannot be calculated otherwise.
"""

from __future__ import annotations

import asyncio
import hashlib
import unicodedata
import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from a3mailer.access.people import Company, Person, Seen, described
from a3mailer.edge.http.jmap.accounts import Account
from a3mailer.edge.http.jmap.capabilities import PRINCIPALS
from a3mailer.edge.http.jmap.method import Call, Method
from a3mailer.edge.http.jmap.records import (
    By,
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
from a3mailer.edge.http.jmap.session import described as account_object
from a3mailer.edge.http.jmap.standard.changes import Changes as ChangesMethod
from a3mailer.edge.http.jmap.standard.get import Get
from a3mailer.edge.http.jmap.standard.query import Query, QueryChanges
from a3mailer.edge.http.jmap.standard.set import Set, SetArguments, refusing
from a3mailer.mail.errors import NoSuchAccount
from a3mailer.ops.audit import entry
from a3mailer.store.operations import ChangeAccount
from a3mailer.store.ports import Transaction
from a3mailer.wire.jmap.errors import MethodError, SetError, invalid_properties

SLICE: Final = 2000
"""Principals that are looked at before others get a turn on the loop."""
MAX_NAME: Final = 255
MAX_DESCRIPTION: Final = 4096
NOT_MADE: Final = SetError("forbidden", "the administrator makes accounts")
OWN: Final = frozenset(("name", "description", "timeZone"))
"""What one may say of oneself."""
_STRANGE: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
"""Kinds of characters that make a name look like another (RFC 9670 sections 5 and 6.1)."""


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A FilterCondition (section 2.4.1)."""

    account_ids: tuple[str, ...] | UnsetType = UNSET
    email: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    text: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    time_zone: str | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Around:
    """All that the asker sees, with the accounts of each."""

    seen: Seen
    accounts: Mapping[str, Mapping[str, object]]
    """By id of the Principal: Account objects by id of the account."""
    special: Mapping[str, str]
    """Digests of the Principals that are not for all the same, by id."""

    @property
    def state(self) -> str:
        content = msgspec.json.encode(self.special, order="sorted")
        return f"{self.seen.company.digest}-{hashlib.blake2b(content, digest_size=8).hexdigest()}"

    def record(self, person: Person) -> Record:
        """A Principal object."""
        return {
            "id": person.id,
            "type": person.type,
            "name": person.name,
            "description": person.description,
            "email": person.email,
            "timeZone": person.time_zone,
            "capabilities": {},
            "accounts": self.accounts.get(person.id),
        }


async def seen_by(services: Services, account: Account) -> Seen:
    """The Principals that the asker, whose account this is, sees. Errors: MailError."""
    if account.asker is None:
        raise NoSuchAccount(account.key)
    return await services.people.seen_by(account.asker)


async def around(services: Services, account: Account) -> Around:
    """The same with their accounts. Errors: MailError."""
    seen = await seen_by(services, account)
    owners = {each.id: each for each in (account, *account.others)}
    accounts: dict[str, dict[str, object]] = {}
    for number, each in owners.items():
        owner = seen.of(f"account:{number}")
        if owner is not None:
            accounts[owner.id] = {each.key: account_object(each)}
    found = Around(seen, accounts, {})
    ids = dict.fromkeys((*seen.further, *accounts))
    special = {id: _digest(found.record(person)) for id in ids if (person := seen.get(id)) is not None}
    return Around(seen, accounts, special)


async def state(services: Services, account: Account) -> str:
    """Of all that the asker sees. It is asked for after every change: what it is made of seldom changes."""
    shown, asker = services.people.shown, account.asker
    seen = None if asker is None else await services.people.seen_by(asker)
    state = None if seen is None else shown.last(account.id, seen, account)
    if state is None:
        found = await around(services, account)
        state = found.state
        shown.keep(account.id, state, found.special)
        shown.told(account.id, found.seen, account, state)
    return state


def _digest(record: Record) -> str:
    return hashlib.blake2b(msgspec.json.encode(record, order="sorted"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Principals:
    """The type."""

    name: str = "Principal"
    capability: str = PRINCIPALS
    action: str = "principal.list"
    change_action: str = "principal.change"
    singleton: bool = False
    condition: type[msgspec.Struct] = Condition
    sorts: frozenset[str] = frozenset(("name", "email", "type"))

    @property
    def properties(self) -> Mapping[str, Property]:
        return PROPERTIES

    async def state(self, call: Call) -> str:
        return await state(call.services, call.account)

    async def ids(self, call: Call, most: int) -> Sequence[str]:
        return sorted(each.id for each in (await around(call.services, call.account)).seen)

    async def read(self, call: Call, ids: Sequence[str], properties: frozenset[str]) -> Mapping[str, Record]:
        found = await around(call.services, call.account)
        people = {id: person for id in ids if (person := found.seen.get(id)) is not None}
        return {id: found.record(person) for id, person in people.items()}

    async def changes(self, call: Call, since: str, most: int) -> Changes:
        now, people = await around(call.services, call.account), call.services.people
        people.shown.keep(call.account.id, now.state, now.special)
        if since == now.state:
            return Changes((), (), (), since)
        company, special = people.company(since.partition("-")[0]), people.shown.of(call.account.id, since)
        if company is None or special is None:
            raise MethodError("cannotCalculateChanges", "that state is forgotten")
        then = Around(Seen(company, {}), {}, special)
        found = await _between(then, now)
        if sum(map(len, (found.created, found.updated, found.destroyed))) > most:
            raise MethodError("cannotCalculateChanges", f"more than {most} changes at once")
        return found

    async def query(self, call: Call, filter: Any, sort: Sequence[Comparator]) -> Results:
        found = await around(call.services, call.account)
        matching: list[Person] = []
        for number, person in enumerate(found.seen):
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            if fits(filter, partial(_fits, person, found.accounts.get(person.id, ()))):
                matching.append(person)
        matching.sort(key=lambda person: person.id)
        for each in reversed(sort):
            matching.sort(key=lambda one: _key(one, each.property), reverse=not each.is_ascending)
        call.services.people.shown.keep(call.account.id, found.state, found.special)
        return Listed([person.id for person in matching], found.state)

    # --- changing ----------------------------------------------------------------------------------

    async def create(self, call: Call, records: Mapping[str, Record]) -> Created:
        return dict.fromkeys(records, NOT_MADE)

    async def update(self, call: Call, updates: Mapping[str, Update]) -> Updated:
        own = call.account.capabilities[PRINCIPALS]["currentUserPrincipalId"]
        done: dict[str, Record | SetError | None] = {}
        for id, update in updates.items():
            changed = {name: each for name, each in update.changed.items() if each != update.record[name]}
            if not changed:
                done[id] = None
            elif id != own or not changed.keys() <= OWN:
                done[id] = SetError("forbidden", "one says one's own name, description and timeZone")
            else:
                try:
                    done[id] = await _described(call, update.record, changed)
                except SetError as error:
                    done[id] = error
        return done

    async def destroy(self, call: Call, ids: Sequence[str]) -> Destroyed:
        seen = (await around(call.services, call.account)).seen
        forbidden, absent = SetError("forbidden", "the administrator removes accounts"), SetError("notFound")
        return {id: absent if seen.get(id) is None else forbidden for id in ids}


async def _between(then: Around, now: Around) -> Changes:
    """What became of what somebody saw."""
    ids = set(then.special) | set(now.special)
    if then.seen.company.digest != now.seen.company.digest:
        ids |= set(then.seen.company.people) | set(now.seen.company.people)
    created: list[str] = []
    updated: list[str] = []
    destroyed: list[str] = []
    for number, id in enumerate(sorted(ids)):
        if number % SLICE == SLICE - 1:
            await asyncio.sleep(0)
        old, new = _print_of(then, id), _print_of(now, id)
        if old == new:
            continue
        (created if old is None else destroyed if new is None else updated).append(id)
    return Changes(created, updated, destroyed, now.state)


def _print_of(around: Around, id: str) -> object:
    """What tells one Principal from the same after a change; None: it is not seen."""
    company: Company = around.seen.company
    return around.special.get(id) or company.people.get(id)


def _fits(person: Person, accounts: Iterable[str], filter: Any) -> bool:
    texts = (person.name, person.email, person.description)
    return (
        (filter.account_ids is UNSET or not set(accounts).isdisjoint(filter.account_ids))
        and (filter.email is UNSET or _contains(person.email, filter.email))
        and (filter.name is UNSET or _contains(person.name, filter.name))
        and (filter.text is UNSET or any(_contains(text, filter.text) for text in texts))
        and filter.type in (UNSET, person.type)
        and filter.time_zone in (UNSET, person.time_zone)
    )


def _contains(text: str | None, part: str) -> bool:
    return text is not None and part.casefold() in text.casefold()


def _key(person: Person, name: str) -> str:
    return str(getattr(person, name) or "").casefold()


# --- what one says of oneself ------------------------------------------------------------------------


async def _described(call: Call, record: Record, changed: Record) -> Record | None:
    """Make it so; what became of it beyond that. Errors: SetError."""
    told: Record = {}
    if "name" in changed:
        told["name"] = _clean_name(changed["name"], call.account.name)
    if changed.get("description") is not None:
        told["description"] = _clean("description", changed["description"])
    if changed.get("timeZone") is not None and changed["timeZone"] not in await asyncio.to_thread(time_zones):
        raise invalid_properties("timeZone", because="no name of the IANA Time Zone Database")
    after = {**record, **changed, **told}
    row = await call.services.store.account(call.account.id)
    if row is None:
        raise SetError("notFound")
    name = "" if after["name"] == row.address else after["name"]
    settings = described(row.settings, after["description"], after["timeZone"])
    change = ChangeAccount(row.id, display_name=name, settings=settings)
    audit = entry(call.principal, "principal.change", row.address, call.services.clock.now(), changed)
    await call.services.store.commit(Transaction((change, audit), tenant=row.tenant))
    call.services.people.rights.forget()
    return {name: value for name, value in told.items() if value != changed[name]} or None


def _clean(name: str, text: str) -> str:
    """Errors: SetError."""
    made = unicodedata.normalize("NFC", text).strip()
    strange = _STRANGE - {"Cc"} if name == "description" else _STRANGE
    if any(unicodedata.category(each) in strange for each in made):
        raise invalid_properties(name, because="it has characters that nobody sees")
    return made


def _clean_name(text: str, address: str) -> str:
    """A name that is no other's address (section 6.1). Errors: SetError."""
    name = _clean("name", text)
    if not name:
        return address
    if "@" in unicodedata.normalize("NFKC", name) and name != address:
        raise SetError("forbidden", "a name is not an address of others")
    return name


@lru_cache(maxsize=1)
def time_zones() -> frozenset[str]:
    """All names there are."""
    return frozenset(zoneinfo.available_timezones())


class PrincipalSet(Set):
    """Principal/set: whatever is to be created is forbidden, be it as it may (section 2.3)."""

    async def run(self, call: Call, arguments: SetArguments) -> dict[str, object]:
        return await refusing(self.records, call, arguments, NOT_MADE)


PROPERTIES: Final = table(
    Property("type", str, By.CLIENT, "individual"),
    Property("name", Annotated[str, Meta(max_length=MAX_NAME)], By.CLIENT, ""),
    Property("description", Annotated[str, Meta(max_length=MAX_DESCRIPTION)] | None, By.CLIENT, None),
    Property("email", str | None, By.CLIENT, None),
    Property("timeZone", Annotated[str, Meta(max_length=MAX_NAME)] | None, By.CLIENT, None),
    Property("capabilities", dict),
    Property("accounts", dict | None),
)
TYPE: Final = Principals()
METHODS: Final[tuple[Method, ...]] = (
    Get(TYPE),
    ChangesMethod(TYPE),
    PrincipalSet(TYPE),
    Query(TYPE),
    QueryChanges(TYPE),
)
