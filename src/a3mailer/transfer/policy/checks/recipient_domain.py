"""Domains that users write to and that take no mail (null MX, RFC 7505 section 4.1) or are not there."""

from __future__ import annotations

from typing import ClassVar

from a3mailer.config.tree import Settings
from a3mailer.transfer.policy.checks.names import is_name
from a3mailer.transfer.policy.stages import Doors, Facts, Finding, Stage
from a3mailer.transfer.route import Remote


class RecipientDomain:
    """What would come back from the queue at once is said at RCPT; only of what leaves this server."""

    name: ClassVar[str] = "recipient_domain"
    stage: ClassVar[Stage] = Stage.RCPT
    protocols: ClassVar[frozenset[str]] = frozenset(("submission",))
    judges: ClassVar[bool] = False

    def wanted(self, settings: Settings) -> bool:
        return settings.policy.recipient_domain

    async def look(self, facts: Facts, doors: Doors) -> Finding | None:
        if facts.recipient is None:
            return None
        domain = facts.recipient.address.domain
        leaves = any(
            isinstance(route, Remote) and not route.relayed and route.address.domain == domain
            for route in facts.routes
        )
        if not leaves or not is_name(domain):
            return None
        answer = await doors.resolver.lookup(domain, "MX")
        if not answer.exists:
            return Finding(f"the domain {domain} does not exist", "5.1.2", binding=True)
        if answer.exchanges and all(mx.exchange == "." for mx in answer.exchanges):
            return Finding(f"the domain {domain} takes no mail (null MX)", "5.1.10", binding=True)
        return None
