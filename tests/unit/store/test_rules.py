"""The rules of this folder, held against SQLite with its writer as a thread and as a process."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from a3mailer.store.backends.sqlite.connection import DATABASE
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.ports import Store
from tests.unit.store.empty import lay_out
from tests.unit.store.processes import WriterProcess
from tests.unit.store.rules.suite import MailStoreCompliance


class TestRulesProcess(MailStoreCompliance):
    """As it is served: the writer is a process of its own."""

    @contextlib.asynccontextmanager
    async def opened(self, directory: Path) -> AsyncIterator[Store]:
        if not (directory / DATABASE).exists():
            lay_out(directory)
        with WriterProcess(directory, self.settings) as writer:
            store = await SqliteStore.open(directory, self.settings, writer.path, "worker-1")
            try:
                yield store
            finally:
                await store.close()
