"""One wanted DNS record against what the DNS answers; the texts are judged by the parsers of ``msgauth``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from a3mailer.mail.authresults import PASS
from a3mailer.msgauth import dmarc_record, domainkeys, mta_sts, spf, tlsrpt
from a3mailer.ops.autoconfig import pacc
from a3mailer.ops.domain_records import DomainRecord, Facts, records
from a3mailer.runtime.resolver import Answer, Resolver, ResolverFailure

VERSIONS: Final = {
    "spf": "v=spf1", "dkim": "v=dkim1", "dmarc": "v=dmarc1", "mta-sts": "v=stsv1", "tls-rpt": "v=tlsrptv1",
    "autoconfig": "v=uaac1",
}  # fmt: skip
"""What a TXT record of each subject begins with; others at the same name are not looked at."""
PUBLISHED: Final = "published"
"""It is there, or one that does as well."""
DIFFERENT: Final = "different"
MISSING: Final = "missing"
UNKNOWN: Final = "unknown"
"""The name server did not answer."""


@dataclass(frozen=True, slots=True)
class RecordState:
    """One wanted record and what the DNS says of it."""

    record: DomainRecord
    state: str
    seen: tuple[str, ...] = ()
    """Those of its kind and subject that are there."""
    authentic: bool = False
    """DNSSEC vouches for the answer."""


async def look(facts: Facts, resolver: Resolver) -> tuple[RecordState, ...]:
    """The state of every record of a domain, all asked at the same time."""
    from_ = await senders(facts, resolver)
    async with asyncio.TaskGroup() as tasks:
        asked = [
            tasks.create_task(_look(record, resolver, facts.hostname, from_)) for record in records(facts)
        ]
    return tuple(task.result() for task in asked)


async def _look(record: DomainRecord, resolver: Resolver, hostname: str, from_: Sequence[str]) -> RecordState:
    try:
        answer = await resolver.lookup(record.name, record.kind)
    except ResolverFailure:
        return RecordState(record, UNKNOWN)
    found = judge(record, answer)
    if record.subject == "spf" and found.state == DIFFERENT and len(found.seen) == 1 and from_:
        said = [await ask_spf(record.name, each, hostname, resolver) for each in from_]
        if all(each.result == PASS for each in said) and not is_open(found.seen[0]):
            return replace(found, state=PUBLISHED)
    return found


async def senders(facts: Facts, resolver: Resolver) -> tuple[str, ...]:
    """The addresses mail of ours leaves from; none where a smart host sends it, or nobody knows."""
    if facts.relay:
        return ()
    try:
        return facts.addresses or await host_addresses(facts.hostname, resolver)
    except ResolverFailure:
        return ()


async def host_addresses(hostname: str, resolver: Resolver) -> tuple[str, ...]:
    """IPv4 and IPv6. Errors: ResolverFailure."""
    v4 = (await resolver.lookup(hostname, "A")).strings
    return (*v4, *(await resolver.lookup(hostname, "AAAA")).strings)


async def ask_spf(name: str, address: str, hostname: str, resolver: Resolver) -> spf.SpfResult:
    """What the SPF record of a name makes of mail that comes from an address of ours (RFC 7208)."""
    return await spf.check_host(address, name, f"postmaster@{name}", hostname, resolver)


def is_open(text: str) -> bool:
    """Does an SPF record pass everybody?"""
    return text.lower().split()[-1] in ("+all", "all")


def policy_of(text: str) -> dmarc_record.DmarcRecord | None:
    """A DMARC record that asks for something (RFC 9989), or None."""
    found = dmarc_record.parse(text.encode("ascii", "replace"))
    return found if found is not None and found.policy else None


def judge(record: DomainRecord, answer: Answer) -> RecordState:
    """Compare a wanted record with what is there."""
    seen = tuple(_seen(record, answer))
    state = DIFFERENT if seen else MISSING
    alone = record.kind != "TXT" or len(seen) == 1  # of texts of one kind there may be one, or none counts
    if alone and any(serves(record, each) for each in seen):
        state = PUBLISHED
    return RecordState(record, state, seen, answer.authentic)


def text_of(record: DomainRecord) -> str:
    """The text of a TXT record, its strings joined."""
    return record.data.replace('" "', "").strip('"')


def _seen(record: DomainRecord, answer: Answer) -> Iterator[str]:
    if record.kind == "TXT":
        texts = (text.decode("ascii", "replace") for text in answer.texts)
        yield from (t for t in texts if "".join(t.split()).lower().startswith(VERSIONS[record.subject]))
    elif record.kind == "MX":
        yield from (plain(f"{mx.preference} {mx.exchange}") for mx in answer.exchanges)
    elif record.kind == "TLSA":
        for each in answer.associations:
            yield f"{each.usage} {each.selector} {each.matching} {each.data.hex()}"
    else:
        yield from map(plain, answer.strings)


def plain(text: str) -> str:
    """Names without their final dot, in lower case."""
    return text.rstrip(".").strip().lower()


def serves(record: DomainRecord, seen: str) -> bool:
    """Is this the record, or one that does as well?"""
    if record.kind == "MX":
        return seen.partition(" ")[2] == plain(record.data).partition(" ")[2]
    if record.kind != "TXT":
        return seen == plain(record.data)
    octets = seen.encode("ascii", "replace")
    if record.subject == "spf":
        return _permits(text_of(record), seen)
    if record.subject == "dkim":
        ours, theirs = domainkeys.load(text_of(record).encode()), domainkeys.load(octets)
        both = isinstance(ours, domainkeys.DomainKey) and isinstance(theirs, domainkeys.DomainKey)
        return both and ours.public == theirs.public  # type: ignore[union-attr]
    if record.subject == "mta-sts":
        return bool(mta_sts.parse_record([octets]))
    if record.subject == "dmarc":
        return policy_of(seen) is not None
    if record.subject == "autoconfig":
        return pacc.digest_of(seen) == pacc.digest_of(text_of(record))
    return bool(tlsrpt.parse_record([octets]))


def _permits(wanted: str, seen: str) -> bool:
    """Has an SPF record every mechanism that is wanted, and an ``all`` that is not a pass?"""
    words = seen.lower().split()
    needed = set(wanted.lower().split()[1:-1])
    return needed <= set(words) and words[-1] in ("-all", "~all", "?all")
