"""When to try again, and when to give up (RFC 5321 section 4.5.4.1), on a clock that somebody may set.

What is kept is wall time, and wall clocks jump (attack row 69). So age alone never returns a mail: it must
have been tried about as often as its age would have it. And a next attempt farther away than the interval
that it waits for was written under another clock: it is due.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from a3mailer.config.tree import Queue
from a3mailer.mail.answers import Answer
from a3mailer.store.rows import QueuedRecipient, QueueEntry

JITTER: Final = 0.1
"""Share of an interval by which attempts are spread: what failed together need not return together."""
SLACK_SECONDS: Final = 60
"""A jump smaller than this is the clock being disciplined."""
FEWEST_OVERDUE: Final = 4
"""Attempts before a mail whose age a wrong clock hides may be returned at all."""
MOST_ATTEMPTS: Final = 10_000
"""Where counting the attempts of a life ends."""

PAUSES: Final = {Answer.GREYLISTED: 330, Answer.BLOCKED: 1800, Answer.FULL: 3600}
"""Seconds before which another attempt would hear the same, by what the answer was about: greylisting lasts
five minutes as a rule, a bad name gets worse by asking, and who empties a full mailbox is a person."""
PAUSE_INTERVALS: Final = 12
"""... but no more than so many intervals of the schedule: who set a short one wants it so."""
LONGEST_BACKOFF: Final = 900
"""Seconds a destination that cannot be reached is left alone at most."""

URGENT: Final = 1
"""The next attempt, in seconds since 1970, of what an operator wants tried at once: long due, first in the
line, and no back-off of its destination holds it up."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Retries and expiry from the settings; times are seconds."""

    retry: tuple[int, ...]
    expire: int
    delay_notice: int
    life: int
    """How many attempts an undisturbed life of ``expire`` seconds has at least."""
    patience: int
    """How many attempts come before the delay notice."""

    @classmethod
    def of(cls, settings: Queue) -> Schedule:
        """From a snapshot of the settings."""
        retry = tuple(max(1, seconds) for seconds in settings.retry) or (300,)
        expire, notice = settings.expire_seconds, settings.delay_notice_seconds
        slowest = tuple(max(seconds, _most_pause(seconds)) for seconds in retry)
        return cls(retry, expire, notice, _attempts(slowest, expire), _attempts(slowest, notice))

    def interval(self, attempts: int) -> int:
        """Seconds to wait after attempt number ``attempts`` (1 is the first)."""
        return self.retry[min(max(attempts, 1), len(self.retry)) - 1]

    def next_attempt(
        self, now: int, attempts: int, chance: random.Random, answer: Answer = Answer.TEMPORARY
    ) -> int:
        """When the attempt after number ``attempts`` is due, which had this answer."""
        interval = self.interval(attempts)
        wait = round(interval * chance.uniform(1 - JITTER, 1 + JITTER))
        pause = min(PAUSES.get(answer, 0), PAUSE_INTERVALS * interval)
        return now + max(1, wait, pause)

    def expired(self, created: int, attempts: int, now: int) -> bool:
        """After attempt number ``attempts`` has failed: is it over?"""
        if now - created >= self.expire:
            return attempts >= self.life // 2
        return now < created and attempts >= max(2 * self.life, FEWEST_OVERDUE)

    def delayed(self, created: int, attempts: int, now: int) -> bool:
        """After attempt number ``attempts`` has failed: should the sender hear that it takes long?"""
        return now - created >= self.delay_notice and attempts >= self.patience // 2

    def is_astray(self, recipient: QueuedRecipient, now: int) -> bool:
        """Is a next attempt so far away that a clock must have jumped since it was set?"""
        if recipient.state != "waiting" or not recipient.attempts:
            return False
        interval = self.interval(recipient.attempts)
        longest = max(interval * (1 + JITTER), _most_pause(interval), LONGEST_BACKOFF) + SLACK_SECONDS
        return recipient.next_attempt > now + longest


def _most_pause(interval: int) -> int:
    """The longest pause an answer can ask for."""
    return min(max(PAUSES.values()), PAUSE_INTERVALS * interval)


def _attempts(retry: Sequence[int], seconds: int) -> int:
    """How many attempts have been made when ``seconds`` are over."""
    count, age = 1, 0
    while age < seconds and count < MOST_ATTEMPTS:
        age += retry[min(count, len(retry)) - 1]
        count += 1
    return count


def is_astray(entry: QueueEntry, schedule: Schedule, now: int) -> bool:
    """Has this entry to be called back from a far future?

    What was queued under a clock that has gone back since, and not for later on purpose, was due at once."""
    if entry.held:
        return False
    due_at_once = entry.created if entry.created > now + SLACK_SECONDS else -1
    return any(
        schedule.is_astray(r, now)
        or (r.state == "waiting" and not r.attempts and r.next_attempt == due_at_once)
        for r in entry.recipients
    )
