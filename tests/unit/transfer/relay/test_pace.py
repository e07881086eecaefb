"""The pace of a lane: down at once, up slowly, the same for all workers; and hosts that are left alone."""

import random
from itertools import pairwise

import pytest

from a3mailer.runtime.shared import SharedTable
from a3mailer.testing.clock import FakeClock
from a3mailer.transfer.relay.pace import (
    GAP_FIRST,
    GAP_MOST,
    HALF_LIFE,
    LEAST_WAIT,
    MOST_WAIT,
    PATIENCE,
    STEP_SECONDS,
    WAITERS,
    Paces,
    Turn,
    sessions,
)

MOST = 5


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def table() -> SharedTable:
    return SharedTable(4096, HALF_LIFE)


@pytest.fixture
def paces(table: SharedTable, clock: FakeClock, rng: random.Random) -> Paces:
    return Paces(table, clock, rng)


def test_nobody_has_a_pace_until_he_complains(paces: Paces) -> None:
    assert [paces.turn("lane", 0, MOST) for _ in range(1000)] == [Turn()] * 1000
    paces.faster("lane")
    assert not paces.gap("lane")


def test_after_a_complaint_mails_take_turns(paces: Paces, clock: FakeClock) -> None:
    assert paces.slower("lane")
    waits = [paces.turn("lane", 0, MOST).wait for _ in range(5)]
    assert waits == pytest.approx([GAP_FIRST * n for n in range(1, 6)])
    assert paces.turn("lane", 0, MOST).put_off >= LEAST_WAIT  # that would be beyond a mail's patience
    assert paces.turn("another", 0, MOST) == Turn()
    for _ in waits:
        paces.waited()
    clock.advance(PATIENCE + GAP_FIRST)
    assert paces.turn("lane", 0, MOST) == Turn()


def test_complaints_at_once_are_one_and_later_ones_double_the_gap(paces: Paces, clock: FakeClock) -> None:
    assert [paces.slower("lane") for _ in range(5)] == [True] + [False] * 4
    gaps = []
    for _ in range(12):
        gaps.append(paces.gap("lane"))
        clock.advance(STEP_SECONDS)
        assert paces.slower("lane")
    assert gaps[0] == GAP_FIRST
    assert all(1.9 * a < b <= 2 * a for a, b in pairwise(gaps[:7]))
    assert max(gaps) <= GAP_MOST
    assert paces.gap("lane") == GAP_MOST


def test_accepted_mails_and_time_take_the_pace_away(paces: Paces, clock: FakeClock) -> None:
    paces.slower("lane")
    taken = 0
    while paces.gap("lane"):
        paces.faster("lane")
        taken += 1
    assert 20 < taken < 40
    assert paces.turn("lane", 99, MOST) == Turn()
    clock.advance(STEP_SECONDS)
    paces.slower("lane")
    clock.advance(HALF_LIFE)
    assert paces.gap("lane") == pytest.approx(GAP_FIRST / 2)
    clock.advance(4 * HALF_LIFE)
    assert not paces.gap("lane")


def test_sessions_at_once_follow_the_gap(paces: Paces) -> None:
    assert [sessions(gap, MOST) for gap in (0.05, 0.1, 0.25, 1, 60)] == [4, 4, 2, 1, 1]
    paces.slower("lane")
    assert paces.turn("lane", 1, MOST).put_off
    assert paces.turn("lane", 0, MOST).wait


def test_workers_share_a_pace(paces: Paces, table: SharedTable, clock: FakeClock, rng: random.Random) -> None:
    other = Paces(table, clock, rng)
    paces.slower("lane")
    assert not other.slower("lane")  # told to both at once
    assert [p.turn("lane", 0, MOST).wait for p in (paces, other, paces)] == pytest.approx([1.0, 2.0, 3.0])


def test_what_another_worker_is_told_is_heard_within_a_second(
    paces: Paces, table: SharedTable, clock: FakeClock, rng: random.Random
) -> None:
    other = Paces(table, clock, rng)
    assert other.turn("lane", 0, MOST) == Turn() and not other.cooling("mx:25")
    paces.slower("lane")
    paces.failed("mx:25", 30.0)
    clock.advance(1)
    assert other.turn("lane", 0, MOST).wait or other.turn("lane", 0, MOST).wait
    assert other.cooling("mx:25")


def test_the_line_grows_and_is_waited_for(paces: Paces, clock: FakeClock) -> None:
    for _ in range(6):
        paces.slower("lane")
        clock.advance(STEP_SECONDS)
    gap = paces.gap("lane")
    waits = [paces.turn("lane", 0, MOST).put_off for _ in range(60)]
    assert waits[0] == pytest.approx(gap, rel=0.6)
    assert all(LEAST_WAIT <= wait <= MOST_WAIT for wait in waits)
    assert sum(waits[:10]) < sum(waits[10:20]) < sum(waits[40:50])
    assert len({round(wait, 3) for wait in waits[:20]}) > 10  # they do not return together


def test_few_mails_wait_for_turns_at_once(paces: Paces) -> None:
    waiting = 0
    for number in range(3 * WAITERS):
        paces.slower(f"lane{number}")
        waiting += paces.turn(f"lane{number}", 0, MOST).wait > 0
    assert waiting == WAITERS
    paces.waited()
    assert paces.turn("lane0", 0, MOST).wait


def test_a_host_that_does_not_answer_is_left_alone_longer_each_time(paces: Paces, clock: FakeClock) -> None:
    waits = []
    for _ in range(8):
        paces.failed("mx:25", 30.0)
        paces.failed("mx:25", 30.0)  # a session beside it
        waits.append(paces.cooling("mx:25"))
        clock.advance(waits[-1])
        assert not paces.cooling("mx:25")
    assert waits == pytest.approx([30, 60, 120, 240, 480, 900, 900, 900])
    paces.answered("mx:25")
    paces.failed("mx:25", 30.0)
    assert paces.cooling("mx:25") == pytest.approx(30)
    clock.advance(30 + MOST_WAIT + 1)
    paces.failed("mx:25", 30.0)
    assert paces.cooling("mx:25") == pytest.approx(30)  # that is long ago
    assert not paces.cooling("other:25")
