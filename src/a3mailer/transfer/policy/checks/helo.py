"""HELO sanity (RFC 5321 sections 2.3.5 and 4.1.1.1): a full name or its own address, and not ours."""

from __future__ import annotations

import ipaddress
from typing import ClassVar

from a3mailer.config.tree import Settings
from a3mailer.transfer.policy.checks.names import is_name
from a3mailer.transfer.policy.stages import STRANGERS, Doors, Facts, Finding, Stage


class Helo:
    """Looks at the name only: what the DNS says of it is SPF's business."""

    name: ClassVar[str] = "helo"
    stage: ClassVar[Stage] = Stage.EHLO
    protocols: ClassVar[frozenset[str]] = STRANGERS
    judges: ClassVar[bool] = True

    def wanted(self, settings: Settings) -> bool:
        return settings.policy.helo

    async def look(self, facts: Facts, doors: Doors) -> Finding | None:
        name = facts.client.helo
        if name.lower().rstrip(".") == doors.settings.server.hostname.lower():
            return Finding("that is our own name")
        if name.startswith("["):
            return None if _is_own(name, facts.client.ip) else Finding("that is not your address")
        return None if is_name(name.rstrip(".")) else Finding("not a fully qualified name")


def _is_own(literal: str, ip: str) -> bool:
    text = literal[1:].removesuffix("]")
    if text[:5].lower() == "ipv6:":
        text = text[5:]
    try:
        return ipaddress.ip_address(text) == ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return False
