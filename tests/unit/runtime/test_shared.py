"""Memory that forked processes share: nothing is lost or counted short, nobody waits for the dead."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from a3mailer.runtime.shared import LOCK_TRIES, WAYS, SharedCounts, SharedTable

CHILDREN = 4
TIMES = 3000


def children(work: Callable[[int], None]) -> None:
    """Run it in several processes at once."""
    pids = []
    for number in range(1, CHILDREN + 1):
        if (pid := os.fork()) == 0:
            try:
                work(number)
                os._exit(0)
            finally:
                os._exit(1)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * CHILDREN


def test_a_table_forgets_no_count_of_any_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a3mailer.runtime.shared.LOCK_TRIES", 10**9)
    table = SharedTable(64, 1.0)

    def work(number: int) -> None:
        for at in range(TIMES):
            with table.locked():
                count, _ = table.get("key") or (0.0, 0.0)
                table.put("key", count + 1, at)

    children(work)
    found = table.get("key")
    assert found is not None and found[0] == CHILDREN * TIMES


def test_a_lock_ends_with_its_holder_and_nobody_waits_for_one_that_is_stopped() -> None:
    table = SharedTable(64, 1.0)
    reader, writer = os.pipe()
    if (holder := os.fork()) == 0:
        with table.locked():
            os.write(writer, b"1")
            time.sleep(600)
    assert os.read(reader, 1) == b"1"
    os.kill(holder, signal.SIGSTOP)
    assert not table._lock()
    with table.locked():  # goes on without it
        table.put("key", 1.0, 2.0)
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    assert table._lock() and table.get("key") == (1.0, 2.0)
    os.close(reader)
    os.close(writer)
    assert LOCK_TRIES < 10_000


def test_a_table_is_a_dictionary_until_it_is_full(rng: random.Random) -> None:
    table, model = SharedTable(4096, 1.0), dict[str, tuple[float, float]]()
    for step in range(2000):
        key = f"key {rng.randrange(150)}"
        if rng.random() < 0.2:
            table.remove(key)
            model.pop(key, None)
        else:
            model[key] = (rng.random(), float(step))
            table.put(key, *model[key])
        assert table.get(key) == model.get(key)
    assert {key: table.get(key) for key in model} == model


def test_a_full_table_lets_the_oldest_go() -> None:
    table = SharedTable(WAYS, 1.0)
    for number in range(100):
        table.put(f"key {number}", 1.0, float(number))
        table.put("in use", 7.0, float(number))
    assert table.get("in use") == (7.0, 99.0)
    left = [number for number in range(100) if table.get(f"key {number}")]
    assert left == list(range(100 - (WAYS - 1), 100))


def test_a_full_table_keeps_what_has_fallen_least() -> None:
    table = SharedTable(WAYS, 10.0)
    table.put("often", 64.0, 0.0)
    for number in range(50):  # 50 seconds: 64 has fallen to 2
        table.put(f"key {number}", 1.0, float(number))
    assert table.get("often") == (64.0, 0.0)
    for number in range(50, 100):
        table.put(f"key {number}", 1.0, float(number))
    assert table.get("often") is None


def test_counts_are_the_sum_over_processes_and_end_with_them() -> None:
    counts = SharedCounts(CHILDREN + 2)

    def work(number: int) -> None:
        counts.take_row(number)
        for _ in range(TIMES):
            counts.add("192.0.2.1", 1)
        counts.add("192.0.2.1", -1)

    children(work)
    assert counts.count("192.0.2.1") == CHILDREN * (TIMES - 1)
    assert counts.count("192.0.2.2") == 0
    counts.take_row(1)  # the process that comes after the first one
    assert counts.count("192.0.2.1") == (CHILDREN - 1) * (TIMES - 1)


def test_counts_are_never_too_few_and_hardly_too_many(
    rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("a3mailer.runtime.shared.REMEMBERED", 100)
    counts, model = SharedCounts(1), Counter[str]()
    for _ in range(20_000):
        key = f"10.{rng.randrange(4)}.{rng.randrange(250)}.1"
        by = 1 if rng.random() < 0.6 or not model[key] else -1
        counts.add(key, by)
        model[key] += by
    wrong = [key for key in model if counts.count(key) != model[key]]
    assert all(counts.count(key) >= model[key] for key in model)
    assert len(wrong) < len(model) / 20
    assert len(counts._known) <= 100


def test_a_key_is_not_counted_below_zero() -> None:
    counts = SharedCounts(1)
    counts.add("x", -1)
    counts.add("x", 1)
    assert counts.count("x") == 1


def test_a_new_table_takes_no_memory_until_it_is_used(tmp_path: Path) -> None:
    table = SharedTable(1 << 16, 60.0)
    assert os.fstat(table._fd).st_size > 1 << 20
    assert os.fstat(table._fd).st_blocks * 512 < 1 << 18
    kept = SharedTable(1 << 16, 60.0, tmp_path / "table")
    status = os.fstat(kept._fd)
    assert status.st_blocks * 512 >= status.st_size  # its room is there: no write can fail later
