"""The Sieve scripts of an account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from a3mailer.access.scripts import Scripts
from a3mailer.app.verbs.office import Office, Request
from a3mailer.mail.errors import BadName, NoSuchThing, TooMany
from a3mailer.ops.audit import entry
from a3mailer.store.operations import Operation, PutDocument, RemoveDocument
from a3mailer.store.rows import SCRIPT_LIST
from a3mailer.wire.sieve.door import whole_name
from a3mailer.wire.sieve.extensions.extlists import NAME

MEMBERS: Final = 10_000
"""Of one list."""


class Owner(Request, frozen=True, kw_only=True):
    address: str


class One(Request, frozen=True, kw_only=True):
    address: str
    name: str


class Activate(Request, frozen=True, kw_only=True):
    address: str
    name: str = ""
    """Empty: none runs any more."""


class Put(Request, frozen=True, kw_only=True):
    address: str
    name: str
    script: str
    activate: bool = False


class Members(Request, frozen=True, kw_only=True):
    address: str
    name: str
    members: tuple[str, ...]
    """None: the list goes."""


@contextmanager
def _scripts(office: Office) -> Iterator[Scripts]:
    scripts = Scripts(office.store, office.settings)
    try:
        yield scripts
    finally:
        scripts.close()


def _record(office: Office, address: str, **detail: object) -> tuple[Operation, ...]:
    return (entry(office.subject, "sieve.change", address, office.clock.now(), detail),)


async def put(office: Office, request: Put) -> dict[str, object]:
    """Keep a script. Errors: NoSuchAccount, BadName, BadScript, TooLarge, TooMany, OverQuota."""
    account = await office.account("sieve.change", request.address)
    noted = _record(office, account.address, script=request.name, act="put")
    with _scripts(office) as scripts:
        made = await scripts.put(account.id, request.name, request.script.encode(), office.now, beside=noted)
        if request.activate:
            noted = _record(office, account.address, script=request.name, act="activate")
            await scripts.activate(account.id, request.name, noted)
    return {"address": account.address, "name": made.name, "size": made.size, "active": request.activate}


async def list_(office: Office, request: Owner) -> list[dict[str, object]]:
    """The scripts of an account. Errors: NoSuchAccount."""
    account = await office.account("sieve.list", request.address)
    with _scripts(office) as scripts:
        roll = await scripts.roll(account.id)
    return [
        {"name": each.name, "active": each.id == roll.active, "size": each.size, "changed": each.changed}
        for each in roll.scripts
    ]


async def get(office: Office, request: One) -> dict[str, object]:
    """One of them. Errors: NoSuchAccount, NoSuchThing."""
    account = await office.account("sieve.list", request.address)
    with _scripts(office) as scripts:
        octets = await scripts.get(account.id, request.name)
    return {"address": account.address, "name": request.name, "script": octets.decode()}


async def activate(office: Office, request: Activate) -> dict[str, object]:
    """Let one run for each mail, or none. Errors: NoSuchAccount, NoSuchThing, BadScript."""
    account = await office.account("sieve.change", request.address)
    noted = _record(office, account.address, script=request.name, act="activate")
    with _scripts(office) as scripts:
        if not request.name and not (await scripts.roll(account.id)).active:
            raise NoSuchThing("no script is active")
        await scripts.activate(account.id, request.name, noted)
    return {"address": account.address, "name": request.name}


async def remove(office: Office, request: One) -> dict[str, object]:
    """Remove one that is not active. Errors: NoSuchAccount, NoSuchThing, ScriptInUse."""
    account = await office.account("sieve.change", request.address)
    noted = _record(office, account.address, script=request.name, act="remove")
    with _scripts(office) as scripts:
        await scripts.delete(account.id, request.name, noted)
    return {"address": account.address, "name": request.name}


async def members(office: Office, request: Members) -> dict[str, object]:
    """Who is in a list that scripts of an account may ask for (RFC 6134).

    Errors: NoSuchAccount, NoSuchThing, BadName, TooMany."""
    account = await office.account("sieve.change", request.address)
    name = whole_name(request.name)
    if not name.isprintable() or not 0 < len(name.encode()) <= NAME:
        raise BadName("the name of a list is a URI such as tag:example.org,2026:friends")
    if len(request.members) > MEMBERS or any(not each.isprintable() for each in request.members):
        raise TooMany(f"a list has at most {MEMBERS} members, one a line")
    keep: Operation = RemoveDocument(account.id, SCRIPT_LIST, name)
    if request.members:
        keep = PutDocument(account.id, SCRIPT_LIST, name, "\n".join(request.members))
    await office.change("sieve.change", account.address, keep, list=name, members=len(request.members))
    return {"address": account.address, "list": name, "members": len(request.members)}
