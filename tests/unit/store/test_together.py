"""Contents read together: one that is damaged is None among its neighbours, the others are what was sent."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from a3mailer.config.tree import Settings
from a3mailer.config.tree import Store as StoreSettings
from a3mailer.mail.ids import INBOX, Uid
from a3mailer.store import operations as op
from a3mailer.store.backends.sqlite import segments
from a3mailer.store.backends.sqlite.connection import SEGMENTS
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.ports import Content, Transaction
from a3mailer.testing.store.case import content, mail, settle_in

SIZES = (3000, 100, 70_000, 5000, 65_536, 1, 40_000)


@pytest.fixture(params=[True, False], ids=["sealed", "plain"])
async def store(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[SqliteStore]:
    settings = Settings(
        store=StoreSettings(segment_size=1 << 20, encryption=request.param, compression=request.param)
    )
    store = await SqliteStore.open(tmp_path, settings, None)
    yield store
    await store.close()


async def test_a_damaged_content_among_others(store: SqliteStore, tmp_path: Path) -> None:
    account = await settle_in(store)
    index = content(mail()).index
    sent = [bytes([65 + n]) * size for n, size in enumerate(SIZES)]
    for octets in sent:
        await store.commit(Transaction((op.Append(account, INBOX, 0),), (Content(octets, index),)))
    uids = range(1, len(sent) + 1)
    expected: dict[int, bytes | None] = dict(zip(uids, sent, strict=True))
    assert await store.contents(account, INBOX, uids) == expected
    places = store._sql(
        "SELECT m.uid, b.segment, b.offset, b.length FROM messages m JOIN blobs b ON b.blob = m.blob"
    ).fetchall()
    for uid, segment, offset, length in places:
        path = segments.segment_path(tmp_path / SEGMENTS, segment)
        at = offset + segments.HEADER + length - 1
        with path.open("r+b") as file:
            file.seek(at)
            octet = file.read(1)
            file.seek(at)
            file.write(bytes([octet[0] ^ 1]))
            file.flush()
            assert await store.contents(account, INBOX, uids) == {**expected, uid: None}
            file.seek(at)
            file.write(octet)
    assert await store.contents(account, INBOX, uids) == expected


async def test_contents_behind_the_end_of_a_segment(store: SqliteStore, tmp_path: Path) -> None:
    account = await settle_in(store)
    index = content(mail()).index
    for number in range(3):
        await store.commit(
            Transaction((op.Append(account, INBOX, 0),), (Content(bytes([65 + number]) * 900, index),))
        )
    ((segment, offset),) = store._sql("SELECT segment, max(offset) FROM blobs").fetchall()
    with segments.segment_path(tmp_path / SEGMENTS, segment).open("r+b") as file:
        file.truncate(offset + 10)
    assert await store.contents(account, INBOX, [1, 2, 3]) == {1: b"A" * 900, 2: b"B" * 900, 3: None}


async def test_contents_asked_for_in_any_order(store: SqliteStore) -> None:
    """Ranges, holes, what is expunged or nowhere, copies: each is what it is when it is read alone."""
    account = await settle_in(store)
    index = content(mail()).index
    for number in range(30):
        octets = bytes([65 + number]) * (900 + number)
        await store.commit(Transaction((op.Append(account, INBOX, 0),), (Content(octets, index),)))
    await store.commit(Transaction((op.Copy(account, INBOX, tuple(map(Uid, range(5, 12))), INBOX),)))
    await store.commit(Transaction((op.Expunge(account, INBOX, tuple(map(Uid, (3, 4, 17, 30)))),)))
    alone: dict[int, bytes | None] = {}
    for uid in range(1, 45):
        alone |= await store.contents(account, INBOX, [uid])
    assert len(alone) == 37
    assert alone[17] == b"Q" * 916
    seed = random.randrange(1 << 32)
    print("seed", seed)
    draw = random.Random(seed)
    for _ in range(200):
        uids = draw.sample(range(1, 45), draw.randrange(1, 30))
        if draw.random() < 0.5:
            uids.sort(reverse=draw.random() < 0.2)
        if draw.random() < 0.3:
            first = draw.randrange(1, 40)
            uids = list(range(first, first + draw.randrange(2, 12)))
        found = await store.contents(account, INBOX, uids)
        assert found == {uid: alone[uid] for uid in uids if uid in alone}, uids
