"""verify and backup read a store once: their work grows in step with the mail, whatever is verified."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from a3mailer.mail.ids import DEFAULT_TENANT, INBOX
from a3mailer.mail.message import index
from a3mailer.ops.backup import backup, verify
from a3mailer.store import operations as op
from a3mailer.store.backends.sqlite.upkeep import SqliteUpkeep
from a3mailer.store.ports import Content, Transaction
from a3mailer.store.upkeep import silent
from tests.faults import damaged
from tests.growth import assert_linear

TOGETHER = 200
"""Mails of one transaction."""


async def fill(place: Path, mails: int) -> None:
    store = await damaged.open_store(place)
    dice = random.Random(mails)
    await store.commit(Transaction((op.PutDomain(DEFAULT_TENANT, "a.test"),)))
    await store.commit(Transaction((op.CreateAccount(DEFAULT_TENANT, "alice@a.test"),)))
    for first in range(0, mails, TOGETHER):
        numbers = range(first, min(first + TOGETHER, mails))
        octets = [b"Subject: %d\r\n\r\n%b\r\n" % (n, dice.randbytes(300).hex().encode()) for n in numbers]
        appends = tuple(op.Append(damaged.ALICE, INBOX, at) for at in range(len(octets)))
        await store.commit(Transaction(appends, tuple(Content(each, index(each)) for each in octets)))
    await store.commit(Transaction(tuple(op.Audit(1, "x", "y", "z", "done") for _ in range(mails))))
    await store.close()


class Places:
    """Stores by their number of mails, each made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[int, Path] = {}

    def of(self, mails: int) -> Path:
        if mails not in self._made:
            place = self._folder / str(mails)
            place.mkdir(mode=0o700)
            asyncio.run(fill(place, mails))
            self._made[mails] = place
        return self._made[mails]

    def backup_of(self, mails: int) -> Path:
        target = self._folder / f"{mails}.backup"
        if not target.exists():
            backup(SqliteUpkeep(self.of(mails)), self.of(mails), target, silent)
        return target


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def whole(source: Path) -> None:
    assert verify(SqliteUpkeep, source, None, silent).findings == ()


def test_verifying_a_data_directory_is_linear(places: Places) -> None:
    assert_linear(places.of, whole, 1000)


def test_verifying_a_backup_is_linear(places: Places) -> None:
    assert_linear(places.backup_of, whole, 1000)
