"""What scripts may cost an account in an hour: redirects, answers, notices, and steps of the interpreter.

A count falls as in ``policy/checks/rate.py``, in the same memory, which all workers share: no other script,
no script that is activated anew, and no other worker begins at nought again (attack row 38).
"""

from __future__ import annotations

import math
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.mail.ids import AccountId
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.shared import SharedTable
from a3mailer.transfer.policy.checks.rate import HALF_LIFE, SLACK

REDIRECTS: Final = "redirects"
ANSWERS: Final = "answers"
NOTICES: Final = "notices"
STEPS: Final = "steps"


class Hourly:
    """One object a process."""

    __slots__ = ("_clock", "_limits", "_table")

    def __init__(self, table: SharedTable, clock: Clock, settings: Settings) -> None:
        """``table``: one whose amounts fall with HALF_LIFE."""
        self._table = table
        self._clock = clock
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        sieve = settings.sieve
        on = settings.limits.profile != "off"
        self._limits = {
            REDIRECTS: sieve.redirects_hour if on else 0,
            ANSWERS: sieve.answers_hour if on else 0,
            NOTICES: sieve.notices_hour if on else 0,
            STEPS: sieve.steps_hour,
        }

    def has(self, account: AccountId, what: str) -> bool:
        """Is anything left of it?"""
        limit = self._limits[what]
        return not limit or self._spent(f"sieve {what} {account}", self._clock.monotonic()) < limit

    def take(self, account: AccountId, what: str, by: int = 1) -> bool:
        """Take so much; False, and nothing is taken, where that is more than is left."""
        limit = self._limits[what]
        if not limit:
            return True
        key, now = f"sieve {what} {account}", self._clock.monotonic()
        with self._table.locked():
            spent = self._spent(key, now) + by
            if spent > limit + SLACK:
                return False
            self._table.put(key, spent, now)
        return True

    def spend(self, account: AccountId, what: str, by: int) -> None:
        """So much has been used, whatever the limit is."""
        if not self._limits[what]:
            return
        key, now = f"sieve {what} {account}", self._clock.monotonic()
        with self._table.locked():
            self._table.put(key, self._spent(key, now) + by, now)

    def _spent(self, key: str, now: float) -> float:
        found = self._table.get(key)
        return found[0] * math.exp2(-max(0.0, now - found[1]) / HALF_LIFE) if found is not None else 0.0
