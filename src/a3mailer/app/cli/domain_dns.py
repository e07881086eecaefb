"""domain dns: the records of a domain to paste, as a zone file, or sent to its name server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

import msgspec

from a3mailer.app.cli.exits import OK, REFUSED, USAGE, Failed
from a3mailer.app.cli.office import session
from a3mailer.app.cli.output import Output
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb
from a3mailer.config.fields import BadValue
from a3mailer.config.syntax import host_port
from a3mailer.config.tree import Dns
from a3mailer.ops.dns_provider import DnsProvider, ProviderFailure, ZoneChange, plan
from a3mailer.ops.dns_providers.rfc2136 import Rfc2136, read_key
from a3mailer.ops.domain_records import DomainRecord, Facts, records, zone_file

DNS_PORT: Final = 53
NAME: Final = Argument("DOMAIN", "the domain's name")
ADDRESS: Final = Option(
    "--address", "an address the world reaches this server at; repeatable", metavar="ADDRESS", many=True
)
ISSUER: Final = Option(
    "--ca", "the authority that issues certificates for it (default: letsencrypt.org)", metavar="NAME"
)


def facts_of(args: Arguments) -> tuple[Facts, Dns]:
    """What the server says of the domain, and how it asks the DNS. Errors: Failed."""
    request = {"name": args.domain, "addresses": args.address, "issuer": args.ca or ""}
    with session(args.dir) as store:
        found = store.perform("domain dns", request)
    return msgspec.convert(found["facts"], Facts), msgspec.convert(found["dns"], Dns)


def dns(args: Arguments, out: Output) -> int:
    """domain dns."""
    facts, _ = facts_of(args)
    if args.update:
        return update(facts, args, out)
    if args.bind:
        if facts.holds_host and not facts.addresses:
            raise Failed(USAGE, f"which address does {facts.hostname} have? --address ADDRESS")
        servers = args.name_server or [facts.hostname]
        text = zone_file(facts, servers, int(time.time()))
        out.result({"zone": text}, text.rstrip("\n"))
        return OK
    found = records(facts)
    out.result([asdict(each) for each in found], "\n".join(paste(facts, found)))
    return OK


def update(facts: Facts, args: Arguments, out: Output) -> int:
    """domain dns --update: what is missing is put in, what contradicts it taken out, all or nothing."""
    if not args.server or not args.tsig:
        raise Failed(USAGE, "--update wants --server HOST and --tsig FILE (made by: tsig-keygen)")
    host, port = _server(args.server)
    try:
        zone, change = asyncio.run(_apply(facts, Rfc2136(host, port, read_key(Path(args.tsig)))))
    except ProviderFailure as error:
        raise Failed(REFUSED, str(error)) from error
    shown = {"zone": zone, **asdict(change)}
    lines = [f"- {r.name}. IN {r.kind} {r.data}" for r in change.remove]
    lines += [f"+ {r.name}. IN {r.kind} {r.data}" for r in change.add]
    lines += [f"left as it is: {reason}" for reason in change.left]
    out.result(shown, "\n".join((f"{zone}:", *lines) if lines else (f"{zone}: nothing to change",)))
    return OK


async def _apply(facts: Facts, provider: DnsProvider) -> tuple[str, ZoneChange]:
    zone = await provider.zone_of(facts.domain)
    gone = [f"{selector}._domainkey.{facts.domain}" for selector in facts.removed]
    change = await plan(records(facts), zone, provider, gone)
    if change.remove or change.add:
        await provider.change(zone, change.remove, change.add)
    return zone, change


# server = host [":" port] / "[" IPv6-address "]" [":" port]
def _server(text: str) -> tuple[str, int]:
    whole = text if text.rpartition(":")[2].isdigit() and not text.endswith("]") else f"{text}:{DNS_PORT}"
    try:
        return host_port(whole)
    except BadValue as error:
        raise Failed(USAGE, str(error)) from error


def paste(facts: Facts, found: tuple[DomainRecord, ...]) -> Iterator[str]:
    """The records with a line above each that says what it is for."""
    yield f"DNS records of {facts.domain}. Without the first part mail is lost or distrusted."
    if facts.holds_host and not facts.addresses:
        yield f"Also an A (and AAAA) record of {facts.hostname}: its public address (--address fills it in)."
    if not facts.holds_host:
        yield f"{facts.hostname} is of another zone: its address, CAA and TLSA records belong there."
    for needed, title in ((True, "Needed"), (False, "Helpful")):
        yield f"\n{title}:"
        for record in found:
            if record.needed is needed:
                yield f"\n# {record.why}"
                yield f"{record.name}. {record.ttl} IN {record.kind} {record.data}"


VERBS: Final = (
    Verb(
        "domain dns",
        "print the DNS records of a domain",
        "domain.list",
        dns,
        (NAME,),
        (
            ADDRESS,
            ISSUER,
            Option("--update", "put them into the zone by dynamic updates (RFC 2136)"),
            Option("--server", "the zone's primary name server, for --update", metavar="HOST"),
            Option("--tsig", "the key it knows, as tsig-keygen prints it, for --update", metavar="FILE"),
            Option("--bind", "as a zone file that BIND reads"),
            Option(
                "--name-server",
                "a name server of the zone file; repeatable (default: this host)",
                metavar="NAME",
                many=True,
            ),
        ),
    ),
)
