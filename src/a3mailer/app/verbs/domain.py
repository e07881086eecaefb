"""Domains, aliases and groups."""

from __future__ import annotations

import ipaddress
import json
from functools import partial
from typing import Final

import msgspec

from a3mailer.app.verbs.account import RESERVED_SECONDS
from a3mailer.app.verbs.office import Nothing, Office, Request
from a3mailer.config.fields import BadValue
from a3mailer.identity.directory import (
    MAX_DESTINATIONS,
    POSTED,
    WILDCARD,
    WILDCARD_AFTER,
    takes_posted_reports,
    wildcards,
)
from a3mailer.identity.names import clean_address, clean_domain
from a3mailer.identity.principal import SERVER, Object
from a3mailer.identity.relaying import TLS, TO, parse_relaying, relaying_of
from a3mailer.identity.roles import allow, require
from a3mailer.mail.errors import (
    AddressReserved,
    AlreadyExists,
    BadName,
    NoSuchDomain,
    NoSuchThing,
    NotAllowed,
    TooMany,
)
from a3mailer.ops.domain_records import ISSUER
from a3mailer.store.operations import PutAlias, PutDomain, RemoveAlias, RemoveDomain
from a3mailer.store.rows import AddressEntry, Domain

KINDS: Final = ("alias", "group")
PORT: Final = 25
"""Where this server takes mail from others."""


class PutDomainRequest(Request, frozen=True, kw_only=True):
    name: str
    catch_all: str | None = None
    """None leaves it; empty: none."""
    scram: bool | None = None
    """SCRAM verifiers for this domain's passwords (ADR 0008); None leaves it as the server has it."""
    tls_post: bool | None = None
    """TLS reports about it are taken by POST, too; None leaves it."""
    relay_to: str | None = None
    """HOST[:PORT] that mail for addresses nobody here has goes on to, or mx; None leaves it; empty: none."""
    relay_tls: str | None = None
    """What that host's TLS must be: may, must or verify; None leaves it; empty: as for other servers."""


class NamedDomain(Request, frozen=True, kw_only=True):
    name: str


class Dns(Request, frozen=True, kw_only=True):
    name: str
    addresses: tuple[str, ...] = ()
    issuer: str = ""


class PutAliasRequest(Request, frozen=True, kw_only=True):
    address: str
    targets: tuple[str, ...]
    kind: str = "alias"


class NamedAlias(Request, frozen=True, kw_only=True):
    address: str
    kind: str = "alias"


class Kind(Request, frozen=True, kw_only=True):
    kind: str = "alias"


async def add(office: Office, request: PutDomainRequest) -> dict[str, object]:
    """Take a new domain in. Errors: BadName, AlreadyExists."""
    name = clean_domain(request.name)
    require(office.subject, "domain.add", Object(office.subject.tenant, domain=name))
    if await office.store.domain(name) is not None:
        raise AlreadyExists(f"{name} exists already")
    from a3mailer.app.material import make_dkim_keys  # X.509 and RSA only where they are used

    made = await _put(office, "domain.add", Domain(office.subject.tenant, name, "", "{}"), request)
    await office.pool.run(partial(make_dkim_keys, office.directory, name), bounded=False)
    return made


async def set_(office: Office, request: PutDomainRequest) -> dict[str, object]:
    """Change a domain's options. Errors: NoSuchDomain."""
    return await _put(office, "domain.add", await found_domain(office, "domain.add", request.name), request)


async def _put(office: Office, action: str, domain: Domain, request: PutDomainRequest) -> dict[str, object]:
    settings = json.loads(domain.settings)
    if request.scram is not None:
        settings["scram"] = request.scram
    if request.tls_post is not None:
        settings[POSTED] = request.tls_post
    catch_all = domain.catch_all
    if request.catch_all is not None:
        catch_all = clean_address(request.catch_all) if request.catch_all else ""
    _put_relaying(office, settings, request, domain)
    if catch_all and settings.get(TO):
        raise BadName("mail for a relayed domain goes on: it has no catch-all")
    put = PutDomain(domain.tenant, domain.name, catch_all, json.dumps(settings))
    await office.change(action, domain.name, put, catch_all=catch_all, settings=settings)
    return {"domain": domain.name, "catch_all": catch_all, "settings": settings}


def _put_relaying(
    office: Office, settings: dict[str, object], request: PutDomainRequest, domain: Domain
) -> None:
    """Where mail goes on is the server's business: it may be inside. Errors: NotAllowed, BadName."""
    for key, value in ((TO, request.relay_to), (TLS, request.relay_tls)):
        if value is not None:
            require(office.subject, "config.change", SERVER, NotAllowed)
            settings.pop(key, None) if not value else settings.update({key: value})
    if TO not in settings:
        if settings.pop(TLS, None) and request.relay_tls:
            raise BadName(f"{domain.name} is not relayed: --relay-tls goes with --relay-to")
        return
    try:
        relaying = parse_relaying(str(settings[TO]), str(settings.get(TLS, "")))
    except BadValue as error:
        raise BadName(str(error)) from error
    settings[TO] = str(relaying)
    if relaying.host == office.settings.server.hostname.lower() and relaying.port in (0, PORT):
        raise BadName(f"{relaying.host} is this server: the mail would loop")


async def found_domain(office: Office, action: str, name: str) -> Domain:
    """A domain of ours, if ``action`` is allowed on it. Errors: NoSuchDomain, BadName."""
    domain = await office.store.domain(clean_domain(name))
    if domain is None:
        raise NoSuchDomain(f"no domain {clean_domain(name)}")
    require(office.subject, action, Object(domain.tenant, domain=domain.name), NoSuchDomain)
    return domain


async def remove(office: Office, request: NamedDomain) -> dict[str, object]:
    """Let a domain go. Errors: NoSuchDomain, Conflict (it still has addresses)."""
    domain = await found_domain(office, "domain.remove", request.name)
    await office.change("domain.remove", domain.name, RemoveDomain(domain.name))
    return {"domain": domain.name}


async def dns(office: Office, request: Dns) -> dict[str, object]:
    """What the DNS has to say of a domain, and how this server asks. Errors: NoSuchDomain, BadName."""
    domain = await found_domain(office, "domain.list", request.name)
    from a3mailer.app.published import facts  # X.509 and RSA only where they are used

    try:
        addresses = [str(ipaddress.ip_address(each)) for each in request.addresses]
    except ValueError as error:
        raise BadName(str(error)) from error
    issuer = clean_domain(request.issuer) if request.issuer else ISSUER
    relaying = relaying_of(domain)
    relayed = "" if relaying is None else str(relaying)
    posts = takes_posted_reports(domain)
    work = partial(facts, office.directory, office.settings, domain.name, addresses, issuer, relayed, posts)
    try:
        found = await office.pool.run(work, bounded=False)
    except (OSError, ValueError) as error:
        raise BadName(f"a key or certificate cannot be read: {error}") from error
    return {"facts": found, "dns": msgspec.structs.asdict(office.settings.dns)}


async def last(office: Office, request: NamedDomain) -> dict[str, object]:
    """What the server's own last look at the domain found. Errors: NoSuchDomain, NoSuchThing (none yet)."""
    domain = await found_domain(office, "domain.list", request.name)
    from a3mailer.ops.domain_history import read  # the whole check, only where it is used

    look = (await office.pool.run(partial(read, office.directory), bounded=False)).get(domain.name)
    if look is None:
        raise NoSuchThing(f"the server has not looked at {domain.name} yet (dns.check_hours)")
    return {"domain": domain.name, **msgspec.to_builtins(look)}


async def list_(office: Office, request: Nothing) -> list[dict[str, object]]:
    """All domains the subject may list."""
    return [
        {
            "domain": d.name,
            "catch_all": d.catch_all,
            "relay_to": str(relaying_of(d) or ""),
            "settings": json.loads(d.settings),
        }
        for d in await office.store.domains()
        if allow(office.subject, "domain.list", Object(d.tenant, domain=d.name))
    ]


# --- aliases and groups ----------------------------------------------------------------------------


async def put_alias(office: Office, request: PutAliasRequest) -> dict[str, object]:
    """Add an alias or a group, or give it other targets. Errors: BadName, NoSuchDomain, AlreadyExists."""
    if request.kind not in KINDS:
        raise BadName(f"no such kind: {request.kind}")
    address = clean_address(request.address)
    domain = await found_domain(office, "alias.add", address.rpartition("@")[2])
    targets = tuple(dict.fromkeys(map(clean_address, request.targets)))
    if not targets:
        raise BadName("at least one target is needed")
    if len(targets) > MAX_DESTINATIONS:
        raise TooMany(f"more than {MAX_DESTINATIONS} targets")
    local_part = address.rpartition("@")[0]
    if WILDCARD in local_part and wildcards(local_part[:-1] + "x")[0] != local_part:
        raise BadName(f"a {WILDCARD} stands alone, or at the end after one of {WILDCARD_AFTER}")
    found = await office.store.address(address)
    if found is not None and found.kind == "account":
        raise AlreadyExists(f"{address} is an account")
    if found is not None and found.kind == "reserved" and found.reserved_until > office.now:
        raise AddressReserved(f"{address} was removed lately and is not issued again yet")
    put = PutAlias(domain.tenant, address, targets, request.kind)
    await office.change("alias.add", address, put, targets=list(targets), kind=request.kind)
    return {"address": address, "targets": targets, "kind": request.kind}


async def remove_alias(office: Office, request: NamedAlias) -> dict[str, object]:
    """Remove an alias or a group. Errors: NoSuchThing."""
    address = clean_address(request.address)
    found = await office.store.address(address)
    if found is None or found.kind != request.kind or not _visible(office, "alias.remove", found):
        raise NoSuchThing(f"no {request.kind} {address}")
    await office.change("alias.remove", address, RemoveAlias(address, office.now + RESERVED_SECONDS))
    return {"address": address}


async def list_aliases(office: Office, request: Kind) -> list[dict[str, object]]:
    """All aliases, or all groups."""
    return [
        {"address": a.address, "targets": a.targets, "kind": a.kind}
        for a in await office.store.aliases()
        if a.kind == request.kind and _visible(office, "alias.list", a)
    ]


def _visible(office: Office, action: str, entry: AddressEntry) -> bool:
    return allow(office.subject, action, Object(entry.tenant, domain=entry.address.rpartition("@")[2]))
