"""Disks that are full or broken: a transient refusal, nothing half done, life goes on (rows 67, 68)."""

import asyncio
import errno
import os
from collections import Counter
from pathlib import Path

import apsw
import pytest

from a3mailer.config.tree import Settings
from a3mailer.config.tree import Store as StoreSettings
from a3mailer.mail.errors import StoreFull, TryLater, Uncertain
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import INBOX, AccountId, Uid
from a3mailer.store import operations as op
from a3mailer.store.backends.sqlite import link as link_module
from a3mailer.store.backends.sqlite import unsynced
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.ports import Transaction
from a3mailer.testing.store.case import settle_in
from tests.unit.store.test_crash import SETTINGS, delivery, subjects


async def test_below_the_reserve_nothing_grows_and_the_rest_works(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path, SETTINGS, None)
    account = await settle_in(store)
    await store.commit(delivery(account, "one"))
    await store.close()
    greedy = Settings(store=StoreSettings(reserve_percent=100.0, reserve_octets=1 << 60))
    store = await SqliteStore.open(tmp_path, greedy, None)
    with pytest.raises(StoreFull):
        await store.commit(delivery(account, "two"))
    assert await subjects(store, account) == Counter(["one"])
    await store.commit(Transaction((op.StoreFlags(account, INBOX, (Uid(1),), "+", SEEN),)))
    await store.commit(Transaction((op.Expunge(account, INBOX, (Uid(1),)),)))
    assert await subjects(store, account) == Counter()
    await store.close()
    store = await SqliteStore.open(tmp_path, SETTINGS, None)
    await store.commit(delivery(account, "three"))
    assert await subjects(store, account) == Counter(["three"])
    await store.close()


@pytest.mark.parametrize("call", ["pwritev", "fdatasync", "posix_fallocate"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
async def test_a_segment_that_cannot_be_written(
    store: SqliteStore, account: AccountId, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    monkeypatch.setattr(unsynced, "FEW", 0)
    if call != "posix_fallocate":
        await store.commit(delivery(account, "before"))

    def fails(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fails)
    wanted = StoreFull if code == errno.ENOSPC else TryLater
    with pytest.raises(wanted):
        await store.commit(delivery(account, "during"))
    monkeypatch.undo()
    await store.commit(delivery(account, "after"))
    found = await subjects(store, account)
    assert found == Counter(["before", "after"] if call != "posix_fallocate" else ["after"])


async def test_a_short_write_is_gone_on_with(
    store: SqliteStore, account: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwritev

    def short(fd: int, buffers: list[bytes], offset: int) -> int:
        return real(fd, [memoryview(buffers[0])[:7]], offset)

    monkeypatch.setattr(os, "pwritev", short)
    await store.commit(delivery(account, "bit by bit"))
    monkeypatch.undo()
    assert await subjects(store, account) == Counter(["bit by bit"])


async def test_a_segment_after_a_failed_sync_is_not_used_again(
    store: SqliteStore, account: AccountId, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(unsynced, "FEW", 0)
    await store.commit(delivery(account, "before"))
    (old,) = (tmp_path / "segments").glob("*.seg")

    def fails(*_: object) -> int:
        raise OSError(errno.EIO, "sync")

    monkeypatch.setattr(os, "fdatasync", fails)
    with pytest.raises(TryLater):
        await store.commit(delivery(account, "during"))
    monkeypatch.undo()
    size = sum(1 for octet in old.read_bytes() if octet)
    await store.commit(delivery(account, "after"))
    assert sum(1 for octet in old.read_bytes() if octet) == size
    assert len(list((tmp_path / "segments").glob("*.seg"))) == 2


async def test_a_full_database(store: SqliteStore, account: AccountId) -> None:
    await store.commit(delivery(account, "before"))
    assert store._solo is not None
    connection = store._solo[0]._connection
    pages = connection.pragma("page_count")
    connection.pragma("max_page_count", pages + 2)
    refused = 0
    for n in range(30):
        try:
            await store.commit(delivery(account, f"during {n}"))
        except StoreFull:
            refused += 1
            break
    assert refused
    await store.commit(Transaction((op.StoreFlags(account, INBOX, (Uid(1),), "+", SEEN),)))
    connection.pragma("max_page_count", 1 << 30)
    await store.commit(delivery(account, "after"))
    found = await subjects(store, account)
    assert found["after"] == 1
    assert max(found.values()) == 1


async def test_a_database_that_cannot_be_written_ends_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer, no acknowledgement; after the restart everything that was acknowledged is there."""
    monkeypatch.setattr(link_module, "RETURN_SECONDS", 0.2)
    store = await SqliteStore.open(tmp_path, SETTINGS, None)
    account = await settle_in(store)
    await store.commit(delivery(account, "before"))
    assert store._solo is not None
    loop, thread = store._solo
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    execute = loop._committer._execute

    def fails(sql: str, *bindings: object) -> object:
        if sql == "COMMIT":
            raise apsw.IOError("disk I/O error")
        return execute(sql, *bindings)

    loop._committer._execute = fails  # type: ignore[assignment]
    with pytest.raises(Uncertain):
        await store.commit(delivery(account, "during"))
    thread.join(5)
    assert not thread.is_alive()
    with pytest.raises(TryLater):
        await store.commit(delivery(account, "too late"))
    assert await subjects(store, account) == Counter(["before"])
    await store.close()
    store = await SqliteStore.open(tmp_path, SETTINGS, None)
    assert await subjects(store, account) == Counter(["before"])
    await store.commit(delivery(account, "after"))
    await store.close()


async def test_a_transaction_nobody_should_send_fails_alone(store: SqliteStore, account: AccountId) -> None:
    """A bug of a caller must not stop the writer, nor those whose batch it shares."""
    with pytest.raises(TryLater):
        await store.commit(Transaction((op.Append(account, INBOX, 5),)))
    contents = delivery(account, "x").contents
    for flags in (1 << 63, "seen"):
        bad = op.Append(account, INBOX, 0, flags=flags)  # type: ignore[arg-type]
        async with asyncio.TaskGroup() as group:
            good = group.create_task(store.commit(delivery(account, f"beside {flags}")))
            with pytest.raises(TryLater):
                await store.commit(Transaction((bad,), contents))
        assert good.result()
    with pytest.raises(OverflowError):
        await store.commit(Transaction((op.Append(account, INBOX, 0, flags=1 << 70),), contents))
    await store.commit(delivery(account, "good"))
    assert await subjects(store, account) == Counter(["good", f"beside {1 << 63}", "beside seen"])
