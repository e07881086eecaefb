"""How many mails and recipients an hour: of one sender, account, network or domain, and to one recipient.

A count falls by the rate's own law: at a steady pace it stands at the events of the last hour, and a burst of
as many is let through at once. All workers count in the same bounded memory, forgotten at a restart.
"""

from __future__ import annotations

import math
from typing import ClassVar, Final

from a3mailer.config.tree import Settings
from a3mailer.identity.throttle import network
from a3mailer.runtime.shared import SharedTable
from a3mailer.transfer.policy.stages import SENDERS, Doors, Facts, Finding, Stage

HOUR: Final = 3600.0
HALF_LIFE: Final = HOUR * math.log(2)
"""Of the table of rates: a count that falls so is fed by N an hour when it stands at N."""
KEYS: Final = 65_536
SLACK: Final = 0.5
"""Counts are no whole numbers: what is left of yesterday's is not one mail less."""


def over(doors: Doors, keys: tuple[tuple[str, int], ...]) -> str:
    """Count one more of each key that has a limit; the first that is over its limit, "" when none is.

    What is refused is not counted: who waits for his turn gets it."""
    limited = [(key, limit) for key, limit in keys if limit > 0]
    if not limited:
        return ""
    now = doors.clock.monotonic()
    with doors.rates.locked():
        counts = [(key, limit, counted(doors.rates, key, now) + 1.0) for key, limit in limited]
        for key, limit, number in counts:
            if number > limit + SLACK:
                return key
        for key, _, number in counts:
            doors.rates.put(key, number, now)
    return ""


def counted(table: SharedTable, key: str, now: float) -> float:
    """What a key stands at; the table's lock is held."""
    found = table.get(key)
    return found[0] * math.exp2(-max(0.0, now - found[1]) / HALF_LIFE) if found is not None else 0.0


class SenderRate:
    """Mails an hour of a sender (the account, else the reverse-path), its domain, and its network."""

    name: ClassVar[str] = "sender_rate"
    stage: ClassVar[Stage] = Stage.MAIL
    protocols: ClassVar[frozenset[str]] = SENDERS
    judges: ClassVar[bool] = False

    def wanted(self, settings: Settings) -> bool:
        policy = settings.policy
        on = settings.limits.profile != "off"
        strangers = (policy.sender_rate, policy.domain_rate, policy.network_rate)
        return on and any((*strangers, policy.account_rate, policy.account_domain_rate))

    async def look(self, facts: Facts, doors: Doors) -> Finding | None:
        policy, client = doors.settings.policy, facts.client
        if client.account:  # his own mail is his: strangers' counts never slow it down
            key = over(doors, of_account(facts, "mails", policy.account_rate, policy.account_domain_rate))
            return too_many("mails", key)
        address = facts.envelope.reverse_path.address
        keys: tuple[tuple[str, int], ...] = ((f"network {network(client.ip)}", policy.network_rate),)
        if address is not None:
            sender = f"sender {str(address).lower()}"
            keys = ((sender, policy.sender_rate), (f"domain {address.domain}", policy.domain_rate), *keys)
        key = over(doors, keys)
        return Finding(f"too many mails from this {key.split()[0]}", "4.7.28", binding=True) if key else None


def of_account(facts: Facts, what: str, own: int, shared: int) -> tuple[tuple[str, int], ...]:
    """The keys of who has logged in: his account's, and that of the domain he sends from."""
    address = facts.envelope.reverse_path.address
    keys = ((f"account {what} {facts.client.account}", own),)
    return keys if address is None else (*keys, (f"domain {what} of accounts {address.domain}", shared))


def too_many(what: str, key: str) -> Finding | None:
    """What a submitter is told."""
    if not key:
        return None
    return Finding(
        f"too many {what} from this {key.split()[0]} in an hour; go on later", "4.7.28", binding=True
    )


class SubmittedRate:
    """Recipients an hour of an account, and of all accounts that send from one domain."""

    name: ClassVar[str] = "submitted_rate"
    stage: ClassVar[Stage] = Stage.RCPT
    protocols: ClassVar[frozenset[str]] = frozenset(("submission",))
    judges: ClassVar[bool] = False

    def wanted(self, settings: Settings) -> bool:
        policy = settings.policy
        limits = (policy.account_recipients, policy.account_domain_recipients)
        return settings.limits.profile != "off" and any(limits)

    async def look(self, facts: Facts, doors: Doors) -> Finding | None:
        policy = doors.settings.policy
        if not facts.client.account:
            return None
        keys = of_account(facts, "recipients", policy.account_recipients, policy.account_domain_recipients)
        return too_many("recipients", over(doors, keys))


class RecipientRate:
    """Mails an hour that strangers may send to one recipient."""

    name: ClassVar[str] = "recipient_rate"
    stage: ClassVar[Stage] = Stage.RCPT
    protocols: ClassVar[frozenset[str]] = SENDERS
    judges: ClassVar[bool] = False

    def wanted(self, settings: Settings) -> bool:
        return settings.limits.profile != "off" and settings.policy.recipient_rate > 0

    async def look(self, facts: Facts, doors: Doors) -> Finding | None:
        if facts.client.account or facts.recipient is None:
            return None
        key = f"recipient {str(facts.recipient.address).lower()}"
        if not over(doors, ((key, doors.settings.policy.recipient_rate),)):
            return None
        return Finding("too many mails to this recipient", "4.7.28", binding=True)
