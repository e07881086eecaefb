"""Dictionaries: made of the tenant's own mail, used, replaced after an erasure, dropped when unused."""

import random
from pathlib import Path

import pytest

from a3mailer.mail.errors import DamagedContent
from a3mailer.mail.ids import INBOX, AccountId, EmailId, Uid
from a3mailer.store import operations as op
from a3mailer.store.backends.sqlite import training
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.ports import Content, Transaction
from a3mailer.testing.store.case import content, mail

WORDS = b"meeting minutes invoice please find attached regards tomorrow weekly report draft agenda".split()


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SAMPLES", 200)
    monkeypatch.setattr(training, "SIZE", 4096)


async def fill(store: SqliteStore, account: AccountId, count: int, rng: random.Random) -> None:
    index = content(mail()).index
    for _ in range(0, count, 20):
        contents = []
        for _ in range(20):
            words = b" ".join(rng.choices(WORDS, k=60))
            contents.append(Content(b"X-Organisation: Example Works, Springfield\r\n\r\n" + words, index))
        operations = tuple(op.Append(account, INBOX, n) for n in range(20))
        await store.commit(Transaction(operations, tuple(contents)))


async def read_all(store: SqliteStore, account: AccountId) -> list[bytes | None]:
    _, columns = await store.columns(account, INBOX)
    rows = await store.messages(account, INBOX, [Uid(uid) for uid in columns.uids])
    return await store.many_octets(account, [row.blob for row in rows])


def used(store: SqliteStore) -> dict[int, int]:
    """Contents by the number of their dictionary."""
    return dict(store._sql("SELECT dictionary, count(*) FROM blobs GROUP BY dictionary").fetchall())


def kept(store: SqliteStore) -> list[int]:
    return [row[0] for row in store._sql("SELECT number FROM dictionaries ORDER BY number")]


async def test_a_dictionary_is_made_when_there_is_enough(
    store: SqliteStore, account: AccountId, rng: random.Random
) -> None:
    await fill(store, account, 180, rng)
    assert await store.train_dictionaries() == 0
    await fill(store, account, 40, rng)
    assert await store.train_dictionaries() == 1
    assert await store.train_dictionaries() == 0, "one is enough"
    await fill(store, account, 40, rng)
    assert used(store) == {0: 220, 1: 40}
    sizes = store._sql(
        "SELECT dictionary, avg(length * 1.0 / size) FROM blobs GROUP BY dictionary"
    ).fetchall()
    ratio = dict(sizes)
    assert ratio[1] < ratio[0] * 0.8, "it is worth it"
    assert None not in await read_all(store, account)
    sealed = store._sql("SELECT sealed FROM dictionaries").fetchone()[0]
    assert b"Springfield" not in sealed
    assert b"Springfield" in store._keys.open_dictionary(sealed, 1, 1)
    with pytest.raises(DamagedContent):
        store._keys.open_dictionary(sealed, 1, 2)


async def test_a_new_one_after_an_erasure(store: SqliteStore, account: AccountId, rng: random.Random) -> None:
    await fill(store, account, 220, rng)
    assert await store.train_dictionaries() == 1
    await fill(store, account, 20, rng)
    await store.commit(Transaction((op.EraseEmails(account, (EmailId(3),)),)))
    assert await store.train_dictionaries() == 1
    assert kept(store) == [1, 2], "contents still need the old one"
    await fill(store, account, 20, rng)
    assert used(store) == {0: 219, 1: 20, 2: 20}
    assert None not in await read_all(store, account)
    emails = store._sql(
        "SELECT id & 4294967295 FROM fragments f JOIN blobs b USING (blob) WHERE b.dictionary = 1"
    )
    old = tuple(EmailId(row[0]) for row in emails.fetchall())
    await store.commit(Transaction((op.EraseEmails(account, old),)))
    assert await store.train_dictionaries() == 1
    assert kept(store) == [2, 3]


async def test_a_worker_that_did_not_hear_of_the_new_one(
    store: SqliteStore, account: AccountId, tmp_path: Path, rng: random.Random
) -> None:
    """Its contents were made with a dictionary that is gone: they are made again."""
    await fill(store, account, 220, rng)
    await store.train_dictionaries()
    await store._sealing.prepare(content(mail()), 1, [account])
    stale = dict(store._sealing._current)
    await store.commit(Transaction((op.EraseEmails(account, (EmailId(3),)),)))
    await store.train_dictionaries()
    assert kept(store) == [2]
    store._sealing._current.update(stale)
    await fill(store, account, 20, rng)
    assert used(store) == {0: 219, 2: 20}
    assert None not in await read_all(store, account)
