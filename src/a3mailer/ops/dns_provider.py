"""The door to whoever keeps a zone, and the plan of what to change in it.

One file a kind of provider in ``ops/dns_providers/``, held against ``testing.dns_provider``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import dns.exception
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from dns.rdtypes.ANY.TXT import TXT

from a3mailer.ops.domain_records import DomainRecord
from a3mailer.ops.record_state import VERSIONS, serves

IN: Final = dns.rdataclass.IN


class ProviderFailure(Exception):
    """The provider cannot be reached, refuses, or says nonsense; nothing was changed. The text says why."""


@dataclass(frozen=True, slots=True)
class ZoneRecord:
    """A record of a zone. ``data`` is in presentation form, names in it absolute."""

    name: str
    """Absolute, A-labels, without the final dot."""
    kind: str
    data: str
    ttl: int = 3600


class DnsProvider(Protocol):
    """Who keeps zones and lets us change them."""

    async def zone_of(self, name: str) -> str:
        """The zone a name belongs to. Errors: ProviderFailure, also when it keeps none for it."""
        ...

    async def read(self, zone: str, name: str, kind: str) -> tuple[str, ...]:
        """The data of the records of this name and kind, as ``canonical`` writes them.

        Errors: ProviderFailure."""
        ...

    async def change(self, zone: str, remove: Sequence[ZoneRecord], add: Sequence[ZoneRecord]) -> None:
        """Take records out and put others in, all or nothing; what is not there (or there already) is no
        error. Errors: ProviderFailure."""
        ...


def canonical(kind: str, data: str) -> str:
    """The presentation form everybody compares. Errors: ValueError."""
    try:
        return dns.rdata.from_text(IN, dns.rdatatype.from_text(kind), data).to_text()
    except dns.exception.DNSException as error:
        raise ValueError(f"{kind} {data}: {error}") from error


@dataclass(frozen=True, slots=True)
class ZoneChange:
    """What to take out, what to put in, and why some of it is left as it is."""

    remove: tuple[ZoneRecord, ...] = ()
    add: tuple[ZoneRecord, ...] = ()
    left: tuple[str, ...] = ()


async def plan(
    wanted: Sequence[DomainRecord], zone: str, provider: DnsProvider, gone: Sequence[str] = ()
) -> ZoneChange:
    """The least change after which every wanted record is served, and no key record at the names ``gone``.
    Errors: ProviderFailure.

    Other people's records stay: TXT records of other subjects, a CAA set, a name that has addresses of its
    own where we want an alias, and an SPF or DMARC record that does as well."""
    groups: dict[tuple[str, str, str], list[DomainRecord]] = {}
    for record in wanted:
        subject = record.subject if record.kind == "TXT" else ""
        groups.setdefault((record.name, record.kind, subject), []).append(record)
    remove: list[ZoneRecord] = []
    add: list[ZoneRecord] = []
    left: list[str] = []
    for (name, kind, _), group in groups.items():
        reason = await _taken(name, kind, zone, provider)
        if reason:
            left.append(reason)
            continue
        present = await provider.read(zone, name, kind)
        out, into = _difference(group, present)
        remove += (ZoneRecord(name, kind, data) for data in out)
        add += (ZoneRecord(name, kind, data, group[0].ttl) for data in into)
    for name in gone:
        texts = await provider.read(zone, name, "TXT")
        remove += (ZoneRecord(name, "TXT", d) for d in texts if begins(text(d), VERSIONS["dkim"]))
    return ZoneChange(tuple(remove), tuple(add), tuple(left))


async def _taken(name: str, kind: str, zone: str, provider: DnsProvider) -> str:
    """Why a name is left alone; empty: it is not."""
    if kind == "CAA" and await provider.read(zone, name, kind):
        return f"{name} has CAA records already"
    if kind == "CNAME":
        for other in ("A", "AAAA", "TXT", "MX"):
            if await provider.read(zone, name, other):
                return f"{name} has {other} records and cannot be an alias"
    elif await provider.read(zone, name, "CNAME"):
        return f"{name} is an alias and can have no {kind} record"
    return ""


def _difference(group: Sequence[DomainRecord], present: Sequence[str]) -> tuple[list[str], list[str]]:
    """Data to take out and to put in, for the records of one name, kind and subject."""
    target = [canonical(record.kind, record.data) for record in group]
    first = group[0]
    if first.kind != "TXT":
        return [d for d in present if d not in target], [d for d in target if d not in present]
    ours = [data for data in present if is_about(first, text(data))]
    if len(ours) == 1 and serves(first, text(ours[0])):
        return [], []
    return [d for d in ours if d not in target], [d for d in target if d not in ours]


def text(data: str) -> str:
    """The text of TXT data in canonical form."""
    found = dns.rdata.from_text(IN, dns.rdatatype.TXT, data)
    return b"".join(found.strings).decode("ascii", "replace") if isinstance(found, TXT) else ""


def is_about(record: DomainRecord, seen: str) -> bool:
    """Is a text at this name of the record's subject?"""
    return begins(seen, VERSIONS[record.subject])


def begins(seen: str, version: str) -> bool:
    """Does a text begin with this, however it is spaced?"""
    return "".join(seen.split()).lower().startswith(version)
