"""Whatever is done to a store, it keeps its own accounts, and says what the reference backend says.

A failing history of the reference is shrunk. Of a backend on a disk it is not, that would take hours; but
everything is compared after every act, so the last one printed is the one that went wrong.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from a3mailer.config.tree import Settings
from a3mailer.config.tree import Store as StoreSettings
from a3mailer.mail.errors import MailError, NoSuchAccount
from a3mailer.mail.flags import DELETED, SEEN
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, AccountId, QueueId
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.backends.sqlite.upkeep import SqliteUpkeep
from a3mailer.store.ports import Store, Transaction
from a3mailer.store.upkeep import silent
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.store.case import content
from a3mailer.testing.store.picture import Picture, picture
from tests.property.store_acts import (
    CONTENTS,
    Act,
    Pass,
    contents_of,
    histories,
    named,
    renamed,
    separate,
    used,
)
from tests.unit.store.empty import lay_out

Backend = Callable[[FakeClock], AbstractAsyncContextManager[Store]]
MADE: Final = tuple(content(octets) for octets in CONTENTS)
SMALL_SEGMENTS: Final = Settings(store=StoreSettings(segment_size=1 << 20))


@asynccontextmanager
async def memory(clock: FakeClock) -> AsyncIterator[Store]:
    store = MemoryStore(clock)
    yield store
    await store.close()


class Subject:
    """One backend under a history."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.entries: list[QueueId] = []
        self.seen: dict[tuple[int, int, int, int], int] = {}
        """(account, mailbox, uid validity, uid) -> email: never another one."""

    async def begin(self) -> None:
        first = (
            op.PutTenant(DEFAULT_TENANT, "default"),
            op.PutDomain(DEFAULT_TENANT, "a.test"),
            op.CreateAccount(DEFAULT_TENANT, "alice@a.test"),
            op.CreateAccount(DEFAULT_TENANT, "bob@a.test"),
        )
        mails = tuple(op.Append(AccountId(1), INBOX, n % len(MADE), n) for n in range(8))
        await self.store.commit(Transaction(first))
        await self.store.commit(Transaction(mails, MADE))

    async def act(self, act: Act) -> object:
        """What became of it, in words that compare."""
        if isinstance(act, Pass):
            self.clock.jump(act.seconds) if act.jump else self.clock.advance(act.seconds)
            return None
        now = int(self.clock.now())
        operations = tuple(named(operation, now, self.entries) for operation in used(act))
        contents = tuple(MADE[number] for number in contents_of(act))
        try:
            results = await self.store.commit(Transaction(operations, contents))
        except MailError as error:
            return type(error)
        return tuple(renamed(result, self.entries) for result in results)

    async def picture(self) -> Picture:
        found = await picture(self.store, self.entries.index)
        self._check(found)
        return found

    def _check(self, found: Picture) -> None:
        for account in [value for name, value in found.items() if name.startswith("account ")]:
            boxes = [value for name, value in account.items() if name.startswith("mailbox ")]
            for box in boxes:
                self._check_mailbox(box, account["account"].modseq)
            row = account["account"]
            assert row.used_messages == sum(box["row"].messages for box in boxes)
            assert row.used_octets == sum(box["row"].octets for box in boxes)
            held = {m["email"] for box in boxes for m in box["messages"]} | {
                m["email"] for m in account["vault"]
            }
            assert [f["email"] for f in account["emails"]] == sorted(held), "what is held is readable"
            assert all(f["blob"] != "gone" for f in account["emails"])

    def _check_mailbox(self, box: dict[str, Any], modseq: int) -> None:
        row, messages = box["row"], box["messages"]
        uids, flags, keywords, modseqs, emails, sizes = box["columns"]
        assert uids == sorted(set(uids)) == [m["uid"] for m in messages]
        assert all(uid < row.uid_next for uid in [*uids, *box["vanished"]])
        assert not set(uids) & set(box["vanished"])
        assert max(modseqs, default=0) <= row.modseq <= modseq
        assert (row.messages, row.octets) == (len(uids), sum(sizes))
        assert row.unseen == sum(not f & SEEN for f in flags)
        assert row.deleted == sum(bool(f & DELETED) for f in flags)
        assert {word for text in keywords.values() for word in text.split()} <= set(row.keywords)
        assert box["changed"] == box["columns"]
        for uid, email in zip(uids, emails, strict=True):
            place = (row.account, row.id, row.uid_validity, uid)
            assert self.seen.setdefault(place, email) == email, "a uid names one message for ever"


def same(result: object, other: object) -> bool:
    """Equal; of an account that is gone a backend may say so first, or what else is wrong."""
    wrong = [isinstance(each, type) for each in (result, other)]
    return result == other or (all(wrong) and NoSuchAccount in (result, other))


def differences(found: object, expected: object, at: str = "") -> list[str]:
    """Where two pictures differ."""
    if isinstance(found, dict) and isinstance(expected, dict) and found.keys() == expected.keys():
        return [line for key in found for line in differences(found[key], expected[key], f"{at}/{key}")]
    if isinstance(found, list | tuple) and isinstance(expected, list | tuple) and len(found) == len(expected):
        pairs = enumerate(zip(found, expected, strict=True))
        return [line for n, pair in pairs for line in differences(*pair, f"{at}/{n}")]
    return [] if found == expected else [f"{at}: {found} and not {expected}"]


async def run(acts: list[Act], *backends: Backend) -> None:
    """Live through a history on each backend; all say the same at every step."""
    clocks = [FakeClock() for _ in backends]
    async with _all(backends, clocks) as stores:
        subjects = [Subject(store, clock) for store, clock in zip(stores, clocks, strict=True)]
        for subject in subjects:
            await subject.begin()
        pieces = [piece for act in acts for piece in separate(act)]
        for number, act in enumerate(pieces):
            first, *others = [await subject.act(act) for subject in subjects]
            for other in others:
                assert same(other, first), f"act {number}: {act}"
            if number % 5 == 4 or number == len(pieces) - 1:
                before, *rest = [await subject.picture() for subject in subjects]
                for after in rest:
                    assert after == before, f"after act {number}: {act}: {differences(after, before)[:5]}"


@asynccontextmanager
async def _all(backends: tuple[Backend, ...], clocks: list[FakeClock]) -> AsyncIterator[list[Store]]:
    if not backends:
        yield []
        return
    async with backends[0](clocks[0]) as store, _all(backends[1:], clocks[1:]) as others:
        yield [store, *others]


@asynccontextmanager
async def sqlite(clock: FakeClock) -> AsyncIterator[Store]:
    """With small segments; what a history leaves behind must please the doctor."""
    with tempfile.TemporaryDirectory() as folder:
        store = await SqliteStore.open(lay_out(Path(folder)), SMALL_SEGMENTS, None, clock=clock)
        yield store
        await store.compact(1.0, 0.0)
        await store.close()
        upkeep = SqliteUpkeep(Path(folder), clock)
        found = await asyncio.to_thread(lambda: list(upkeep.inspect(True, silent)))
        assert found == []


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories)
def test_the_reference_keeps_its_own_accounts(acts: list[Act]) -> None:
    asyncio.run(run(acts, memory))


quickly = settings(
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)


@settings(quickly, max_examples=40)
@given(histories)
def test_sqlite_says_what_the_reference_says(acts: list[Act]) -> None:
    asyncio.run(run(acts, memory, sqlite))


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(quickly, max_examples=2000)
@given(histories)
def test_sqlite_says_what_the_reference_says_for_long(acts: list[Act]) -> None:
    asyncio.run(run(acts, memory, sqlite))
