"""Domains that we take mail for and hand on: as a backup MX, or as the filter before another server.

Which server is next is an option of the domain (``domain add --relay-to``). Addresses that exist here
(accounts, aliases, lists) stay here; every other one of the domain goes on (RFC 5321 section 3.6.2).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from a3mailer.config.fields import BadValue
from a3mailer.config.routes import LEVELS
from a3mailer.config.syntax import host_port
from a3mailer.store.rows import Domain

BY_MX: Final = "mx"
"""In place of a host: those of the domain's MX that come before us (RFC 5321 section 5.1)."""
TO: Final = "relay_to"
TLS: Final = "relay_tls"
"""Keys of a domain's settings."""
_ANY_PORT: Final = ":25"
_KEPT: Final = 1000


@dataclass(frozen=True, slots=True)
class Relaying:
    """To whom a domain's mail goes on."""

    host: str = ""
    """Empty: the domain's MX that come before us."""
    port: int = 0
    """0: ``queue.smtp_port``."""
    tls: str = ""
    """Of ``LEVELS``; empty: as for other servers."""

    def __str__(self) -> str:
        if not self.host:
            return BY_MX
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host


# next-hop = "mx" / host [":" port] / "[" IPv6-address "]" [":" port]
def parse_relaying(to: str, tls: str = "") -> Relaying:
    """Errors: BadValue, in words."""
    if tls and tls not in LEVELS:
        raise BadValue(f"{tls!r} is none of: {', '.join(LEVELS)}")
    if to.lower() == BY_MX:
        if tls:
            raise BadValue("what is asked of the TLS of MX hosts says queue.tls_policy")
        return Relaying()
    has_port = "]:" in to if to.startswith("[") else ":" in to
    host, port = host_port(to if has_port else to + _ANY_PORT)
    return Relaying(host.lower(), port if has_port else 0, tls)


def relaying_of(domain: Domain | None) -> Relaying | None:
    """To whom mail for a domain of ours goes on; None where it ends here."""
    return None if domain is None or TO not in domain.settings else _read(domain.settings)


@lru_cache(_KEPT)
def _read(settings: str) -> Relaying | None:
    found = json.loads(settings)
    return parse_relaying(found[TO], found.get(TLS, "")) if found.get(TO) else None
