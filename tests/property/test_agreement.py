"""IMAP, POP3 and JMAP sessions on one account, and the store below them, agree with a model after every act.

Some of the IMAP sessions are another person's, with whom two mailboxes are shared and who has one of his own.

That it can fail was tried, fifteen lines changed one at a time, each red within eight histories: EXPUNGE in
ascending order, or inside FETCH; EXISTS too late; VANISHED (EARLIER) or FETCH after QRESYNC without its
first; CLOSE that keeps; MODIFIED, APPENDUID, COPYUID or STATUS wrong; SEARCH by old flags; CHANGEDSINCE short
of one; an IDLE nobody wakes; \\Seen without its MODSEQ; .SILENT that hides what others had done.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final
from unittest import mock

import pytest

from a3mailer.access import view
from a3mailer.config.tree import Settings
from a3mailer.config.tree import Store as StoreSettings
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.ports import Store
from a3mailer.testing.clock import FakeClock
from tests.property import agreement_imap, agreement_jmap, agreement_pop
from tests.property.agreement import Stage
from tests.property.agreement_acts import Act, History, history, shorter
from tests.unit.store.empty import lay_out

ACTS: Final = {**agreement_imap.ACTS, **agreement_pop.ACTS, **agreement_jmap.ACTS}
Backend = Callable[[FakeClock, Path], AbstractAsyncContextManager[Store]]
SMALL_SEGMENTS: Final = Settings(store=StoreSettings(segment_size=1 << 20))
LARGE: Final = ("condstore", "rev2")
"""What the first client enables in these histories."""
SESSIONS: Final = 200
"""At least so many in a run of CI."""


@asynccontextmanager
async def memory(clock: FakeClock, folder: Path) -> AsyncIterator[Store]:
    store = MemoryStore(clock)
    yield store
    await store.close()


@asynccontextmanager
async def sqlite(clock: FakeClock, folder: Path) -> AsyncIterator[Store]:
    store = await SqliteStore.open(lay_out(folder / "store"), SMALL_SEGMENTS, None, clock=clock)
    yield store
    await store.close()


async def play(history: History, backend: Backend) -> int:
    """Live through a history; how many sessions it had. In some, mailboxes open as large ones do."""
    kinds, acts = history
    with mock.patch.object(view, "READ_AT_ONCE", -1 if kinds[0] in LARGE else view.READ_AT_ONCE):
        return await _play(kinds, acts, backend)


async def _play(kinds: tuple[str, ...], acts: list[Act], backend: Backend) -> int:
    clock = FakeClock()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        async with backend(clock, folder) as store:
            stage = Stage(store, clock, folder, ACTS)
            try:
                async with stage.connections:
                    await stage.begin(kinds)
                    for act in acts:
                        await stage.act(act)
                    await stage.finish()
            finally:
                stage.close()
    return stage.sessions


def failure(history: History, backend: Backend) -> BaseException | None:
    """Why the witnesses disagree after this history."""
    try:
        asyncio.run(play(history, backend))
    except BaseExceptionGroup as error:
        return error.exceptions[0]
    return None


def agree(seed: int, backend: Backend, histories: int) -> None:
    """So many histories of this seed; one that fails is made short before it is shown."""
    sessions = 0
    for number in range(histories):
        found = history(random.Random(f"{seed} {number}"))
        try:
            sessions += asyncio.run(play(found, backend))
        except BaseExceptionGroup:
            short = shorter(found, lambda one: failure(one, backend) is not None)
            reason = failure(short, backend)
            raise AssertionError(f"history {number} of seed {seed}: {short}") from reason
    print(f"{sessions} sessions")
    assert sessions >= SESSIONS


def test_sessions_on_the_reference_agree(seed: int) -> None:
    agree(seed, memory, 50)


def test_sessions_on_sqlite_agree(seed: int) -> None:
    agree(seed, sqlite, 30)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("backend", [memory, sqlite])
def test_sessions_agree_for_long(seed: int, backend: Backend) -> None:
    agree(seed, backend, 5000)
