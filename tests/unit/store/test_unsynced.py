"""Few small contents are durable with their transaction alone: what a power cut takes is put back."""

import asyncio
import errno
import os
from collections import Counter
from pathlib import Path

import apsw
import pytest

from a3mailer.runtime.clock import SystemClock
from a3mailer.store.backends.sqlite.connection import DATABASE, SEGMENTS, migrate, open_writer
from a3mailer.store.backends.sqlite.contents import seal
from a3mailer.store.backends.sqlite.segments import (
    FIRST,
    FREE,
    HEADER,
    Record,
    SegmentReader,
    SegmentWriter,
    Unsure,
    segment_ids,
    segment_path,
)
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.backends.sqlite.unsynced import FEW, SLOTS, Slots, put_back
from a3mailer.store.backends.sqlite.upkeep import SqliteUpkeep
from tests.unit.store.processes import WriterProcess
from tests.unit.store.test_crash import SETTINGS, delivery, settle_in, subjects


def lose_what_was_not_synced(folder: Path) -> int:
    """As a power cut may: the preallocated files are there, and nothing in them."""
    lost = 0
    for segment in segment_ids(folder / SEGMENTS):
        path = segment_path(folder / SEGMENTS, segment)
        lost += any(path.read_bytes()[FIRST:])
        with path.open("r+b") as file:
            file.seek(FIRST)
            file.write(bytes(path.stat().st_size - FIRST))
    return lost


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


async def test_what_a_power_cut_took_is_put_back(tmp_path: Path) -> None:
    names = [f"mail {number}" for number in range(SLOTS // 2)]
    with WriterProcess(tmp_path, SETTINGS) as writer:
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        account = await settle_in(store)
        for name in names:
            await store.commit(delivery(account, name))
        writer.kill()
        assert lose_what_was_not_synced(tmp_path) == 1
        looked = await asyncio.to_thread(lambda: list(SqliteUpkeep(tmp_path).inspect(True, silent)))
        assert looked == []
        writer.start()
        await store.commit(delivery(account, "after"))
        assert await subjects(store, account) == Counter([*names, "after"])
        await store.close()


async def test_repair_puts_back_first(tmp_path: Path) -> None:
    with WriterProcess(tmp_path, SETTINGS) as writer:
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        account = await settle_in(store)
        await store.commit(delivery(account, "one"))
        writer.kill()
        lose_what_was_not_synced(tmp_path)
        found = await asyncio.to_thread(lambda: list(SqliteUpkeep(tmp_path).repair(silent)))
        assert [finding.kind for finding in found] == ["left-over"]  # the hint socket
        assert await subjects(store, account) == Counter(["one"])
        writer.start()
        await store.close()


async def test_more_than_there_are_slots(tmp_path: Path) -> None:
    """What is overwritten in the table was synced before."""
    names = [f"mail {number}" for number in range(2 * SLOTS + 5)]
    store = await SqliteStore.open(tmp_path, SETTINGS, None)
    account = await settle_in(store)
    for name in names:
        await store.commit(delivery(account, name))
    assert await subjects(store, account) == Counter(names)
    await store.close()
    connection = apsw.Connection(str(tmp_path / DATABASE))
    assert connection.execute("SELECT count(*) FROM unsynced").fetchone() == (0,)
    connection.close()


def record(number: int, size: int = 100) -> Record:
    return seal(bytes([number]) * size, 1, number.to_bytes(16, "big"), None, None)


@pytest.fixture
def connection(tmp_path: Path) -> apsw.Connection:
    (tmp_path / SEGMENTS / FREE).mkdir(parents=True)
    made = open_writer(tmp_path)
    migrate(made, 0)
    return made


def test_a_full_table_or_a_large_batch_is_synced(
    tmp_path: Path, connection: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = SegmentWriter(tmp_path / SEGMENTS, 1 << 20, SystemClock())
    slots = Slots(connection, target)
    target.write([record(1)])
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    used = [slots.write([record(2)])[1][0].slot for _ in range(SLOTS)]
    assert used == list(range(SLOTS))
    assert not synced
    assert slots.write([record(3)])[1] == []
    assert len(synced) == 1
    assert [row.slot for row in slots.write([record(4), record(5)])[1]] == [0, 1]
    assert slots.write([record(number) for number in range(6, 7 + FEW)])[1] == []
    assert len(synced) == 2
    assert slots.write([record(1)])[1][0].slot == 0
    slots.settle()
    slots.settle()
    assert len(synced) == 3
    target.close()
    connection.close()


def test_a_segment_that_ends_is_synced(
    tmp_path: Path, connection: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = SegmentWriter(tmp_path / SEGMENTS, 1 << 16, SystemClock())
    target.write([record(1)])
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    for number in range(2, 8):
        target.write([record(number, 12_000)], sync=False)
    assert len(segment_ids(tmp_path / SEGMENTS)) == 2
    assert len(synced) == 1
    target.close()
    connection.close()


def test_a_failed_sync_of_what_was_promised_ends_the_writer(
    tmp_path: Path, connection: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    target = SegmentWriter(tmp_path / SEGMENTS, 1 << 20, SystemClock())
    target.write([record(1)], sync=False)
    with monkeypatch.context() as broken:
        broken.setattr(os, "pwritev", fails)
        with pytest.raises(OSError, match="Input/output"):
            target.write([record(2)], sync=False)  # what was written before is synced
    target.write([record(3)], sync=False)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fails)
        with pytest.raises(Unsure):
            target.write([record(4)])
    connection.close()


def test_what_does_not_fit_its_place_is_not_put_back(tmp_path: Path, connection: apsw.Connection) -> None:
    target = SegmentWriter(tmp_path / SEGMENTS, 1 << 20, SystemClock())
    slots = Slots(connection, target)
    (place,), (row,) = slots.write([record(1)])
    target.close()
    segment, offset = place
    octets = record(1)
    rows = [
        (0, segment, offset, row.record),
        (1, segment, offset + 8, row.record),
        (2, segment + 1, offset, row.record),
        (3, segment, offset, b"short"),
        (4, segment, offset, row.record[: HEADER + octets.length - 1]),
    ]
    connection.executemany("INSERT INTO unsynced VALUES (?,?,?,?)", rows)
    lose_what_was_not_synced(tmp_path)
    put_back(connection, tmp_path / SEGMENTS)
    reader = SegmentReader(tmp_path / SEGMENTS)
    assert reader.read(1, octets.blob, segment, offset, octets.length) == b"".join(octets.payload)
    reader.close()
    assert connection.execute("SELECT count(*) FROM unsynced").fetchone() == (0,)
    connection.close()
