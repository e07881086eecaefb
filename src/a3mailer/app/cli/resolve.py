"""The resolver of verbs that ask the DNS: as the server's settings say, or of another server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from a3mailer.app.cli.exits import CONFIG, USAGE, Failed
from a3mailer.config.tree import Dns
from a3mailer.runtime import dnssec
from a3mailer.runtime.clock import SystemClock
from a3mailer.runtime.resolver import StubResolver
from a3mailer.runtime.unbound import Unavailable


@asynccontextmanager
async def resolver_of(dns: Dns, servers: Sequence[str] = ()) -> AsyncIterator[StubResolver]:
    """With nothing in its cache. ``servers``: whom to ask in place of those of the settings.

    Errors: Failed (USAGE: no ADDRESS:PORT; CONFIG: the settings demand a validator that cannot be had)."""
    try:
        asked = msgspec.structs.replace(dns, servers=tuple(servers)) if servers else dns
        resolver = dnssec.resolver_of(asked, SystemClock())
    except ValueError as error:
        raise Failed(USAGE, f"not ADDRESS:PORT: {error}") from error
    except Unavailable as error:
        raise Failed(CONFIG, f"dns.dnssec is {dns.dnssec}: {error}") from error
    try:
        yield resolver
    finally:
        resolver.close()
