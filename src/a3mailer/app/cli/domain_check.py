"""domain check: what the DNS says of a domain and what it has to say; ``--watch`` until it is all there."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final

import msgspec

from a3mailer.app.cli.domain_dns import ADDRESS, ISSUER, NAME, facts_of
from a3mailer.app.cli.exits import NO, OK
from a3mailer.app.cli.office import session
from a3mailer.app.cli.output import GREEN, RED, Output, moment
from a3mailer.app.cli.resolve import resolver_of
from a3mailer.app.cli.verb import Arguments, Option, Verb
from a3mailer.config.tree import Dns
from a3mailer.ops.domain_check import BLOCKLISTS, Section
from a3mailer.ops.domain_history import Look, word
from a3mailer.ops.domain_records import Facts
from a3mailer.ops.record_state import PUBLISHED, RecordState, look
from a3mailer.runtime.clock import SystemClock
from a3mailer.runtime.dnssec import who_validates

EVERY_SECONDS: Final = "15"


def check_(args: Arguments, out: Output) -> int:
    """domain check."""
    if args.last:
        return last(args, out)
    facts, dns = facts_of(args)
    if args.dns:
        dns = msgspec.structs.replace(dns, servers=tuple(args.dns))
    if args.watch:
        return watch(facts, dns, args.every, out)
    validator, states, sections = asyncio.run(_examine(facts, dns, args.blocklist or BLOCKLISTS))
    shown = {
        "domain": facts.domain,
        "validated_by": validator,
        "sections": [asdict(each) for each in sections],
        "records": [_state(each) for each in states],
    }
    out.result(shown, "\n".join(report(facts.domain, validator, sections)))
    return NO if any(section.errors for section in sections) else OK


def last(args: Arguments, out: Output) -> int:
    """domain check --last."""
    with session(args.dir) as store:
        found = store.perform("domain last", {"name": args.domain})
    look = msgspec.convert(found, Look)
    lines = report(found["domain"], look.validated_by, look.sections)
    out.result(found, "\n".join((f"looked at {moment(look.checked)}", *lines)))
    return NO if look.errors else OK


async def _examine(
    facts: Facts, dns: Dns, blocklists: Sequence[str]
) -> tuple[str, tuple[RecordState, ...], tuple[Section, ...]]:
    from a3mailer.ops.domain_look import examine
    from a3mailer.runtime.http import HttpClient

    async with resolver_of(dns) as resolver:
        client = HttpClient(resolver, SystemClock(), ssl.create_default_context())
        validator = await who_validates(resolver)
        try:
            return validator, *await examine(facts, resolver, client, validator, blocklists, time.time())
        finally:
            await client.close()


def _state(each: RecordState) -> dict[str, object]:
    record = each.record
    named = {"subject": record.subject, "name": record.name, "kind": record.kind, "data": record.data}
    return {**named, "needed": record.needed, "state": each.state, "seen": each.seen}


def report(domain: str, validator: str, sections: Sequence[Section]) -> Iterator[str]:
    """For people: a line a subject, then what is wrong with it and what to do."""
    yield f"{domain}: (answers of the DNS are validated by {validator})"
    for each in sections:
        yield f"{each.subject.ljust(12)} {word(each)}"
        yield from (f"    error: {text}" for text in each.errors)
        yield from (f"    warning: {text}" for text in each.warnings)
        yield from (f"    not checked: {text}" for text in each.not_checked)
        yield from (f"    do: {text}" for text in each.instructions)


def watch(facts: Facts, dns: Dns, every: int, out: Output) -> int:
    """Print each record when its state changes, until all that are needed are published."""
    before: dict[tuple[str, str, str], str] = {}
    while True:
        states = asyncio.run(_look(facts, dns))
        for each in states:
            record = each.record
            key = (record.name, record.kind, record.data)
            if before.get(key) != each.state:
                before[key] = each.state
                line = f"{each.state.ljust(9)} {record.kind.ljust(5)} {record.name}"
                out.event(_state(each), line, GREEN if each.state == PUBLISHED else RED)
        waiting = [each for each in states if each.record.needed and each.state != PUBLISHED]
        if not waiting:
            out.note("Every needed record is published.")
            return OK
        time.sleep(max(1, every))


async def _look(facts: Facts, dns: Dns) -> tuple[RecordState, ...]:
    """With a new cache, so that changes are seen at once."""
    async with resolver_of(dns) as resolver:
        return await look(facts, resolver)


VERBS: Final = (
    Verb(
        "domain check",
        "say what is wrong with the DNS of a domain, and what to do",
        "domain.list",
        check_,
        (NAME,),
        (
            ADDRESS,
            ISSUER,
            Option(
                "--dns",
                "a name server to ask; repeatable (default: as the server)",
                metavar="ADDRESS:PORT",
                many=True,
            ),
            Option(
                "--blocklist",
                f"a list of addresses to ask; repeatable (default: {', '.join(BLOCKLISTS)})",
                metavar="NAME",
                many=True,
            ),
            Option("--last", "do not look: what the running server found last"),
            Option("--watch", "look again and again, until every needed record is published"),
            Option("--every", "seconds between looks", metavar="SECONDS", number=True, default=EVERY_SECONDS),
        ),
    ),
)
