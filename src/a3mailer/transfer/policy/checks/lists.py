"""How DNS lists are asked (RFC 5782): by reversed address or by domain; only 127.0.0.0/8 is an answer.

A list that lists 127.0.0.1, or every name, has died or is misused (section 5): it says nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from typing import Final

from a3mailer.runtime.resolver import Resolver, ResolverFailure

MAX_LISTS: Final = 16
"""Lists asked about one mail; those set beyond are not."""
_CODES: Final = ipaddress.ip_network("127.0.0.0/8")
_ERRORS: Final = ipaddress.ip_network("127.255.255.0/24")
"""What lists answer to those they do not serve."""
NEVER_ADDRESS: Final = "1.0.0.127"
NEVER_DOMAIN: Final = "invalid"
"""What no list that works has: sections 5 and 2.3."""


# RFC 5782 sections 2.1 and 2.4: d.c.b.a, or 32 nibbles from the last
def reversed_address(ip: str) -> str:
    """The labels of an address, last first. Errors: ValueError."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    name = address.reverse_pointer
    return name.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")


async def listed(labels: str, never: str, zones: Sequence[str], resolver: Resolver) -> list[tuple[str, str]]:
    """(list, its code) of those that have it. Errors: ResolverFailure: none has, one is silent."""
    if not zones:
        return []
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(_code(labels, never, zone, resolver)) for zone in zones[:MAX_LISTS]]
    answers = [(zone, task.result()) for zone, task in zip(zones, asked, strict=False)]
    found = [(zone, answer) for zone, answer in answers if isinstance(answer, str) and answer]
    if not found:
        for _, answer in answers:
            if isinstance(answer, ResolverFailure):
                raise answer
    return found


async def _code(labels: str, never: str, zone: str, resolver: Resolver) -> str | ResolverFailure:
    try:
        answer = await resolver.lookup(f"{labels}.{zone}", "A")
        codes = [c for c in answer.strings if _is_code(c)]
        if not codes or (await resolver.lookup(f"{never}.{zone}", "A")).strings:
            return ""
        return codes[0]
    except ResolverFailure as error:
        return error


async def refuses(labels: str, zone: str, resolver: Resolver) -> bool:
    """Does a list say that it does not serve this resolver? Errors: ResolverFailure."""
    codes = (await resolver.lookup(f"{labels}.{zone}", "A")).strings
    return any(ipaddress.ip_address(code) in _ERRORS for code in codes)


def _is_code(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return address in _CODES and address not in _ERRORS
