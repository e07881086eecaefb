"""Where a domain's DMARC reports may go: its own addresses, and those elsewhere that agreed (RFC 9990 4).

A place outside the domain's organization has to say in the DNS that it takes reports about the domain, or
anybody could be flooded by anybody's record.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from a3mailer.msgauth import dmarc, dmarc_record
from a3mailer.msgauth.dmarc_record import DmarcRecord
from a3mailer.msgauth.mailto import mailbox
from a3mailer.runtime.resolver import Resolver

MAX_NAME: Final = 253
"""Characters of a name in the DNS."""
MOST_PLACES: Final = 5
"""Of one domain that get a report."""


async def record_of(domain: str, resolver: Resolver) -> DmarcRecord | None:
    """The one record of a domain, as it is now. Errors: ResolverFailure."""
    records = await _records(f"_dmarc.{domain}", resolver)
    return records[0] if len(records) == 1 else None


async def destinations(
    domain: str, uris: Iterable[str], resolver: Resolver, *, failures: bool = False
) -> dict[str, str]:
    """Addresses that may have the report, each with the URI that led to it.

    ``failures``: of failure reports (``ruf``), not of aggregate ones. Errors: ResolverFailure."""
    found: dict[str, str] = {}
    for uri in uris:
        address = mailbox(uri.encode("ascii", "replace"))
        if address and len(found) < MOST_PLACES:
            allowed = await _allowed(domain, address, resolver, failures=failures)
            if allowed:
                found[allowed] = uri
    return found


async def _allowed(domain: str, address: str, resolver: Resolver, *, failures: bool) -> str:
    """The address, or the one that its host names in its place; empty where it wants no such report."""
    host = address.rpartition("@")[2]
    if host == domain or await _organization(host, resolver) == await _organization(domain, resolver):
        return address
    name = f"{domain}._report._dmarc.{host}"
    records = await _records(name, resolver) if len(name) <= MAX_NAME else []
    if not records:
        return ""
    uris = [uri for each in records for uri in (each.failure if failures else each.aggregate)]
    others = [other for uri in uris if (other := mailbox(uri.encode("ascii", "replace")))]
    if any(other.rpartition("@")[2] != host for other in others):
        return ""  # it sends reports on to somebody else: there nobody has agreed
    return others[0] if others else address


async def _records(name: str, resolver: Resolver) -> list[DmarcRecord]:
    answer = await resolver.lookup(name, "TXT")
    return [found for found in map(dmarc_record.parse, answer.texts) if found is not None]


async def _organization(domain: str, resolver: Resolver) -> str:
    return (await dmarc.walk(domain, resolver)).organizational
