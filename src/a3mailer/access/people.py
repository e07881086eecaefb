"""The Principals that somebody may see (RFC 9670 section 2): whom one can share with, and who shares.

They are accounts, groups, and ``anyone``, who stands for all accounts of the tenant. One sees oneself,
``anyone``, whoever lends one something and whomever one (or a mailbox one administers) lends something to;
beyond them ``jmap.principals`` says who: those of the domains one has addresses in, of the whole tenant, or
nobody. All others are for one as if they were not there (section 6.4).

    seen = await people.seen_by(subject)
    person = seen.get("P7")

Those that many see are read once and kept until the directory or rights change (``Rights.generation``).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from a3mailer.access.rights import SHARED_KINDS, Rights
from a3mailer.config.tree import Settings
from a3mailer.identity.principal import Principal
from a3mailer.mail.ids import AccountId, TenantId
from a3mailer.mail.objectids import PRINCIPAL_LETTER, object_id
from a3mailer.mail.rights import ACCOUNT_PREFIX, ANYONE, GROUP_PREFIX, NEGATIVE, of_account, of_group
from a3mailer.store.ports import DirectoryReader
from a3mailer.store.rows import Account

ACCOUNTS_A_PAGE: Final = 1000
MOST: Final = 100_000
"""Principals that are shown beyond those one shares something with."""
KEPT: Final = 4096
"""Subjects whose further Principals are kept, and states that are."""
KEPT_COMPANIES: Final = 64
"""Companies that are kept, old ones among them, so that it is known what changed."""
GROUP_LETTER: Final = "G"
Key = tuple[TenantId, frozenset[str] | None]
"""A tenant and some of its domains; None: all."""


class Person(msgspec.Struct, frozen=True):
    """One Principal."""

    id: str
    type: str
    name: str
    identifier: str
    """As rights are given to it (``mail.rights``)."""
    email: str | None = None
    description: str | None = None
    time_zone: str | None = None
    account: int = 0


EVERYBODY: Final = Person(ANYONE, "group", ANYONE, ANYONE, description="Everybody who has an account here")


@dataclass(frozen=True, slots=True)
class Company:
    """Principals that many see."""

    people: Mapping[str, Person] = field(default_factory=dict)
    digest: str = ""


NOBODY: Final = Company()


@dataclass(frozen=True, slots=True)
class Seen:
    """What one subject sees."""

    company: Company
    further: Mapping[str, Person]

    def get(self, id: str) -> Person | None:
        """One by its id."""
        return self.further.get(id) or self.company.people.get(id)

    def of(self, identifier: str) -> Person | None:
        """One by its identifier."""
        return self.get(id_of(identifier))

    def __iter__(self) -> Iterator[Person]:
        yield from self.further.values()
        yield from (each for id, each in self.company.people.items() if id not in self.further)

    def __len__(self) -> int:
        return len(self.company.people.keys() | self.further.keys())


class Reader(DirectoryReader, Protocol):
    """What is read here."""


def id_of(identifier: str) -> str:
    """The id of the Principal that rights are given to: ``P7``, ``G`` and a digest, or ``anyone``."""
    if identifier.startswith(ACCOUNT_PREFIX):
        return object_id(PRINCIPAL_LETTER, int(identifier.removeprefix(ACCOUNT_PREFIX)))
    if identifier.startswith(GROUP_PREFIX):
        return GROUP_LETTER + hashlib.blake2b(identifier.encode(), digest_size=12).hexdigest()
    return identifier


class Further(msgspec.Struct, frozen=True):
    """What people say of themselves, in ``Account.settings``."""

    description: str | None = None
    time_zone: str | None = None


def described(settings: str, description: str | None, time_zone: str | None) -> str:
    """The settings of an account that says this of itself."""
    told: dict[str, object] = json.loads(settings)
    for name, value in (("description", description), ("time_zone", time_zone)):
        if value is None:
            told.pop(name, None)
        else:
            told[name] = value
    return json.dumps(told)


def person_of(row: Account) -> Person:
    """An account as a Principal."""
    further = msgspec.json.decode(row.settings, type=Further)
    return Person(
        object_id(PRINCIPAL_LETTER, row.id),
        "other" if row.kind in SHARED_KINDS or row.kind == "service" else "individual",
        row.display_name or row.address,
        of_account(row.id),
        row.address,
        further.description,
        further.time_zone,
        row.id,
    )


def group_of(address: str) -> Person:
    """A group as a Principal."""
    return Person(id_of(of_group(address)), "group", address, of_group(address), address)


class Shown:
    """States that somebody was told, with what they stand for; the oldest is forgotten first."""

    __slots__ = ("_kept", "_last")

    def __init__(self) -> None:
        self._kept: dict[tuple[AccountId, str], Mapping[str, str]] = {}
        self._last: dict[AccountId, tuple[Seen, object, str]] = {}

    def last(self, asker: AccountId, seen: Seen, other: object) -> str | None:
        """The state that was told last, where it was made of the same; ``other``: of what it was besides."""
        found = self._last.get(asker)
        return found[2] if found is not None and found[0] is seen and found[1] == other else None

    def told(self, asker: AccountId, seen: Seen, other: object, state: str) -> None:
        """The same for the next time."""
        self._last.pop(asker, None)
        self._last[asker] = (seen, other, state)
        if len(self._last) > KEPT:
            del self._last[next(iter(self._last))]

    def keep(self, asker: AccountId, state: str, special: Mapping[str, str]) -> None:
        """Digests of the Principals that are not for all the same, by id."""
        self._kept.pop((asker, state), None)
        self._kept[asker, state] = special
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]

    def of(self, asker: AccountId, state: str) -> Mapping[str, str] | None:
        """None: it is none that was told to this one, or forgotten."""
        return self._kept.get((asker, state))


class People:
    """All of a worker."""

    __slots__ = (
        "_companies",
        "_generation",
        "_lock",
        "_now",
        "_reader",
        "_seen",
        "_settings",
        "rights",
        "shown",
    )

    def __init__(self, reader: Reader, rights: Rights, settings: Callable[[], Settings]) -> None:
        self._reader = reader
        self._settings = settings
        self._lock = asyncio.Lock()
        self._generation = -1
        self._now: dict[Key, Company] = {}
        """As of the generation."""
        self._seen: dict[tuple[AccountId, str], Seen] = {}
        self._companies: dict[str, Company] = {}
        """By their digests, those of before, too."""
        self.rights = rights
        self.shown = Shown()

    def company(self, digest: str) -> Company | None:
        """One that was shown, if it is still known."""
        return self._companies.get(digest) if digest else NOBODY

    async def seen_by(self, subject: Principal) -> Seen:
        """As of now. Errors: MailError."""
        setting = self._settings().jmap.principals
        key = (subject.account, setting)
        self._renew()
        seen = self._seen.get(key)
        if seen is None:
            generation = self.rights.generation
            company = await self._company_of(subject, setting)
            seen = Seen(company, await self._further(subject, company))
            if generation == self.rights.generation:
                self._renew()
                if len(self._seen) >= KEPT:
                    self._seen.clear()
                self._seen[key] = seen
        return seen

    def _renew(self) -> None:
        if self._generation != self.rights.generation:
            self._generation = self.rights.generation
            self._now.clear()
            self._seen.clear()

    async def _company_of(self, subject: Principal, setting: str) -> Company:
        if setting == "shared":
            return NOBODY
        domains = None
        if setting == "domain":
            addresses = await self._reader.addresses_of(subject.account)
            domains = frozenset(each.rpartition("@")[2] for each in (*addresses, subject.address))
        key = (subject.tenant, domains)
        async with self._lock:  # many ask at the same time, after a change: one of them reads
            self._renew()
            company = self._now.get(key)
            if company is None:
                generation = self.rights.generation
                company = await self._read(*key)
                company = self._companies.setdefault(company.digest, company)
                if generation == self.rights.generation == self._generation:
                    self._now[key] = company
                while len(self._companies) > KEPT_COMPANIES:
                    del self._companies[next(iter(self._companies))]
        return company

    async def _read(self, tenant: TenantId, domains: frozenset[str] | None) -> Company:
        people: dict[str, Person] = {}
        after = 0
        while len(people) < MOST and (rows := await self._reader.accounts(ACCOUNTS_A_PAGE, after)):
            after = rows[-1].id
            for row in rows:
                shown = row.enabled and row.kind != "service"
                if shown and _belongs(row.address, row.tenant, tenant, domains):
                    person = person_of(row)
                    people[person.id] = person
            await asyncio.sleep(0)
        for entry in await self._reader.aliases():
            if entry.kind == "group" and _belongs(entry.address, entry.tenant, tenant, domains):
                group = group_of(entry.address)
                people[group.id] = group
        digest = hashlib.blake2b(msgspec.json.encode(list(people.values())), digest_size=8)
        return Company(people, digest.hexdigest())

    async def _further(self, subject: Principal, company: Company) -> Mapping[str, Person]:
        """Those that are not of the company."""
        rights = self.rights
        identifiers = dict.fromkeys((ANYONE, of_account(subject.account)))
        lenders = await rights.lenders(subject)
        identifiers |= dict.fromkeys(map(of_account, lenders))
        for account in (subject.account, *lenders):
            owner = await rights.owner(account)
            for mailbox, grants in () if owner is None else owner.grants.items():
                if await rights.may(subject, "mailbox.share", account, mailbox):
                    identifiers |= dict.fromkeys(each.removeprefix(NEGATIVE) for each in grants)
        found: dict[str, Person] = {}
        for identifier in identifiers:
            if id_of(identifier) not in company.people:
                person = await self._person(identifier)
                if person is not None:
                    found[person.id] = person
        return found

    async def _person(self, identifier: str) -> Person | None:
        if identifier == ANYONE:
            return EVERYBODY
        if identifier.startswith(GROUP_PREFIX):
            return group_of(identifier.removeprefix(GROUP_PREFIX))
        row = await self._reader.account(AccountId(int(identifier.removeprefix(ACCOUNT_PREFIX))))
        return None if row is None else person_of(row)


def _belongs(address: str, its: TenantId, tenant: TenantId, domains: frozenset[str] | None) -> bool:
    return its == tenant and (domains is None or address.rpartition("@")[2] in domains)
