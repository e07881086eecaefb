"""Masked addresses of an account: one a site, and who handed it on."""

from __future__ import annotations

from typing import Final

from a3mailer.app.verbs.account import RESERVED_SECONDS
from a3mailer.app.verbs.office import Office, Request
from a3mailer.identity.names import clean_address, clean_domain
from a3mailer.mail.errors import AlreadyExists, BadName, NoSuchThing, TooMany
from a3mailer.store.operations import Operation, PutAlias, RemoveAlias, RemoveDocument
from a3mailer.store.rows import Account
from a3mailer.transfer.forwarding import masked
from a3mailer.transfer.forwarding.masked import Masked

MAX_MASKED: Final = 2000
"""Of one account."""


class Add(Request, frozen=True, kw_only=True):
    address: str
    site: str


class Owner(Request, frozen=True, kw_only=True):
    address: str


class One(Request, frozen=True, kw_only=True):
    address: str
    masked: str


async def add(office: Office, request: Add) -> dict[str, object]:
    """A new address of the account, for one site. Errors: NoSuchAccount, BadName, TooMany."""
    account = await office.account("masked.change", request.address)
    site = clean_domain(request.site)
    if len(await masked.all_of(office.store, account.id)) >= MAX_MASKED:
        raise TooMany(f"an account has at most {MAX_MASKED} masked addresses")
    domain = account.address.rpartition("@")[2]
    address = f"{masked.new_local_part(site)}@{domain}"
    alias = PutAlias(account.tenant, address, (account.address,))
    keep = masked.put(account.id, address, Masked(site, office.now))
    if await office.store.address(address) is not None:
        raise BadName(f"{address} is somebody's; try again")
    await office.change("masked.change", address, alias, keep, site=site)
    return {"address": account.address, "masked": address, "site": site}


async def list_(office: Office, request: Owner) -> list[dict[str, object]]:
    """The masked addresses of an account. Errors: NoSuchAccount, BadName."""
    account = await office.account("masked.list", request.address)
    return [
        {
            "masked": address,
            "site": known.site,
            "created": known.created,
            "disabled": known.disabled,
            "senders": [each.domain for each in known.senders],
        }
        for address, known in (await masked.all_of(office.store, account.id)).items()
    ]


async def _found(office: Office, request: One) -> tuple[Account, str, Masked]:
    """Whose it is, and what is known. Errors: NoSuchAccount, NoSuchThing, BadName."""
    account = await office.account("masked.change", request.address)
    name = clean_address(request.masked)
    known = await masked.masked_of(office.store, account.id, name)
    if known is None:
        raise NoSuchThing(f"no masked address {name}")
    return account, name, known


async def disable(office: Office, request: One) -> dict[str, object]:
    """Refuse all mail to it until it is enabled; what is known of it is kept. Errors: as ``remove``."""
    account, name, known = await _found(office, request)
    if known.disabled:
        raise NoSuchThing(f"{name} is disabled already")
    off = masked.put(account.id, name, Masked(known.site, known.created, known.senders, disabled=True))
    gone = RemoveAlias(name, office.now + RESERVED_SECONDS)
    await office.change("masked.change", name, gone, off, disabled=True)
    return {"address": account.address, "masked": name, "disabled": True}


async def enable(office: Office, request: One) -> dict[str, object]:
    """Take mail to it again. Errors: as ``remove``; AlreadyExists where it is somebody else's by now."""
    account, name, known = await _found(office, request)
    if not known.disabled:
        raise NoSuchThing(f"{name} is not disabled")
    on = masked.put(account.id, name, Masked(known.site, known.created, known.senders))
    alias = PutAlias(account.tenant, name, (account.address,), reclaim=True)
    there = await office.store.address(name)
    if there is not None and there.kind != "reserved":
        raise AlreadyExists(f"{name} is somebody's by now")
    await office.change("masked.change", name, alias, on, disabled=False)
    return {"address": account.address, "masked": name, "disabled": False}


async def remove(office: Office, request: One) -> dict[str, object]:
    """Refuse all mail to it, and forget it. Errors: NoSuchAccount, NoSuchThing, BadName."""
    account, name, known = await _found(office, request)
    acts: list[Operation] = [RemoveDocument(account.id, masked.KIND, name)]
    if not known.disabled:
        acts.append(RemoveAlias(name, office.now + RESERVED_SECONDS))
    await office.change("masked.change", name, *acts, removed=True)
    return {"address": account.address, "masked": name}


async def leaks(office: Office, request: Owner) -> list[dict[str, object]]:
    """Who handed an address on, in words. Errors: NoSuchAccount, BadName."""
    account = await office.account("masked.list", request.address)
    known = await masked.all_of(office.store, account.id)
    return [
        {"masked": address, "site": each.site, "says": sentence}
        for address, each in known.items()
        for sentence in masked.leaks(address, each)
    ]
