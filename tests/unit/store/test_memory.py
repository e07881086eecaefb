"""The memory backend keeps every rule of the doors."""

from collections.abc import AsyncIterator

import pytest

from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.ports import Store
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.mailstore import MailStoreCompliance


class TestMemory(MailStoreCompliance):
    @pytest.fixture
    async def store(self, clock: FakeClock) -> AsyncIterator[Store]:
        store = MemoryStore(clock)
        yield store
        await store.close()
