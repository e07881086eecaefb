"""DNSBL (RFC 5782): is the client's address on a list?"""

from __future__ import annotations

from typing import ClassVar

from a3mailer.config.tree import Settings
from a3mailer.transfer.policy.checks.lists import NEVER_ADDRESS, listed, reversed_address
from a3mailer.transfer.policy.stages import STRANGERS, Doors, Facts, Finding, Stage


class Dnsbl:
    """Asks ``policy.dnsbl``; looks at MAIL, so that a refusal has a sender to be logged with."""

    name: ClassVar[str] = "dnsbl"
    stage: ClassVar[Stage] = Stage.MAIL
    protocols: ClassVar[frozenset[str]] = STRANGERS
    judges: ClassVar[bool] = True

    def wanted(self, settings: Settings) -> bool:
        return bool(settings.policy.dnsbl)

    async def look(self, facts: Facts, doors: Doors) -> Finding | None:
        try:
            labels = reversed_address(facts.client.ip)
        except ValueError:
            return None
        found = await listed(labels, NEVER_ADDRESS, doors.settings.policy.dnsbl, doors.resolver)
        if not found:
            return None
        lists = ", ".join(f"{zone} ({code})" for zone, code in found)
        return Finding(f"{facts.client.ip} is listed by {lists}")
