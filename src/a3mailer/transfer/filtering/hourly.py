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
AT_ONCE: Final = 1_000
"""Steps that are counted in one go."""
ACCOUNTS: Final = 50_000
"""Accounts with fewer of them that are remembered."""


class Hourly:
    """One object a process."""

    __slots__ = ("_clock", "_limits", "_out", "_steps", "_table")

    def __init__(self, table: SharedTable, clock: Clock, settings: Settings) -> None:
        """``table``: one whose amounts fall with HALF_LIFE."""
        self._table = table
        self._clock = clock
        self._steps: dict[int, int] = {}
        """Steps of accounts that are not in the table yet: a run has some ten, and the table has a lock."""
        self._out: set[int] = set()
        """Accounts that had used up theirs when last seen."""
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

    def has_steps(self, account: AccountId) -> bool:
        """Is anything left of them?"""
        if account not in self._out:
            return True
        spent = self._spent(f"sieve {STEPS} {account}", self._clock.monotonic())
        if spent < self._limits[STEPS] or not self._limits[STEPS]:
            self._out.discard(account)
            return True
        return False

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

    def spend_steps(self, account: AccountId, by: int) -> None:
        """So many have been taken."""
        limit = self._limits[STEPS]
        if not limit:
            return
        if len(self._steps) >= ACCOUNTS:
            self._steps.clear()
        by += self._steps.pop(account, 0)
        if by < AT_ONCE:
            self._steps[account] = by
            return
        key, now = f"sieve {STEPS} {account}", self._clock.monotonic()
        with self._table.locked():
            spent = self._spent(key, now) + by
            self._table.put(key, spent, now)
        if spent >= limit:
            self._out.add(account)

    def _spent(self, key: str, now: float) -> float:
        found = self._table.get(key)
        return found[0] * math.exp2(-max(0.0, now - found[1]) / HALF_LIFE) if found is not None else 0.0
