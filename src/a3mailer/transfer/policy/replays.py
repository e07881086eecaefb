"""How often one DKIM signature comes (RFC 6376 section 8.6; attack row 17): a mail that somebody got a good
signature for, sent again and again to others.

What is counted are recipients of mails that carry the same signature, over all workers, in one bounded table
whose amounts fall by the rate's own law (``checks/rate.py``): at a steady pace a count stands at those of the
last hour. From some on, the networks it comes from are counted, too: a list or a newsletter has few.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from a3mailer.config.tree import Msgauth
from a3mailer.mail.authresults import PASS
from a3mailer.msgauth.dkim import DkimResult
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.shared import SharedTable
from a3mailer.transfer.policy.checks.greylist import network
from a3mailer.transfer.policy.checks.rate import counted

KEYS: Final = 65_536
WATCHED: Final = 10.0
"""Recipients from which on the networks of a signature are counted: nearly all stay below."""
MOST_SIGNATURES: Final = 4
"""Of one mail that are counted."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A signature that came to more recipients than ``msgauth.replay_count`` in an hour."""

    signature: DkimResult
    recipients: int
    networks: int

    def __str__(self) -> str:
        return f"{self.recipients} recipients from {self.networks} networks"

    def is_spread(self, settings: Msgauth) -> bool:
        """Does it come from so many networks that it is no list and no newsletter?"""
        return self.networks >= settings.replay_networks


class Replays:
    """One object a process; the table is that of all."""

    __slots__ = ("_clock", "_table")

    def __init__(self, table: SharedTable, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def seen(
        self, signatures: Iterable[DkimResult], ip: str, recipients: int, settings: Msgauth
    ) -> tuple[Replay, ...]:
        """Count a mail; those of its good signatures that have come too often."""
        if not settings.replay_count:
            return ()
        good = [each for each in signatures if each.result == PASS][:MOST_SIGNATURES]
        if not good:
            return ()
        with self._table.locked():
            now = self._clock.monotonic()
            found = [self._one(each, ip, recipients, now) for each in good]
        return tuple(each for each in found if each.recipients > settings.replay_count)

    def _one(self, signature: DkimResult, ip: str, recipients: int, now: float) -> Replay:
        key = f"{signature.domain} {signature.selector} {signature.algorithm} {signature.told}"
        people = self._add(f"to {key}", float(recipients), now)
        networks = 0.0
        if people >= WATCHED:
            net = f"from {network(ip)} {key}"
            known = min(1.0, counted(self._table, net, now))  # fallen as far as its part of the sum has
            self._table.put(net, 1.0, now)
            networks = self._add(f"networks {key}", 1.0 - known, now)
        return Replay(signature, round(people), round(networks))

    def _add(self, key: str, by: float, now: float) -> float:
        amount = counted(self._table, key, now) + by
        self._table.put(key, amount, now)
        return amount
