"""Lists of domains (RFC 5782 section 2.3): is the sender's domain on one?"""

from __future__ import annotations

from typing import ClassVar

from a3mailer.config.tree import Settings
from a3mailer.transfer.policy.checks.lists import NEVER_DOMAIN, listed
from a3mailer.transfer.policy.checks.names import is_name
from a3mailer.transfer.policy.stages import STRANGERS, Doors, Facts, Finding, Stage


class DomainList:
    """Asks ``policy.domain_lists`` about the domain of the reverse-path, without one that of EHLO."""

    name: ClassVar[str] = "domain_list"
    stage: ClassVar[Stage] = Stage.MAIL
    protocols: ClassVar[frozenset[str]] = STRANGERS
    judges: ClassVar[bool] = True

    def wanted(self, settings: Settings) -> bool:
        return bool(settings.policy.domain_lists)

    async def look(self, facts: Facts, doors: Doors) -> Finding | None:
        address = facts.envelope.reverse_path.address
        domain = (facts.client.helo if address is None else address.domain).lower()
        if not is_name(domain):
            return None
        found = await listed(domain, NEVER_DOMAIN, doors.settings.policy.domain_lists, doors.resolver)
        if not found:
            return None
        return Finding(f"{domain} is listed by {', '.join(f'{zone} ({code})' for zone, code in found)}")
