"""One wanted DNS record against what the DNS answers; the texts are judged by the parsers of ``msgauth``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from a3mailer.msgauth import domainkeys, mta_sts, tags
from a3mailer.ops.domain_records import DomainRecord
from a3mailer.runtime.resolver import Answer, Resolver, ResolverFailure

VERSIONS: Final = {
    "spf": "v=spf1", "dkim": "v=dkim1", "dmarc": "v=dmarc1", "mta-sts": "v=stsv1", "tls-rpt": "v=tlsrptv1",
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


async def look(wanted: Sequence[DomainRecord], resolver: Resolver) -> tuple[RecordState, ...]:
    """The state of every wanted record, all asked at the same time."""
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(_look(record, resolver)) for record in wanted]
    return tuple(task.result() for task in asked)


async def _look(record: DomainRecord, resolver: Resolver) -> RecordState:
    try:
        answer = await resolver.lookup(record.name, record.kind)
    except ResolverFailure:
        return RecordState(record, UNKNOWN)
    return judge(record, answer)


def judge(record: DomainRecord, answer: Answer) -> RecordState:
    """Compare a wanted record with what is there."""
    seen = tuple(_seen(record, answer))
    state = DIFFERENT if seen else MISSING
    if any(serves(record, each) for each in seen):
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
    found = tags.parse(octets)
    return found is not None and (b"p" in found if record.subject == "dmarc" else b"rua" in found)


def _permits(wanted: str, seen: str) -> bool:
    """Has an SPF record every mechanism that is wanted, and an ``all`` that is not a pass?"""
    words = seen.lower().split()
    needed = set(wanted.lower().split()[1:-1])
    return needed <= set(words) and words[-1] in ("-all", "~all", "?all")
