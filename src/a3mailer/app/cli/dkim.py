"""dkim: the keys of a domain, their records, and their rotation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from a3mailer.app.cli.exits import ABSENT, NO, OK, Failed
from a3mailer.app.cli.office import session
from a3mailer.app.cli.output import Output, moment, plain
from a3mailer.app.cli.resolve import resolver_of
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb
from a3mailer.config.tree import Dns
from a3mailer.keys.selectors import PREPARED, REMOVED, SETTLE_SECONDS
from a3mailer.ops.dkim_rotation import look
from a3mailer.ops.domain_records import TTL, quoted

NAME: Final = Argument("DOMAIN", "the domain's name")
DNS: Final = Option(
    "--dns", "a name server to ask; repeatable (default: as the server)", metavar="ADDRESS:PORT", many=True
)
NEXT: Final = {
    "prepared": "publish its record",
    "published": "the server signs with it soon",
    "signing": "",
    "retired": "leave its record in the DNS",
    "removed": "take its record out of the DNS",
}
"""What is to be done, by state."""


def list_(args: Arguments, out: Output) -> int:
    """dkim list."""
    rows = _keys(args)
    shown = [{**row, "next": NEXT[row["state"]]} for row in rows]
    columns = {"selector": plain, "kind": plain, "state": plain, "since": moment, "next": plain}
    out.table(shown, columns)
    return OK


def _keys(args: Arguments) -> list[dict[str, Any]]:
    with session(args.dir) as store:
        found: list[dict[str, Any]] = store.perform("dkim list", {"name": args.domain})
    return found


def rotate(args: Arguments, out: Output) -> int:
    """dkim rotate."""
    request: dict[str, object] = {"name": args.domain, "cancel": args.cancel}
    if args.kind:
        request["kinds"] = [args.kind]
    with session(args.dir) as store:
        rows = store.perform("dkim rotate", request)
    prepared = [row for row in rows if row["state"] == PREPARED]
    told = "Publish these records; the server looks for them, and signs with the new keys an hour after:"
    if args.cancel:
        told = "The keys that did not sign yet are deleted; their records may go."
    out.result(rows, "\n".join((told, *_records(prepared))))
    return OK


def record(args: Arguments, out: Output) -> int:
    """dkim record: those that have to be in the DNS now."""
    rows = [r for r in _keys(args) if r["text"] and args.selector in (None, r["selector"])]
    if not rows:
        raise Failed(ABSENT, f"no key {args.selector or ''} of {args.domain}".replace("  ", " "))
    out.result(rows, "\n".join(_records(rows)))
    return OK


def _records(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    return (f"{row['name']}. {TTL} IN TXT {quoted(row['text'])}" for row in rows)


def publish(args: Arguments, out: Output) -> int:
    """dkim publish: look now for what the server looks for every hour. 1 while a record is missing."""
    with session(args.dir) as store:
        rows = store.perform("dkim list", {"name": args.domain})
        facts = store.perform("domain dns", {"name": args.domain})
    texts = [(row["selector"], row["text"]) for row in rows]
    dns = msgspec.convert(facts["dns"], Dns)
    seen = asyncio.run(_look(facts["facts"]["domain"], texts, dns, args.dns))
    request = {"name": args.domain, "seen": seen, "at_once": args.at_once}
    with session(args.dir) as store:
        changed = store.perform("dkim seen", request)
        after = store.perform("dkim list", {"name": args.domain})
    missing = [r["selector"] for r in after if r["state"] != REMOVED and not seen.get(r["selector"])]
    lines = [f"{each['selector']}: {each['state']}" for each in changed]
    lines += [f"{name}: its record is {'missing' if name in seen else 'not known'}" for name in missing]
    out.result({"changed": changed, "missing": missing}, "\n".join(lines) or "all records are there")
    return NO if missing else OK


async def _look(
    domain: str, texts: Sequence[tuple[str, str]], dns: Dns, servers: Sequence[str]
) -> dict[str, bool]:
    async with resolver_of(dns, servers) as resolver:
        return await look(domain, texts, resolver)


VERBS: Final = (
    Verb("dkim list", "list the keys of a domain and their states", "domain.list", list_, (NAME,)),
    Verb(
        "dkim rotate",
        "make the next keys; they sign once their records are seen",
        "domain.keys",
        rotate,
        (NAME,),
        (
            Option("--kind", "only this kind of key (default: both)", choices=("rsa", "ed25519")),
            Option("--cancel", "delete the keys that do not sign yet"),
        ),
    ),
    Verb(
        "dkim record",
        "print the records of the keys, to paste",
        "domain.list",
        record,
        (NAME, Argument("SELECTOR", "of this key only", "?")),
    ),
    Verb(
        "dkim publish",
        "look whether the records are published, and go on with the rotation",
        "domain.keys",
        publish,
        (NAME,),
        (
            Option("--at-once", f"sign at once, not {SETTLE_SECONDS // 60} minutes after the first sight"),
            DNS,
        ),
    ),
)
