"""Doctor and the index of texts: what it makes again is found by searches again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from a3mailer.access.labour import Labour
from a3mailer.access.texts import Texts
from a3mailer.mail.ids import AccountId
from a3mailer.runtime.clock import SystemClock
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.backends.sqlite.texts.shelf import folder_of, read_shelf
from a3mailer.store.backends.sqlite.upkeep import SqliteUpkeep
from a3mailer.store.texts import Sought, Where
from a3mailer.store.upkeep import silent
from a3mailer.testing.clock import FakeClock
from tests.faults import damaged
from tests.faults.damaged import ALICE, BOB, SETTINGS, copy_of, execute, kinds

FIFTEEN = "4294967296 + 15"
"""The fragments of the mail of number 14."""
LAST_WORDS = damaged.mail(14).decode().split()[-1].lower()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return damaged.make(tmp_path_factory.mktemp("doctor") / "whole")


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> Path:
    return copy_of(whole, tmp_path / "place")


async def found(place: Path, account: AccountId, text: str, indexed: bool = True) -> set[int]:
    """Bring the index up to date, then look for a text in all mails of the account."""
    store = await SqliteStore.open(place, SETTINGS, None, clock=FakeClock())
    try:
        work = store.indexing()
        while indexed and await work.index(account):
            pass
        emails = [
            row[0] & 0xFFFFFFFF
            for row in execute(place, "SELECT id FROM fragments")
            if row[0] >> 32 == account
        ]
        (having,) = await Texts(store, account, Labour(SystemClock())).matching(
            [Sought(Where.TEXT, text)], emails
        )
        return having
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("fragments-missing", f"DELETE FROM fragments WHERE id = {FIFTEEN}"),
        (
            "fragments-differ",
            "UPDATE fragments SET parts = (SELECT parts FROM fragments WHERE id = 4294967296 + 1)"
            f" WHERE id = {FIFTEEN}",
        ),
    ],
)
def test_mails_that_doctor_repairs_are_found_by_their_text(place: Path, kind: str, sql: str) -> None:
    """The index was made while fragments were missing or wrong, and says that it knows these mails."""
    execute(place, sql)
    assert asyncio.run(found(place, ALICE, LAST_WORDS)) == set()
    asyncio.run(found(place, BOB, LAST_WORDS))
    assert read_shelf(folder_of(place, ALICE)) is not None
    assert kind in kinds(list(SqliteUpkeep(place, FakeClock()).repair(silent)))
    assert read_shelf(folder_of(place, ALICE)) is None
    assert read_shelf(folder_of(place, BOB)) is not None
    assert asyncio.run(found(place, ALICE, LAST_WORDS)) == {15}


def test_damaged_parts_of_one_mail_stop_neither_the_index_nor_a_search(place: Path) -> None:
    """They are made again from the mail."""
    execute(place, f"UPDATE fragments SET parts = substr(parts, 2) WHERE id = {FIFTEEN}")
    assert asyncio.run(found(place, ALICE, LAST_WORDS, indexed=False)) == {15}
    assert asyncio.run(found(place, ALICE, LAST_WORDS)) == {15}
