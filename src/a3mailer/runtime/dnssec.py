"""Who validates answers, as the settings say (``dns.dnssec``): libunbound, a resolver here, or nobody."""

from __future__ import annotations

from a3mailer.config.tree import Dns
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.resolver import Server, StubResolver, parse_server, system_servers
from a3mailer.runtime.unbound import Unavailable, Unbound
from a3mailer.telemetry.events import emit


def resolver_of(dns: Dns, clock: Clock) -> StubResolver:
    """The resolver that the settings ask for. Errors: Unavailable, when they demand a validator."""
    return StubResolver(
        servers_of(dns), dns.timeout, clock, validator_of(dns, None), believes=dns.dnssec != "off"
    )


def reconfigure(resolver: StubResolver, dns: Dns) -> None:
    """Let it do what other settings say; a validator they leave as it is goes on. Settings that demand one
    that cannot be had change nothing."""
    try:
        validator = validator_of(dns, resolver.validator)
    except Unavailable as error:
        emit("dns.reload.refused", level="error", error=str(error))
        return
    resolver.reconfigure(servers_of(dns), dns.timeout, validator, believes=dns.dnssec != "off")


def servers_of(dns: Dns) -> tuple[Server, ...]:
    """The name servers to ask; the system's own list is read again each time."""
    return tuple(map(parse_server, dns.servers)) or system_servers()


def validator_of(dns: Dns, present: Unbound | None) -> Unbound | None:
    """A validator, ``present`` where it would be the same. Errors: Unavailable, when it must be there."""
    if dns.dnssec not in ("auto", "libunbound"):
        return None
    servers = tuple(f"{server.address}@{server.port}" for server in servers_of(dns))
    probe = dns.dnssec == "auto" and not dns.trust_anchor
    if present is not None and present.made_of == (servers, dns.trust_anchor, dns.unsigned, probe):
        return present
    try:
        return Unbound(servers, dns.trust_anchor, dns.unsigned, probe=probe)
    except Unavailable as error:
        if dns.dnssec == "libunbound" or dns.trust_anchor:
            raise
        emit("dns.no_validator", reason=str(error), instead="the AD bit of a resolver on this machine")
        return None


async def who_validates(resolver: StubResolver) -> str:
    """For people: ``libunbound``, ``a resolver on this machine``, or why answers are not validated."""
    validator = resolver.validator
    if validator is not None and await validator.usable():
        return "libunbound"
    if not resolver.believes:
        return "nobody: dns.dnssec is off"
    if resolver.asks_here:
        return "a resolver on this machine (if it validates)"
    why = "the resolvers pass no signatures on" if validator is not None else "libunbound is not installed"
    return f"nobody: {why}, and no resolver runs on this machine"
