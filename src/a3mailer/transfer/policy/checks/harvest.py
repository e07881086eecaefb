"""Who asks for many recipients that do not exist is told of none for a while (attack row 10).

The answers to RCPT cannot hide who exists. A session's tarpit and its end after so many refusals slow one
connection; this counts over all connections of a network and all workers, and mail of others begins no sooner
for it. Known and unknown recipients then get the same answer: none, as MAIL is put off.
"""

from __future__ import annotations

from typing import ClassVar

from a3mailer.config.tree import Settings
from a3mailer.identity.throttle import network
from a3mailer.mail.envelope import Client
from a3mailer.transfer.arrival import is_exempt
from a3mailer.transfer.policy.checks.rate import SLACK, counted
from a3mailer.transfer.policy.stages import STRANGERS, Doors, Facts, Finding, Stage


class Harvest:
    """``policy.unknown_rate``: unknown recipients an hour from one network of strangers."""

    name: ClassVar[str] = "harvest"
    stage: ClassVar[Stage] = Stage.MAIL
    protocols: ClassVar[frozenset[str]] = STRANGERS
    judges: ClassVar[bool] = True

    def wanted(self, settings: Settings) -> bool:
        return settings.limits.profile != "off" and settings.policy.unknown_rate > 0

    async def look(self, facts: Facts, doors: Doors) -> Finding | None:
        with doors.rates.locked():
            number = counted(doors.rates, _key(facts.client), doors.clock.monotonic())
        if number < doors.settings.policy.unknown_rate - SLACK:
            return None
        return Finding("too many recipients that do not exist; try later", "4.7.28", binding=True)


def missed(client: Client, doors: Doors) -> None:
    """Count one more for a stranger."""
    settings = doors.settings
    if client.protocol not in STRANGERS or not settings.policy.unknown_rate or is_exempt(client, settings):
        return
    now = doors.clock.monotonic()
    with doors.rates.locked():
        doors.rates.put(_key(client), counted(doors.rates, _key(client), now) + 1.0, now)


def _key(client: Client) -> str:
    return f"unknown {network(client.ip)}"
