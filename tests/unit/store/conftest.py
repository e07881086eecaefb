"""A store of its own for a test, and one account in it; a module that wants another store makes one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from a3mailer.mail.ids import AccountId
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.ports import Store
from a3mailer.testing.store.case import settle_in
from tests.unit.store.empty import lay_out
from tests.unit.store.test_crash import SETTINGS


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(lay_out(tmp_path), SETTINGS, None)
    yield store
    await store.close()


@pytest.fixture
async def account(store: Store) -> AccountId:
    return await settle_in(store)
