"""Mailing lists: made, filled, moderated."""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec

from a3mailer.app.material import srs_keys
from a3mailer.app.verbs.account import RESERVED_SECONDS
from a3mailer.app.verbs.domain import found_domain
from a3mailer.app.verbs.office import Nothing, Office, Request
from a3mailer.identity.directory import Directory
from a3mailer.identity.names import clean_address
from a3mailer.identity.principal import Object
from a3mailer.identity.roles import allow, require
from a3mailer.mail.compose import BadPiece, checked
from a3mailer.mail.errors import AddressReserved, AlreadyExists, BadName, NoSuchAccount, NoSuchMessage
from a3mailer.mail.ids import Uid
from a3mailer.mail.message import index
from a3mailer.ops.audit import entry
from a3mailer.store.operations import (
    AccountCreated,
    ChangeAccount,
    CreateAccount,
    Operation,
    RemoveAccount,
)
from a3mailer.store.rows import Account
from a3mailer.transfer.lists import roll
from a3mailer.transfer.lists.lists import Lists
from a3mailer.transfer.lists.roll import JOINING, POSTING, MailingList
from a3mailer.transfer.work import Work

MAX_OWNERS: Final = 20
MAX_TAG: Final = 40
ARCHIVE_SHOWN: Final = 1000
"""Mails of an archive that are listed, the newest."""


class Put(Request, frozen=True, kw_only=True):
    address: str
    name: str = ""
    owners: tuple[str, ...]
    posting: str = "members"
    joining: str = "open"
    archive: bool = True
    tag: str = ""


class Settings(Request, frozen=True, kw_only=True):
    """What is None stays as it is."""

    address: str
    name: str | None = None
    owners: tuple[str, ...] | None = None
    posting: str | None = None
    joining: str | None = None
    archive: bool | None = None
    tag: str | None = None


class NamedList(Request, frozen=True, kw_only=True):
    address: str


class Person(Request, frozen=True, kw_only=True):
    address: str
    members: tuple[str, ...]


class Decision(Request, frozen=True, kw_only=True):
    address: str
    number: str


async def add(office: Office, request: Put) -> dict[str, object]:
    """A new list without members. Errors: BadName, NoSuchDomain, AlreadyExists, AddressReserved."""
    address = clean_address(request.address)
    domain = await found_domain(office, "list.add", address.rpartition("@")[2])
    settings = MailingList(
        tuple(dict.fromkeys(map(clean_address, request.owners))),
        request.posting,
        request.joining,
        request.archive,
        request.tag,
    )
    _check(address, request.name, settings)
    found = await office.store.address(address)
    if found is not None and found.kind == "reserved" and found.reserved_until > office.now:
        raise AddressReserved(f"{address} was removed lately and is not issued again yet")
    account = found.account if found is not None and found.kind == "list" else None
    begun = account is not None and await roll.settings_of(office.store, account) is None
    if found is not None and found.kind != "reserved" and not begun:
        raise AlreadyExists(f"{address} exists already")
    if account is None:
        create = CreateAccount(domain.tenant, address, "list", request.name, now=office.now)
        (created,) = await office.change("list.add", address, create, owners=list(settings.owners))
        assert isinstance(created, AccountCreated)
        account = created.account
    await office.change("list.change", address, roll.put_settings(account, settings))
    return {"address": address, "account": account}


async def set_(office: Office, request: Settings) -> dict[str, object]:
    """Change what holds for a list. Errors: NoSuchAccount, BadName."""
    account = await _found(office, "list.change", request.address)
    before = await roll.settings_of(office.store, account.id) or MailingList(())
    changed = {
        name: value for name in MailingList.__struct_fields__ if (value := getattr(request, name)) is not None
    }
    if "owners" in changed:
        changed["owners"] = tuple(dict.fromkeys(map(clean_address, changed["owners"])))
    settings = msgspec.structs.replace(before, **changed)
    if not changed and request.name is None:
        raise BadName("say what is to change")
    name = account.display_name if request.name is None else request.name
    _check(account.address, name, settings)
    acts: list[Operation] = [roll.put_settings(account.id, settings)]
    if request.name is not None:
        acts.append(ChangeAccount(account.id, display_name=name))
        changed["name"] = name
    await office.change("list.change", account.address, *acts, **changed)
    return await _shown(office, await _found(office, "list.change", request.address))


def _check(address: str, name: str, settings: MailingList) -> None:
    """Errors: BadName."""
    if not address.isascii() or not all(owner.isascii() for owner in settings.owners):
        raise BadName("a list and its owners have addresses in ASCII")
    if not 0 < len(settings.owners) <= MAX_OWNERS:
        raise BadName(f"a list has 1 to {MAX_OWNERS} owners")
    if settings.posting not in POSTING or settings.joining not in JOINING:
        raise BadName(f"posting is one of {', '.join(POSTING)}, joining of {', '.join(JOINING)}")
    if not settings.tag.isascii() or not settings.tag.isprintable() or len(settings.tag) > MAX_TAG:
        raise BadName(f"a tag is up to {MAX_TAG} characters of ASCII")
    try:
        checked(name, "the name")
    except BadPiece as error:
        raise BadName(str(error)) from error


async def _found(office: Office, action: str, address: str) -> Account:
    """A list, if ``action`` is allowed on it. Errors: NoSuchAccount, BadName."""
    name = clean_address(address)
    found = await office.store.address(name)
    account = await office.store.account(found.account) if found and found.kind == "list" else None
    if account is None:
        raise NoSuchAccount(f"no list {name}")
    require(office.subject, action, Object(account.tenant, domain=name.rpartition("@")[2]), NoSuchAccount)
    return account


async def remove(office: Office, request: NamedList) -> dict[str, object]:
    """Erase a list with its members and its archive. Errors: NoSuchAccount."""
    account = await _found(office, "list.remove", request.address)
    until = office.now + RESERVED_SECONDS
    await office.change("list.remove", account.address, RemoveAccount(account.id, until))
    return {"address": account.address, "reserved_until": until}


async def list_(office: Office, request: Nothing) -> list[dict[str, object]]:
    """All lists the subject may see."""
    found: list[dict[str, object]] = []
    after = 0
    while accounts := await office.store.accounts(roll.PAGE, after):
        for account in accounts:
            where = Object(account.tenant, domain=account.address.rpartition("@")[2])
            if account.kind == "list" and allow(office.subject, "list.list", where):
                found.append(await _shown(office, account))
        after = accounts[-1].id
    return found


async def _shown(office: Office, account: Account) -> dict[str, object]:
    settings = await roll.settings_of(office.store, account.id) or MailingList(())
    members = await roll.members_of(office.store, account.id)
    waiting = await (await _lists(office)).held(account.id)
    return {
        "address": account.address,
        "name": account.display_name,
        "owners": settings.owners,
        "posting": settings.posting,
        "joining": settings.joining,
        "archive": settings.archive,
        "tag": settings.tag,
        "members": len(members),
        "suspended": sum(member.suspended for member in members.values()),
        "waiting": len(waiting),
    }


async def members(office: Office, request: NamedList) -> list[dict[str, object]]:
    """Who is on it. Errors: NoSuchAccount."""
    account = await _found(office, "list.list", request.address)
    return [
        {
            "address": address,
            "since": member.since,
            "suspended": member.suspended,
            "failed": [day * roll.DAY for day in member.failed],
        }
        for address, member in (await roll.members_of(office.store, account.id)).items()
    ]


async def _lists(office: Office) -> Lists:
    keys = await office.pool.run(partial(srs_keys, office.directory), bounded=False)
    directory = Directory(office.store, office.settings)
    return Lists(office.store, directory, office.settings, office.clock, keys)


async def subscribe(office: Office, request: Person) -> dict[str, object]:
    """Put people on a list without asking them; they are told. Errors: NoSuchAccount, BadName, TooMany."""
    account = await _found(office, "list.change", request.address)
    people = tuple(dict.fromkeys(map(clean_address, request.members)))
    lists, work = await _lists(office), Work()
    for person in people:
        await lists.join(account.id, person, work)
    await _commit(office, lists, account, work, "list.subscribe", members=list(people))
    return {"address": account.address, "members": people}


async def unsubscribe(office: Office, request: Person) -> dict[str, object]:
    """Take people off a list; they are told. Errors: NoSuchAccount, BadName."""
    account = await _found(office, "list.change", request.address)
    people = tuple(dict.fromkeys(map(clean_address, request.members)))
    lists, work = await _lists(office), Work()
    gone = [person for person in people if await lists.leave(account.id, person, work)]
    await _commit(office, lists, account, work, "list.unsubscribe", members=gone)
    return {"address": account.address, "members": gone}


async def _commit(
    office: Office, lists: Lists, account: Account, work: Work, act: str, **detail: object
) -> None:
    record = entry(office.subject, act, account.address, office.clock.now(), detail)
    await lists.commit(account.tenant, work, record)


async def waiting(office: Office, request: NamedList) -> list[dict[str, object]]:
    """Mails that a moderator has to decide on. Errors: NoSuchAccount."""
    account = await _found(office, "list.change", request.address)
    held = await (await _lists(office)).held(account.id)
    return [{"number": number, **_mail(octets)} for number, (_, octets) in held.items()]


def _mail(octets: bytes) -> dict[str, object]:
    found = index(octets)
    authors = [each.addr_spec for each in found.from_]
    return {"from": ", ".join(authors), "subject": found.subject, "octets": len(octets)}


async def approve(office: Office, request: Decision) -> dict[str, object]:
    """Let a mail through to all members. Errors: NoSuchAccount, NoSuchMessage."""
    return await _decide(office, request, approve=True)


async def reject(office: Office, request: Decision) -> dict[str, object]:
    """Throw a mail away. Errors: NoSuchAccount, NoSuchMessage."""
    return await _decide(office, request, approve=False)


async def _decide(office: Office, request: Decision, *, approve: bool) -> dict[str, object]:
    account = await _found(office, "list.change", request.address)
    lists, work = await _lists(office), Work()
    await lists.decide(account.id, request.number, work, approve=approve)
    act = "list.approve" if approve else "list.reject"
    try:
        await _commit(office, lists, account, work, act, number=request.number)
    except AlreadyExists as error:
        raise NoSuchMessage(f"no mail {request.number} waits") from error
    return {"address": account.address, "number": request.number}


async def archive(office: Office, request: NamedList) -> list[dict[str, object]]:
    """The newest mails that all members got. Errors: NoSuchAccount."""
    account = await _found(office, "list.archive", request.address)
    boxes = await office.store.mailboxes(account.id)
    box = next((each for each in boxes if each.special_use == "\\Archive"), None)
    if box is None:
        return []
    _, columns = await office.store.columns(account.id, box.id)
    uids = [Uid(uid) for uid in columns.uids[-ARCHIVE_SHOWN:]]
    rows = {row.uid: row for row in await office.store.messages(account.id, box.id, uids)}
    found = await office.store.contents(account.id, box.id, uids)
    return [
        {"number": uid, "date": row.internal_date, **_mail(octets)}
        for uid, row in rows.items()
        if (octets := found.get(uid)) is not None
    ]
