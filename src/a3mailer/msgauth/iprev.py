"""iprev: does the name of a client's address lead back to it (RFC 8601 section 3)?

Shared with SPF's "ptr" and "%{p}" (RFC 7208 section 5.5). Errors of the DNS are a result, never an exception.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

import msgspec

from a3mailer.mail.authresults import FAIL, PASS, PERMERROR, TEMPERROR, MethodResult
from a3mailer.msgauth.spf_macro import is_name
from a3mailer.runtime.resolver import Resolver, ResolverFailure

MAX_NAMES: Final = 10
"""Names of an address that are looked at; the others are ignored (RFC 7208 section 4.6.4)."""
REMEMBERED: Final = 4096
"""Addresses whose number is kept."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@lru_cache(REMEMBERED)
def parse_address(text: str) -> Address | None:
    """An address; an IPv4 address inside IPv6 is the IPv4 address; None for what is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


async def names_of(address: Address, resolver: Resolver) -> tuple[str, ...]:
    """What the PTR records of an address say, at most ``MAX_NAMES``. Errors: ResolverFailure."""
    answer = await resolver.lookup(address.reverse_pointer, "PTR")
    names = (name.lower().removesuffix(".") for name in answer.strings[:MAX_NAMES])
    return tuple(name for name in names if is_name(name))


async def leads_to(name: str, address: Address, resolver: Resolver) -> bool:
    """Whether a name has the address. Errors: ResolverFailure."""
    answer = await resolver.lookup(name, "A" if address.version == 4 else "AAAA")
    return any(parse_address(text) == address for text in answer.strings)


class IprevResult(msgspec.Struct, frozen=True):
    """``name``: the confirmed name, or the first one that was claimed."""

    result: str
    ip: str
    name: str = ""
    reason: str = ""

    def method_result(self) -> MethodResult:
        """As it stands in Authentication-Results."""
        return MethodResult("iprev", self.result, properties=(("policy", "iprev", self.ip),))

    def sentence(self) -> str:
        """For people."""
        if self.result == PASS:
            return f"{self.ip} is called {self.name}, and that name leads back to it."
        if self.result == FAIL:
            return f"{self.ip} calls itself {self.name}, but that name does not lead back to it."
        return f"The name of {self.ip} could not be confirmed: {self.reason}."


async def check_iprev(ip: str, resolver: Resolver) -> IprevResult:
    """pass, fail, temperror or permerror (RFC 8601 section 2.7.3)."""
    address = parse_address(ip)
    if address is None:
        return IprevResult(PERMERROR, ip, reason="it is no address")
    try:
        names = await names_of(address, resolver)
    except ResolverFailure as error:
        return IprevResult(TEMPERROR, ip, reason=str(error))
    if not names:
        return IprevResult(PERMERROR, ip, reason="it has no name")
    failure = ""
    for name in names:
        try:
            if await leads_to(name, address, resolver):
                return IprevResult(PASS, ip, name)
        except ResolverFailure as error:
            failure = str(error)
    return IprevResult(TEMPERROR if failure else FAIL, ip, names[0], failure)
