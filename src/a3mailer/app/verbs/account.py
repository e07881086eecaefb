"""Accounts: add, import, list, passwords, disable, rename, reset, remove."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final

from a3mailer.app.verbs.office import Nothing, Office, Request, subject_of
from a3mailer.identity.authenticator import wants_scram
from a3mailer.identity.credentials import (
    PASSWORD,
    SCRAM,
    accept_hash,
    hash_password,
    is_hashed,
    make_verifier,
)
from a3mailer.identity.names import clean_address
from a3mailer.identity.principal import Object
from a3mailer.identity.roles import GIVEN_ROLES, allow, require
from a3mailer.mail.errors import AlreadyExists, BadName, MailError, NoSuchDomain
from a3mailer.mail.ids import TenantId
from a3mailer.store.operations import (
    AccountCreated,
    ChangeAccount,
    CreateAccount,
    Operation,
    PutCredential,
    RemoveAccount,
    RemoveCredential,
    RenameAccount,
    ResetAccount,
)
from a3mailer.store.rows import Account, Domain
from a3mailer.telemetry.events import Secret

RESERVED_SECONDS: Final = 30 * 86400
"""How long a removed address is not issued again."""
ACCOUNTS_A_PAGE: Final = 1000
SHARED: Final = "group"
"""The kind of an account that nobody is."""
MAX_HOURS: Final = 24 * 365
"""Of a password that ends by itself."""
MAX_IMPORT: Final = 1000
"""Accounts of one import request; the command line sends as many requests as it takes."""


class Add(Request, frozen=True, kw_only=True):
    address: str
    password: str = ""
    """Plain, or already hashed ($argon2id$...); empty = none yet: no login."""
    display_name: str = ""
    quota: int = 0
    role: str = "user"
    shared: bool = False
    """Nobody is it: a mailbox that several use (``share``)."""


class Import(Request, frozen=True, kw_only=True):
    accounts: tuple[tuple[str, str], ...]
    """(address, password or hash)."""


class Named(Request, frozen=True, kw_only=True):
    address: str


class Rename(Named, frozen=True, kw_only=True):
    new: str


class Password(Named, frozen=True, kw_only=True):
    password: str
    hours: int = 0
    """How long it is good; 0 = until it is changed."""


class Quota(Named, frozen=True, kw_only=True):
    octets: int


class Export(Named, frozen=True, kw_only=True):
    format: str
    folder: str


class Role(Named, frozen=True, kw_only=True):
    role: str


@dataclass(frozen=True, slots=True)
class _Ready:
    """An account that can be created: everything checked and hashed."""

    address: str
    domain: Domain
    secrets: tuple[tuple[str, str], ...]


async def add(office: Office, request: Add) -> dict[str, object]:
    """Create an account with its password. Errors: BadName, NoSuchDomain, AlreadyExists, AddressReserved."""
    return await _create(office, await _prepare(office, request), request)


async def _prepare(office: Office, request: Add) -> _Ready:
    address = clean_address(request.address)
    if request.role not in GIVEN_ROLES:
        raise BadName(f"no such role: {request.role} (there are {', '.join(GIVEN_ROLES)})")
    if request.quota < 0:
        raise BadName("a quota is 0 (no limit) or more octets")
    if request.shared and (request.password or request.role != "user"):
        raise BadName("nobody logs in to a shared account: it has no password and no role")
    domain = await _domain(office, "account.add", address, request.role)
    await _must_be_new(office, address)
    return _Ready(address, domain, await _secrets(office, domain, request.password))


async def import_(office: Office, request: Import) -> list[dict[str, str]]:
    """Create many, hashing on all threads of the pool; what cannot be is reported and the others go on."""
    if len(request.accounts) > MAX_IMPORT:
        raise BadName(f"more than {MAX_IMPORT} accounts in one request")
    asked = [Add(address=address, password=password) for address, password in request.accounts]
    async with asyncio.TaskGroup() as tasks:
        prepared = [tasks.create_task(_attempt(office, each)) for each in asked]
    found = []
    for number, (each, task) in enumerate(zip(asked, prepared, strict=True)):
        office.progress(number, len(asked))
        found.append(await _finish(office, each, task.result()))
    return found


async def _attempt(office: Office, request: Add) -> _Ready | MailError:
    try:
        if not request.password:
            raise BadName("no password")
        return await _prepare(office, request)
    except MailError as error:
        return error


async def _finish(office: Office, request: Add, ready: _Ready | MailError) -> dict[str, str]:
    try:
        if isinstance(ready, MailError):
            raise ready
        await _create(office, ready, request)
    except AlreadyExists:
        return {"address": request.address, "outcome": "exists", "reason": ""}
    except MailError as error:
        if error.transient:
            raise
        return {"address": request.address, "outcome": "refused", "reason": str(error)}
    return {"address": request.address, "outcome": "added", "reason": ""}


async def _domain(office: Office, action: str, address: str, role: str = "user") -> Domain:
    name = address.rpartition("@")[2]
    domain = await office.store.domain(name)
    if domain is None:
        raise NoSuchDomain(f"{name} is not a domain of this server (a3mailer domain add {name})")
    require(office.subject, action, Object(domain.tenant, domain=name, role=role), NoSuchDomain)
    return domain


async def _must_be_new(office: Office, address: str) -> None:
    found = await office.store.address(address)
    if found is not None and found.kind != "reserved":
        raise AlreadyExists(f"{address} exists already")


async def _secrets(office: Office, domain: Domain, password: str) -> tuple[tuple[str, str], ...]:
    """(kind, secret) as stored: the hash, and a SCRAM verifier where the domain opts in."""
    if not password:
        return ()
    if is_hashed(password):
        return ((PASSWORD, accept_hash(password)),)
    secret = Secret(password)
    hashed = await office.pool.run(partial(hash_password, secret), bounded=False)
    if not wants_scram(domain.settings, office.settings.auth.scram):
        return ((PASSWORD, hashed),)
    verifier = await office.pool.run(partial(make_verifier, secret), bounded=False)
    return ((PASSWORD, hashed), (SCRAM, verifier.encode()))


async def _create(office: Office, ready: _Ready, request: Add) -> dict[str, object]:
    create = CreateAccount(
        ready.domain.tenant,
        ready.address,
        SHARED if request.shared else "person",
        request.display_name,
        request.quota,
        request.role,
        office.now,
        ready.secrets,
    )
    detail: dict[str, object] = {"role": request.role, "quota": request.quota}
    (created,) = await office.change("account.add", ready.address, create, **detail)
    assert isinstance(created, AccountCreated)
    return {"address": ready.address, "account": created.account}


async def list_(office: Office, request: Nothing) -> list[dict[str, object]]:
    """All accounts the subject may list."""
    found: list[dict[str, object]] = []
    after = 0
    while accounts := await office.store.accounts(ACCOUNTS_A_PAGE, after):
        people = [a for a in accounts if a.id and a.kind != "list"]
        found += [show(a) for a in people if allow(office.subject, "account.list", subject_of(a))]
        after = accounts[-1].id
    return found


def show(account: Account) -> dict[str, object]:
    """An account as verbs print it."""
    return {
        "address": account.address,
        "account": account.id,
        "name": account.display_name,
        "kind": account.kind,
        "role": account.role,
        "enabled": account.enabled,
        "quota": account.quota,
        "octets": account.used_octets,
        "messages": account.used_messages,
        "created": account.created,
    }


async def reset(office: Office, request: Named) -> dict[str, object]:
    """Empty an account to its state after creation; its password stays."""
    account = await office.account("account.reset", request.address)
    await office.change("account.reset", account.address, ResetAccount(account.id))
    return {"address": account.address}


async def rename(office: Office, request: Rename) -> dict[str, object]:
    """Give an account another main address; mail stays, and the old address as an alias."""
    account = await office.account("account.rename", request.address)
    new = clean_address(request.new)
    domain = await _domain(office, "account.rename", new, account.role)
    if domain.tenant != account.tenant:
        raise NoSuchDomain(f"{domain.name} belongs to another tenant")
    mine = await office.store.address(new)
    if mine is None or mine.account != account.id:
        await _must_be_new(office, new)
    await office.change("account.rename", account.address, RenameAccount(account.id, new), new=new)
    return {"address": new, "alias": account.address}


async def remove(office: Office, request: Named) -> dict[str, object]:
    """Erase an account, its mail and its keys; its addresses are not issued again for a while."""
    account = await office.account("account.remove", request.address)
    until = office.now + RESERVED_SECONDS
    await office.change("account.remove", account.address, RemoveAccount(account.id, until))
    return {"address": account.address, "reserved_until": until}


async def password(office: Office, request: Password) -> dict[str, object]:
    """Set a password; sessions and remembered logins of the old one end."""
    account = await office.account("account.password", request.address)
    if not request.password:
        raise BadName("an empty password")
    if not 0 <= request.hours <= MAX_HOURS:
        raise BadName(f"a password is good for 1 to {MAX_HOURS} hours, or 0: until it is changed")
    domain = await _domain(office, "domain.list", account.address)
    secrets = await _secrets(office, domain, request.password)
    until = office.now + request.hours * 3600 if request.hours else 0
    operations: list[Operation] = [
        PutCredential(account.id, "", kind, secret, expires=until, now=office.now) for kind, secret in secrets
    ]
    stale = {c.kind for c in await office.store.credentials(account.id)} & {SCRAM} - {k for k, _ in secrets}
    operations += [RemoveCredential(account.id, "", kind) for kind in stale]  # of the old password
    await office.change("account.password", account.address, *operations, until=until)
    return {"address": account.address, "until": until}


async def disable(office: Office, request: Named) -> dict[str, object]:
    """Refuse logins; mail is still accepted."""
    return await _enabled(office, request, False)


async def enable(office: Office, request: Named) -> dict[str, object]:
    """Allow logins again."""
    return await _enabled(office, request, True)


async def _enabled(office: Office, request: Named, enabled: bool) -> dict[str, object]:
    account = await office.account("account.disable", request.address)
    change = ChangeAccount(account.id, enabled=enabled)
    await office.change("account.disable", account.address, change, enabled=enabled)
    return {"address": account.address, "enabled": enabled}


async def quota(office: Office, request: Quota) -> dict[str, object]:
    """Set the octets an account may keep; 0 = no limit."""
    account = await office.account("account.quota", request.address)
    if request.octets < 0:
        raise BadName("a quota is 0 (no limit) or more octets")
    change = ChangeAccount(account.id, quota=request.octets)
    await office.change("account.quota", account.address, change, quota=request.octets)
    return {"address": account.address, "quota": request.octets}


async def export(office: Office, request: Export) -> dict[str, object]:
    """Allow an account's mail to be read from the files, and put that on the record before it is."""
    account = await office.account("account.export", request.address)
    detail = {"format": request.format, "folder": request.folder}
    await office.change("account.export", account.address, **detail)
    return {"address": account.address, "account": account.id}


async def give_role(office: Office, request: Role) -> dict[str, object]:
    """Give an account a role; its sessions end and begin anew with it."""
    if request.role not in GIVEN_ROLES:
        raise BadName(f"no such role: {request.role} (there are {', '.join(GIVEN_ROLES)})")
    account = await office.account("role.give", request.address)
    target = Object(TenantId(account.tenant), account.id, "", request.role)
    require(office.subject, "role.give", target)
    change = ChangeAccount(account.id, role=request.role)
    await office.change("role.give", account.address, change, role=request.role, before=account.role)
    return {"address": account.address, "role": request.role}
