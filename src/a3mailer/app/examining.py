"""The daily ``domain check`` of a running server: from its keys and settings to what the DNS says of them."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Sequence

from a3mailer.app.held import Held
from a3mailer.app.listeners import PORTS
from a3mailer.config.tree import Settings
from a3mailer.identity.relaying import Relaying
from a3mailer.ops.domain_check import BLOCKLISTS, Section
from a3mailer.ops.domain_watch import Examine
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.dnssec import who_validates
from a3mailer.runtime.http import HttpClient
from a3mailer.runtime.resolver import StubResolver


def examiner(
    held: Held,
    resolver: StubResolver,
    http: HttpClient,
    settings: Callable[[], Settings],
    clock: Clock,
    relaying: Callable[[str], Awaitable[Relaying | None]],
) -> Examine | None:
    """What looks at a domain; None for an instance that only this machine can reach. ``relaying``: to whom
    a domain's mail goes on."""
    if not is_reachable(held):
        return None

    async def examine(domain: str) -> tuple[str, Sequence[Section]]:
        from a3mailer.app.published import facts  # X.509 only where it is used
        from a3mailer.ops.domain_look import examine

        relayed = str(await relaying(domain) or "")
        found = await asyncio.to_thread(facts, held.directory, settings(), domain, relayed=relayed)
        validator = await who_validates(resolver)
        _, sections = await examine(found, resolver, http, validator, BLOCKLISTS, clock.now())
        return validator, sections

    return examine


def is_reachable(held: Held) -> bool:
    """Does a public listener listen beyond this machine, whoever bound it?"""
    public = [sock for port in PORTS if not port.private for sock in held.bound.get(port.name, ())]
    return any(not ipaddress.ip_address(sock.getsockname()[0]).is_loopback for sock in public)


def hours(settings: Settings) -> float:
    """Between two looks; 0 = none, also where nothing is to be judged."""
    return 0.0 if settings.server.profile == "plain" else settings.dns.check_hours
