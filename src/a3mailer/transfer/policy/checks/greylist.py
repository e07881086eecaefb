"""Greylisting (RFC 6647): a triplet not seen before is asked to come back; who did is believed for long.

A triplet is network, sender and recipient. After ``policy.greylist_seconds`` it passes, and its network with
it: a server that has shown its queue is not asked again for other mails. The table is bounded, shared by all
workers and kept over restarts; the longest unused makes room.
"""

from __future__ import annotations

import ipaddress
from typing import ClassVar, Final

from a3mailer.config.tree import Settings
from a3mailer.transfer.policy.stages import STRANGERS, Doors, Facts, Finding, Stage

KEYS: Final = 65_536
HALF_LIFE: Final = 86_400.0
"""Of the table's order only: a triplet that has passed outlives those that wait by ten days."""
WAITS: Final = 1.0
PASSED: Final = 1024.0
RETRY_SECONDS: Final = 2 * 86_400.0
"""A sender that comes back later than this begins anew."""
PASS_SECONDS: Final = 35 * 86_400.0
"""How long who has passed is believed, from its last mail on: monthly mail is not asked again."""


def network(ip: str) -> str:
    """/24 or /64: a sender's farm of hosts retries from any of them."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    width = 24 if address.version == 4 else 64
    return str(ipaddress.ip_network((address, width), strict=False))


class Greylist:
    """Looks at RCPT; opt-in (``policy.greylist``)."""

    name: ClassVar[str] = "greylist"
    stage: ClassVar[Stage] = Stage.RCPT
    protocols: ClassVar[frozenset[str]] = STRANGERS
    judges: ClassVar[bool] = True

    def wanted(self, settings: Settings) -> bool:
        return settings.policy.greylist

    async def look(self, facts: Facts, doors: Doors) -> Finding | None:
        if facts.client.account or facts.recipient is None:
            return None
        try:
            net = network(facts.client.ip)
        except ValueError:
            return None
        sender, recipient = str(facts.envelope.reverse_path).lower(), str(facts.recipient.address).lower()
        wait = self._wait(f"{net}\0{sender}\0{recipient}", net, doors)
        if wait <= 0:
            return None
        return Finding(f"greylisted: come back in {int(wait) + 1} seconds", "4.7.1", binding=True)

    def _wait(self, triplet: str, net: str, doors: Doors) -> float:
        """Seconds until it passes; 0 when it does now."""
        now, table = doors.clock.now(), doors.greylist
        with table.locked():
            passed = table.get(net)
            if passed is not None and passed[0] == PASSED and 0 <= now - passed[1] < PASS_SECONDS:
                table.put(net, PASSED, now)
                return 0.0
            seen = table.get(triplet)
            if seen is None or not 0 <= now - seen[1] < RETRY_SECONDS:  # also where the clock was set back
                table.put(triplet, WAITS, now)
                return doors.settings.policy.greylist_seconds
            left = seen[1] + doors.settings.policy.greylist_seconds - now
            if left <= 0:
                table.remove(triplet)
                table.put(net, PASSED, now)
            return left
