"""Which hosts take a domain's mail (RFC 5321 section 5; RFC 7505, the null MX; RFC 3463 for the codes).

A host that is ourselves ends the list (loops, attack row 9). Hosts are found first and their addresses
only when they are tried, so that a domain with a hundred MX costs what is used of it.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.runtime.reach import is_public
from a3mailer.runtime.resolver import Answer, Mx, Resolver, ResolverFailure

MAX_HOSTS: Final = 10
"""Hosts of one domain that are tried in one attempt."""
MAX_ADDRESSES: Final = 4
"""Addresses of one host that are tried in one attempt."""
KNOWN: Final = 4096
"""Names of which it is remembered whether they are addresses."""


@dataclass(frozen=True, slots=True)
class Host:
    """A server to hand mail to: a name, or an address where there is none."""

    name: str
    port: int
    authentic: bool = field(default=False, compare=False)
    """Validated answers, or the operator, say that the mail goes there: DANE can apply."""
    canonical: str = field(default="", compare=False)
    """What the domain it serves is an alias of."""


class NoRoute(Exception):
    """Nobody takes this domain's mail. ``permanent``: asking again later is pointless."""

    def __init__(self, enhanced: str, text: str, *, permanent: bool) -> None:
        super().__init__(text)
        self.enhanced = enhanced
        self.text = text
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class Ourselves:
    """How to know that a host is us."""

    names: frozenset[str]
    addresses: frozenset[str]
    port: int
    """Where we listen for mail: the same address with another port is somebody else."""

    def is_us(self, host: Host) -> bool:
        """By name; addresses are compared when they are known."""
        return host.port == self.port and host.name.lower() in self.names

    def is_ours(self, address: str, port: int) -> bool:
        """By address and port."""
        return port == self.port and address in self.addresses


def anywhere(address: str) -> bool:
    """For a host that the operator has named."""
    return bool(address)


def reach_of(settings: Settings) -> Callable[[str], bool]:
    """Which addresses mail may go to where a stranger's DNS or address names them (attack row 50).

    Those of the public Internet and of ``queue.inside``; all of them while nobody but this machine reaches
    the server itself."""
    if all(ipaddress.ip_address(address).is_loopback for address in settings.server.listen):
        return anywhere
    inside = tuple(ipaddress.ip_network(network, strict=False) for network in settings.queue.inside)

    def may_reach(address: str) -> bool:
        found = ipaddress.ip_address(address)
        return is_public(found) or any(found in network for network in inside)

    return may_reach


async def hosts_of(
    domain: str, resolver: Resolver, ourselves: Ourselves, port: int, chance: random.Random
) -> tuple[Host, ...]:
    """The hosts of a domain in the order to try them; equal preferences shuffled. Errors: NoRoute."""
    if domain.startswith("["):
        return (Host(literal_address(domain), port),)
    answer = await ask(resolver, domain, "MX")
    if not answer.exists:
        raise NoRoute("5.1.2", f"the domain {domain} does not exist", permanent=True)
    exchanges = answer.exchanges
    if not exchanges:
        return _without_us((Mx(0, domain),), ourselves, port, answer)
    if all(mx.exchange == "." for mx in exchanges):
        raise NoRoute("5.1.10", f"the domain {domain} accepts no mail", permanent=True)
    named = [mx for mx in exchanges if mx.exchange != "."]
    chance.shuffle(named)
    named.sort(key=lambda mx: mx.preference)
    return _without_us(named, ourselves, port, answer)


def _without_us(exchanges: Sequence[Mx], ourselves: Ourselves, port: int, answer: Answer) -> tuple[Host, ...]:
    """Drop ourselves and all hosts that are not better than we are (RFC 5321 section 5.1)."""
    hosts = [
        (mx.preference, Host(mx.exchange.lower(), port, answer.authentic, answer.canonical))
        for mx in exchanges
    ]
    ours = [preference for preference, host in hosts if ourselves.is_us(host)]
    left = tuple(host for preference, host in hosts if not ours or preference < min(ours))
    if not left:
        raise NoRoute("5.4.6", f"mail for {answer.name} loops back to this server", permanent=True)
    return left[:MAX_HOSTS]


async def addresses_of(
    host: Host, resolver: Resolver, may_reach: Callable[[str], bool] = anywhere
) -> tuple[str, ...]:
    """Addresses of one host, the families taking turns, IPv6 first (RFC 8305 section 4). Errors: NoRoute.

    A family whose question fails is left out as long as the other one has an answer; an address that may
    not be reached is left out, too."""
    found = await _addresses(host, resolver)
    allowed = tuple(address for address in found if may_reach(address))
    if not allowed:
        text = f"{host.name} is at {found[0]}, which is inside: queue.inside does not name it"
        raise NoRoute("4.4.4", text, permanent=False)
    return allowed[:MAX_ADDRESSES]


async def _addresses(host: Host, resolver: Resolver) -> Sequence[str]:
    if is_address(host.name):
        return (host.name,)
    found: list[tuple[str, ...]] = []
    failure: NoRoute | None = None
    for kind in ("AAAA", "A"):
        try:
            answer = await ask(resolver, host.name, kind)
            found.append(answer.strings)
        except NoRoute as error:
            failure = error
    both = [a for pair in _turns(found) for a in pair]
    if both:
        return both
    raise failure or NoRoute("5.4.4", f"the host {host.name} has no address", permanent=True)


def _turns(families: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    longest = max((len(f) for f in families), default=0)
    return [tuple(f[i] for f in families if i < len(f)) for i in range(longest)]


async def ask(resolver: Resolver, name: str, kind: str) -> Answer:
    """The answer. Errors: NoRoute, not permanent, where there is none."""
    try:
        return await resolver.lookup(name, kind)
    except ResolverFailure as error:
        raise NoRoute("4.4.3", f"the DNS has no answer for {kind} of {name}", permanent=False) from error


@lru_cache(KNOWN)
def is_address(text: str) -> bool:
    """IPv4 or IPv6, without brackets."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# address-literal = "[" ( IPv4-address-literal / IPv6-address-literal ) "]"
def literal_address(domain: str) -> str:
    """``[192.0.2.1]`` as ``192.0.2.1``. Errors: NoRoute."""
    address = domain[1:-1].removeprefix("IPv6:")
    if not is_address(address):
        raise NoRoute("5.1.2", f"{domain} is no address", permanent=True)
    return address


# smart-host = host ":" port / host / "[" IPv6-address "]" [ ":" port ]
def smart_host(text: str, port: int) -> Host:
    """The setting ``queue.relay``. Errors: ValueError."""
    if text.startswith("["):
        name, _, rest = text[1:].partition("]")
        given = rest.removeprefix(":")
    else:
        name, _, given = text.partition(":") if text.count(":") == 1 else (text, "", "")
    if not name:
        raise ValueError(f"no host in {text!r}")
    return Host(name.lower(), int(given) if given else port, authentic=True)
