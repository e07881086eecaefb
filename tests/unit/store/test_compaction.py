"""Compaction gives the disk back and loses nothing, whenever it dies and whoever reads meanwhile."""

import asyncio
import fcntl
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from a3mailer.mail.errors import DamagedContent
from a3mailer.mail.ids import INBOX, AccountId, BlobId, Uid
from a3mailer.store import operations as op
from a3mailer.store.backends.sqlite.compaction import Compaction
from a3mailer.store.backends.sqlite.connection import PINS
from a3mailer.store.backends.sqlite.segments import FREE, Record, segment_path
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.ports import Content, Transaction
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.store.case import content, mail, settle_in
from tests.unit.store.processes import WriterProcess, die, run_in_child
from tests.unit.store.test_crash import SETTINGS

SIZE = 60_000
"""Sixteen mails fill a segment."""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path, SETTINGS, None, clock=FakeClock())
    yield store
    await store.close()


async def fill(store: SqliteStore, account: AccountId, count: int, rng: random.Random) -> dict[BlobId, bytes]:
    """``count`` mails of octets that do not compress."""
    index = content(mail()).index
    for _ in range(count):
        one = Content(rng.randbytes(SIZE), index)
        await store.commit(Transaction((op.Append(account, INBOX, 0),), (one,)))
    return await everything(store, account)


async def everything(store: SqliteStore, account: AccountId) -> dict[BlobId, bytes]:
    _, columns = await store.columns(account, INBOX)
    rows = await store.messages(account, INBOX, [Uid(uid) for uid in columns.uids])
    found = await store.many_octets(account, [row.blob for row in rows])
    return {row.blob: octets for row, octets in zip(rows, found, strict=True) if octets is not None}


async def erase(store: SqliteStore, account: AccountId, keep: int) -> None:
    """All but every ``keep``-th message."""
    _, columns = await store.columns(account, INBOX)
    gone = tuple(email for email in columns.emails if email % keep)
    await store.commit(Transaction((op.EraseEmails(account, gone),)))  # type: ignore[arg-type]


def octets_on_disk(directory: Path) -> int:
    return sum(path.stat().st_size for path in (directory / "segments").glob("*.seg"))


async def test_the_disk_is_given_back(
    store: SqliteStore, account: AccountId, tmp_path: Path, rng: random.Random
) -> None:
    written = await fill(store, account, 100, rng)
    await erase(store, account, keep=10)
    before = octets_on_disk(tmp_path)
    kept = await everything(store, account)
    assert len(kept) == 10
    assert await store.compact(60.0, grace=0) == 0, "first everything is moved"
    freed = await store.compact(60.0, grace=0)
    assert freed > before / 2
    assert octets_on_disk(tmp_path) < before / 2
    assert await everything(store, account) == kept
    assert all(written[blob] == octets for blob, octets in kept.items())
    assert len(list((tmp_path / "segments" / FREE).iterdir())) == 4
    await fill(store, account, 40, rng)
    assert len(list((tmp_path / "segments" / FREE).iterdir())) < 4, "freed files are used again"
    assert len(await everything(store, account)) == 50


async def test_nothing_is_done_where_most_lives(
    store: SqliteStore, account: AccountId, tmp_path: Path, rng: random.Random
) -> None:
    await fill(store, account, 40, rng)
    before = sorted((tmp_path / "segments").glob("*.seg"))
    await store.commit(Transaction((op.EraseEmails(account, (1, 18)),)))  # type: ignore[arg-type]
    assert await store.compact(60.0, grace=0) == 0
    assert await store.compact(60.0, grace=0) == 0
    assert sorted((tmp_path / "segments").glob("*.seg")) == before


async def test_grace(tmp_path: Path, rng: random.Random) -> None:
    clock = FakeClock()
    store = await SqliteStore.open(tmp_path, SETTINGS, None, clock=clock)
    account = await settle_in(store)
    await fill(store, account, 40, rng)
    await erase(store, account, keep=1000)
    for _ in range(3):
        assert await store.compact(60.0) == 0
    clock.advance(601)
    assert await store.compact(60.0) > 0
    await store.close()


async def test_who_holds_the_pins_keeps_the_segments(
    store: SqliteStore, account: AccountId, tmp_path: Path, rng: random.Random
) -> None:
    await fill(store, account, 40, rng)
    await erase(store, account, keep=10)
    pins = os.open(tmp_path / PINS, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(pins, fcntl.LOCK_SH)
    for _ in range(3):
        assert await store.compact(60.0, grace=0) == 0
    os.close(pins)
    assert await store.compact(60.0, grace=0) > 0
    assert len(await everything(store, account)) == 4


async def test_reading_goes_on(store: SqliteStore, account: AccountId, rng: random.Random) -> None:
    await fill(store, account, 60, rng)
    await erase(store, account, keep=7)
    kept = await everything(store, account)
    done = asyncio.Event()
    rounds = 0

    async def read() -> None:
        nonlocal rounds
        while not done.is_set():
            for blob, octets in kept.items():
                assert await store.octets(account, blob) == octets
                assert await store.octets(account, blob, 1000, 2000) == octets[1000:2000]
            rounds += 1
            await asyncio.sleep(0)

    async def compact() -> None:
        for _ in range(4):
            await store.compact(60.0, grace=0)
        await fill(store, account, 30, rng)
        done.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        group.create_task(compact())
    assert rounds


async def test_a_damaged_mail_is_left_where_it_is(
    store: SqliteStore, account: AccountId, tmp_path: Path, rng: random.Random
) -> None:
    await fill(store, account, 40, rng)
    await erase(store, account, keep=5)
    kept = await everything(store, account)
    bad = next(iter(kept))
    segment, offset = store._sql("SELECT segment, offset FROM blobs WHERE blob=?", (bad,)).fetchone()
    with segment_path(tmp_path / "segments", segment).open("r+b") as file:
        file.seek(offset + 500)
        file.write(b"damage")
    for _ in range(3):
        await store.compact(60.0, grace=0)
    with pytest.raises(DamagedContent):
        await store.octets(account, bad)
    del kept[bad]
    assert await everything(store, account) == kept
    assert segment_path(tmp_path / "segments", segment).exists()


async def test_a_freed_blob_is_not_brought_back(
    store: SqliteStore, account: AccountId, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is erased between its copy and the Relocate."""
    await fill(store, account, 40, rng)
    await erase(store, account, keep=5)
    real = store._link.write

    async def write(records: list[Record]) -> list[tuple[int, int]]:
        places = await real(records)
        await erase(store, account, keep=1000)
        return places

    monkeypatch.setattr(store._link, "write", write)
    for _ in range(3):
        await store.compact(60.0, grace=0)
    assert await everything(store, account) == {}
    assert store._sql("SELECT count(*) FROM blobs").fetchone() == (0,)
    assert store._sql("SELECT coalesce(sum(records), 0) FROM segments").fetchone() == (0,)


@pytest.mark.parametrize("step", range(1, 9))
async def test_it_dies_at_any_step(tmp_path: Path, rng: random.Random, step: int) -> None:
    with WriterProcess(tmp_path, SETTINGS) as writer:
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        account = await settle_in(store)
        await fill(store, account, 40, rng)
        await erase(store, account, keep=5)
        kept = await everything(store, account)

        async def worker() -> None:
            mine = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
            left = [step]

            def count() -> None:
                left[0] -= 1
                if left[0] == 0:
                    die()

            for owner, name in ((mine._link, "write"), (mine, "commit")):
                original = getattr(owner, name)

                async def stepped(*args: object, original=original) -> object:  # type: ignore[no-untyped-def]
                    count()
                    result = await original(*args)
                    count()
                    return result

                setattr(owner, name, stepped)
            release = Compaction._let_go

            def let_go(self: Compaction, fd: int, segment: int) -> int:
                count()
                octets = release(self, fd, segment)
                count()
                return octets

            Compaction._let_go = let_go  # type: ignore[method-assign]
            for _ in range(4):
                await mine.compact(60.0, grace=0)
            die()

        assert run_in_child(worker) == -9
        assert await everything(store, account) == kept
        for _ in range(3):
            await store.compact(60.0, grace=0)
        assert await everything(store, account) == kept
        live = store._sql("SELECT sum(length), count(*) FROM blobs").fetchone()
        assert store._sql("SELECT sum(live), sum(records) FROM segments").fetchone() == live
        await store.close()
