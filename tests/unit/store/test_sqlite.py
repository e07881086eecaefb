"""The SQLite backend keeps every rule of the doors: alone, with its own writer process, and stored plain."""

from bisect import bisect_left
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from a3mailer.config.tree import Settings
from a3mailer.config.tree import Store as StoreSettings
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import INBOX
from a3mailer.store.backends.sqlite import read_mail, read_preceding
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.ports import Store
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.mailstore import MailStoreCompliance
from a3mailer.testing.store.case import World
from tests.unit.store.empty import lay_out

SMALL = 1 << 20


class TestAlone(MailStoreCompliance):
    @pytest.fixture
    async def store(self, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Store]:
        settings = Settings(store=StoreSettings(segment_size=SMALL))
        store = await SqliteStore.open(lay_out(tmp_path), settings, None, clock=clock)
        yield store
        await store.close()

    async def test_the_first_unseen_is_looked_for_at_both_ends(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(read_mail, "LOOKED_THROUGH", 2)
        await world.fill(world.alice, 7)
        for seen, place in ((1, 1), (2, -1), (3, -1), (4, -1), (5, 5), (6, 6), (7, -1)):
            done = await world.flag(world.alice, (seen,), "+", SEEN)
            assert await world.store.first_unseen(world.alice, INBOX) == (done.modseq, place)

    @pytest.mark.parametrize(("few", "at_once"), [(0, 3), (0, 100), (4, 2), (100, 100)])
    async def test_where_messages_stand_is_counted(
        self, world: World, monkeypatch: pytest.MonkeyPatch, few: int, at_once: int
    ) -> None:
        monkeypatch.setattr(read_preceding, "FEW", few)
        monkeypatch.setattr(read_preceding, "COUNTED_AT_ONCE", at_once)
        await world.fill(world.alice, 20)
        last = await world.expunge(world.alice, 2, 3, 9, 17)
        _, columns = await world.store.columns(world.alice, INBOX)
        for wanted in (tuple(range(1, 22)), (10,), (1, 20), (2, 3, 17)):
            places = [bisect_left(columns.uids, uid) for uid in wanted]
            assert await world.store.preceding(world.alice, INBOX, wanted) == (last.modseq, places)


class TestPlain(MailStoreCompliance):
    @pytest.fixture
    async def store(self, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Store]:
        settings = Settings(store=StoreSettings(segment_size=SMALL, encryption=False, compression=False))
        store = await SqliteStore.open(lay_out(tmp_path), settings, None, clock=clock)
        yield store
        await store.close()
