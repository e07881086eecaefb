"""When a mail is tried again and when it is given up, whatever the wall clock does (attack row 69)."""

import random

import pytest

from a3mailer.config.tree import Queue
from a3mailer.store.rows import QueuedRecipient
from a3mailer.transfer.schedule import JITTER, Schedule

DAY = 86400
DEFAULT = Schedule.of(Queue())


def recipient(attempts: int, next_attempt: int, state: str = "waiting") -> QueuedRecipient:
    return QueuedRecipient(0, "a@b", (), "", state, attempts, next_attempt, 0, "", "", "", False)


def test_intervals_grow_and_the_last_repeats(rng: random.Random) -> None:
    assert [DEFAULT.interval(n) for n in (0, 1, 2, 6, 7, 99)] == [300, 300, 600, 14400, 14400, 14400]
    for attempts in range(1, 20):
        wait = DEFAULT.next_attempt(1000, attempts, rng) - 1000
        assert abs(wait - DEFAULT.interval(attempts)) <= JITTER * DEFAULT.interval(attempts) + 1


def live(schedule: Schedule, rng: random.Random, start: int = 0) -> tuple[int, int]:
    """(attempts, age) at which a mail that always fails is given up."""
    now, attempts = start, 0
    while True:
        attempts += 1
        if schedule.expired(start, attempts, now):
            return attempts, now - start
        now = schedule.next_attempt(now, attempts, rng)


@pytest.mark.parametrize(
    "settings",
    [
        Queue(),
        Queue(retry=(1,), expire_seconds=3),
        Queue(retry=(60, 60), expire_seconds=10),
        Queue(retry=(1,), expire_seconds=0),
        Queue(retry=(), expire_seconds=5),
    ],
)
def test_an_undisturbed_life_ends_at_its_age(settings: Queue, rng: random.Random) -> None:
    schedule = Schedule.of(settings)
    attempts, age = live(schedule, rng)
    assert settings.expire_seconds <= age <= settings.expire_seconds + 1.2 * schedule.interval(attempts)


def test_a_jump_forwards_gives_up_nothing_young() -> None:
    for attempts in range(1, 15):  # up to about two days of true age
        assert not DEFAULT.expired(0, attempts, 400 * DAY)
        assert not DEFAULT.delayed(0, 1, 400 * DAY)
    assert DEFAULT.expired(0, DEFAULT.life, 400 * DAY)


def test_a_jump_backwards_keeps_nothing_for_ever() -> None:
    now, created = 0, 400 * DAY
    assert not DEFAULT.expired(created, DEFAULT.life, now)
    assert DEFAULT.expired(created, 2 * DEFAULT.life, now)


def test_a_delay_is_told_at_its_age_and_after_real_attempts(rng: random.Random) -> None:
    now, attempts = 0, 1
    while not DEFAULT.delayed(0, attempts, now):
        now = DEFAULT.next_attempt(now, attempts, rng)
        attempts += 1
    assert 4 * 3600 <= now <= 4 * 3600 + 1.2 * 14400


def test_a_next_attempt_beyond_its_interval_is_astray() -> None:
    now = 1_000_000
    assert not DEFAULT.is_astray(recipient(1, now + 330), now)
    assert DEFAULT.is_astray(recipient(1, now + 3900), now)
    assert DEFAULT.is_astray(recipient(9, now + 400 * DAY), now)
    assert not DEFAULT.is_astray(recipient(0, now + 400 * DAY), now)  # sent for later on purpose
    assert not DEFAULT.is_astray(recipient(1, now + 400 * DAY, "relayed"), now)
    assert not DEFAULT.is_astray(recipient(1, now - 400 * DAY), now)  # overdue: it is claimed anyway
