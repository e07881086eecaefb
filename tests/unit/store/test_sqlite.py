"""The SQLite backend keeps every rule of the doors: alone, with its own writer process, and stored plain."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from a3mailer.config.tree import Settings
from a3mailer.config.tree import Store as StoreSettings
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.ports import Store
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.mailstore import MailStoreCompliance

SMALL = 1 << 20


class TestAlone(MailStoreCompliance):
    @pytest.fixture
    async def store(self, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Store]:
        settings = Settings(store=StoreSettings(segment_size=SMALL))
        store = await SqliteStore.open(tmp_path, settings, None, clock=clock)
        yield store
        await store.close()


class TestPlain(MailStoreCompliance):
    @pytest.fixture
    async def store(self, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Store]:
        settings = Settings(store=StoreSettings(segment_size=SMALL, encryption=False, compression=False))
        store = await SqliteStore.open(tmp_path, settings, None, clock=clock)
        yield store
        await store.close()
