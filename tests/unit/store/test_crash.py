"""Death at every step: what was acknowledged is there once, what was not may be tried again safely.

Attack row 65 for the store: the whole server's harness is ``tests/faults``.
"""

import asyncio
import os
import random
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from a3mailer.config.tree import Settings
from a3mailer.config.tree import Store as StoreSettings
from a3mailer.mail.errors import MailError, TryLater, Uncertain
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import INBOX, AccountId, Uid
from a3mailer.store import operations as op
from a3mailer.store.backends.sqlite import link as link_module
from a3mailer.store.backends.sqlite import store as store_module
from a3mailer.store.backends.sqlite.link import Link
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.ports import Transaction
from a3mailer.testing.store.case import content, mail, settle_in
from tests.unit.store.processes import WriterProcess, die, ended, fork, run_in_child

SETTINGS = Settings(store=StoreSettings(segment_size=1 << 20))
SENDERS = 5


def delivery(account: AccountId, name: str, fingerprint: bytes = b"") -> Transaction:
    octets = mail(name, body=name * 50)
    return Transaction((op.Append(account, INBOX, 0),), (content(octets),), fingerprint=fingerprint)


async def subjects(store: SqliteStore, account: AccountId) -> Counter[str]:
    """The subject of every message, after proving its octets and the counters."""
    box, columns = await store.columns(account, INBOX)
    rows = await store.messages(account, INBOX, [Uid(uid) for uid in columns.uids])
    found = await store.fragments(account, [row.email for row in rows])
    octets = await store.many_octets(account, [row.blob for row in rows])
    assert len(found) == len(rows) == box.messages
    assert octets == [mail(f.subject, body=f.subject * 50) for f in found]
    assert list(columns.uids) == sorted(set(columns.uids))
    assert all(uid < box.uid_next for uid in columns.uids)
    return Counter(f.subject for f in found)


async def deliver_all(
    store: SqliteStore, account: AccountId, names: list[str], acknowledged: set[str]
) -> None:
    """One sender: each mail until it is acknowledged."""
    for name in names:
        while name not in acknowledged:
            try:
                await store.commit(delivery(account, name))
                acknowledged.add(name)
            except Uncertain:
                raise AssertionError("the writer came back in time") from None
            except TryLater:
                await asyncio.sleep(0.01)


async def test_a_writer_that_is_killed_again_and_again(tmp_path: Path, rng: random.Random) -> None:
    with WriterProcess(tmp_path, SETTINGS) as writer:
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        other = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        account = await settle_in(store)
        acknowledged: set[str] = set()
        everything = [[f"mail {sender}-{n}" for n in range(60)] for sender in range(SENDERS)]

        async def kills() -> None:
            for _ in range(8):
                await asyncio.sleep(rng.uniform(0.005, 0.06))
                await asyncio.to_thread(writer.restart)

        async with asyncio.TaskGroup() as group:
            group.create_task(kills())
            for sender, names in enumerate(everything):
                mine = store if sender % 2 else other
                group.create_task(deliver_all(mine, account, names, acknowledged))
        wanted = Counter(name for names in everything for name in names)
        assert await subjects(store, account) == wanted
        assert await subjects(other, account) == wanted
        await store.close()
        await other.close()


@pytest.mark.timeout(300)
async def test_a_writer_that_dies_before_each_statement(tmp_path: Path) -> None:
    """One delivery and one change of flags, the writer dying at every step of both, for all steps."""
    with WriterProcess(tmp_path, SETTINGS) as writer:
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        account = await settle_in(store)
        steps = 0
        survived = False
        while not survived:
            steps += 1
            writer.kill()
            writer.start(die_at=steps)
            survived = await _deliver_through_death(store, account, writer, steps)
        writer.restart()
        assert steps > 20, "the writer takes more steps than that"
        assert await subjects(store, account) == Counter(f"step {n}" for n in range(1, steps + 1))
        _, columns = await store.columns(account, INBOX)
        assert set(columns.flags) == {SEEN}
        await store.close()


async def _deliver_through_death(
    store: SqliteStore, account: AccountId, writer: WriterProcess, step: int
) -> bool:
    """Whether the writer lived through one delivery and one change of flags."""
    died = asyncio.Event()

    async def replace_when_dead() -> None:
        while not died.is_set():
            if await asyncio.to_thread(_is_dead, writer):
                writer.start()
                died.set()
            await asyncio.sleep(0.005)

    async def work() -> None:
        (done,) = await store.commit(delivery(account, f"step {step}"))
        assert isinstance(done, op.Appended)
        (flagged,) = await store.commit(Transaction((op.StoreFlags(account, INBOX, (done.uid,), "+", SEEN),)))
        assert isinstance(flagged, op.Flagged)
        assert flagged.changed == (done.uid,), "done once, not twice"

    async with asyncio.TaskGroup() as group:
        watch = group.create_task(replace_when_dead())
        await work()
        await asyncio.sleep(0.1)  # an Acknowledge and a round without work are steps too
        lived = not died.is_set()
        died.set()
        await watch
    return lived


def _is_dead(writer: WriterProcess) -> bool:
    import os

    pid, _ = os.waitpid(writer.pid, os.WNOHANG)
    return pid != 0


async def test_a_writer_that_stays_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "RETURN_SECONDS", 0.4)
    with WriterProcess(tmp_path, SETTINGS) as writer:
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        account = await settle_in(store)
        writer.kill()
        with pytest.raises(TryLater):
            await store.commit(delivery(account, "late", b"f" * 16))
        with pytest.raises(TryLater):
            await store.commit(delivery(account, "later"))
        assert await store.mailboxes(account), "reading goes on"
        writer.start()
        await _until_done(store, delivery(account, "late", b"f" * 16))
        assert await subjects(store, account) == Counter(["late"])
        await store.close()


async def _until_done(store: SqliteStore, transaction: Transaction) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await store.commit(transaction)
            except MailError:
                await asyncio.sleep(0.02)
            else:
                return


async def test_what_a_stopped_writer_did_is_found_by_the_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer commits and dies before it answers, and is away too long: the caller hears Uncertain."""
    monkeypatch.setattr(link_module, "RETURN_SECONDS", 0.3)
    with WriterProcess(tmp_path, SETTINGS) as writer:
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        account = await settle_in(store)
        monkeypatch.setattr(store._link, "_use", lambda outcomes: None)  # the answer is lost
        with pytest.raises(Uncertain):
            async with asyncio.TaskGroup() as group:
                group.create_task(_kill_after(writer, 0.15))
                try:
                    await store.commit(delivery(account, "uncertain", b"u" * 16))
                except Uncertain as error:
                    raised = error
            raise raised
        monkeypatch.undo()
        writer.start()
        await _until_done(store, delivery(account, "uncertain", b"u" * 16))
        await _until_done(store, delivery(account, "certain", b"c" * 16))
        assert await subjects(store, account) == Counter(["uncertain", "certain"])
        await store.close()


async def _kill_after(writer: WriterProcess, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await asyncio.to_thread(writer.kill)


# --- a worker dies ---------------------------------------------------------------------------------------


def _at(name: str, before: bool) -> Callable[[], None]:
    """Make the worker die before or after a step of its link."""

    def arm() -> None:
        original = getattr(Link, name)

        def step(self: Link, *args: object) -> object:
            if before:
                die()
            result = original(self, *args)
            die()
            return result

        setattr(Link, name, step)

    return arm


@pytest.mark.parametrize(
    ("step", "before", "copies"),
    [
        ("_synced", True, 1),  # contents written, nothing handed over
        ("_send", True, 1),
        ("_send", False, 1),  # handed over, no answer seen
        ("_use", True, 1),  # the answer arrived, nobody was told
        ("_use", False, 1),  # told, and the task that waits did not run
        ("_acknowledge", False, 2),  # told and said so: the same again is another mail
    ],
)
async def test_a_worker_that_dies(tmp_path: Path, step: str, before: bool, copies: int) -> None:
    """The client tries the same mail again with another worker."""
    with WriterProcess(tmp_path, SETTINGS) as writer:
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        account = await settle_in(store)
        first = delivery(account, "again", b"f" * 16)

        async def worker() -> None:
            mine = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
            if step == "_synced":
                store_module.CARRIED_MOST = 0  # type: ignore[misc]  # as a large one, written by the worker
            _at(step, before)()
            await mine.commit(first)
            await asyncio.sleep(1)

        assert run_in_child(worker) == -9
        await store.commit(first)
        assert await subjects(store, account) == Counter({"again": copies})
        await store.commit(first)
        assert await subjects(store, account) == Counter({"again": copies + 1}), "a receipt is used once"
        await store.close()


async def test_a_client_hears_of_a_death_before_the_writer_does(tmp_path: Path) -> None:
    """The kernel closes the descriptors of a dead process one by one, the last opened first: a client was
    back with the same mail before the writer saw the end of the worker's connection (1 in 228,000 mails)."""
    with WriterProcess(tmp_path, SETTINGS) as writer:
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        account = await settle_in(store)
        first = delivery(account, "again", b"f" * 16)
        client, server = socket.socketpair()

        async def worker() -> None:
            client.close()
            mine = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
            others = [os.eventfd(0) for _ in range(2000)]
            last = os.dup(server.fileno())
            server.close()
            assert last > max(others)
            _at("_use", before=True)()
            await mine.commit(first)

        pid = fork(lambda: asyncio.run(worker()))
        server.close()
        client.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(client, 1) == b"", "the client lost its connection"
        await store.commit(first)
        assert ended(pid) == -9
        client.close()
        assert await subjects(store, account) == Counter({"again": 1})
        await store.close()


async def test_everything_dies_at_once(tmp_path: Path) -> None:
    """Worker and writer: the next writer makes receipts of what the dead worker may not have told."""
    with WriterProcess(tmp_path, SETTINGS) as writer:
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        account = await settle_in(store)
        await store.close()
        first = delivery(account, "again", b"f" * 16)

        async def worker() -> None:
            mine = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
            _at("_use", before=True)()
            await mine.commit(first)

        assert run_in_child(worker) == -9
        writer.restart()
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        await store.commit(first)
        await store.commit(delivery(account, "other", b"o" * 16))
        assert await subjects(store, account) == Counter(["again", "other"])
        await store.close()


async def test_a_failed_delivery_leaves_no_receipt(tmp_path: Path) -> None:
    with WriterProcess(tmp_path, SETTINGS) as writer:
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        account = await settle_in(store)
        bad = Transaction(
            (op.Append(AccountId(77), INBOX, 0),), (content(mail("again")),), fingerprint=b"f" * 16
        )

        async def worker() -> None:
            mine = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
            _at("_use", before=True)()
            await mine.commit(bad)

        assert run_in_child(worker) == -9
        await store.commit(delivery(account, "again", b"f" * 16))
        assert await subjects(store, account) == Counter(["again"])
        await store.close()


async def test_workers_killed_under_load(tmp_path: Path, rng: random.Random) -> None:
    """Senders that try again with the same fingerprint until a worker says yes: each mail once."""
    with WriterProcess(tmp_path, SETTINGS) as writer:
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        account = await settle_in(store)
        names = [f"mail {n}" for n in range(120)]
        told = tmp_path / "told"
        told.touch()
        for _ in range(6):
            left = [n for n in names if n not in told.read_text().split("\n")]
            lifetime = rng.uniform(0.02, 0.12)

            async def worker(left: list[str] = left, lifetime: float = lifetime) -> None:
                mine = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
                asyncio.get_running_loop().call_later(lifetime, die)

                async def send(part: list[str]) -> None:
                    for name in part:
                        await mine.commit(delivery(account, name, name.encode().ljust(16)))
                        with told.open("a") as file:  # the client has its 250
                            file.write(name + "\n")

                async with asyncio.TaskGroup() as group:
                    for sender in range(4):
                        group.create_task(send(left[sender::4]))
                die()

            assert run_in_child(worker) == -9
        for name in names:
            if name not in told.read_text().split("\n"):
                await store.commit(delivery(account, name, name.encode().ljust(16)))
        assert await subjects(store, account) == Counter(names)
        await store.close()


def test_fork_reports_failure() -> None:
    from tests.unit.store.processes import ended

    def fails() -> None:
        raise SystemExit(3)

    assert ended(fork(fails)) == 1
