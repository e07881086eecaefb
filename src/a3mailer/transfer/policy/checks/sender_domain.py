"""Sender domains that take no mail (null MX, RFC 7505) or are not there (RFC 3463 X.1.8)."""

from __future__ import annotations

from typing import ClassVar

from a3mailer.config.tree import Settings
from a3mailer.transfer.policy.checks.names import is_name
from a3mailer.transfer.policy.stages import STRANGERS, Doors, Facts, Finding, Stage


class SenderDomain:
    """A bounce could reach nobody: the domain of the reverse-path has neither MX nor address, or says so."""

    name: ClassVar[str] = "sender_domain"
    stage: ClassVar[Stage] = Stage.MAIL
    protocols: ClassVar[frozenset[str]] = STRANGERS
    judges: ClassVar[bool] = True

    def wanted(self, settings: Settings) -> bool:
        return settings.policy.sender_domain

    async def look(self, facts: Facts, doors: Doors) -> Finding | None:
        address = facts.envelope.reverse_path.address
        if address is None or address.domain.startswith("["):
            return None
        domain = address.domain
        if not is_name(domain):
            return Finding(f"{domain} is no domain that could get an answer", "5.1.8")
        answer = await doors.resolver.lookup(domain, "MX")
        exchanges = answer.exchanges
        if exchanges:
            if all(mx.exchange == "." for mx in exchanges):  # RFC 7505 section 4.2
                return Finding(f"{domain} takes no mail (null MX)", "5.7.27")
            return None
        for kind in ("A", "AAAA") if answer.exists else ():
            if (await doors.resolver.lookup(domain, kind)).strings:
                return None
        return Finding(f"{domain} has neither MX nor address", "5.1.8")
