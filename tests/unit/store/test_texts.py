"""The index of texts in its files: exact whatever the sizes, sealed, made again when damaged, erased."""

import asyncio
import errno
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from a3mailer.access.labour import Labour
from a3mailer.access.texts import Texts
from a3mailer.config.tree import Settings
from a3mailer.mail.errors import StoreFull
from a3mailer.mail.ids import AccountId
from a3mailer.mail.message import index
from a3mailer.mail.message.searched import Searched, searched
from a3mailer.runtime.clock import SystemClock
from a3mailer.store import operations as op
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.backends.sqlite.texts import find, indexing, volume
from a3mailer.store.backends.sqlite.texts.filters import rows_of
from a3mailer.store.backends.sqlite.texts.grams import BUCKETS, buckets_of
from a3mailer.store.backends.sqlite.texts.shelf import FOLDER, folder_of, read_shelf, volume_in
from a3mailer.store.ports import Store
from a3mailer.store.texts import Sought, Where
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.store.case import World, mail
from a3mailer.testing.store.texts import Indexed, TextRules, agrees, turn
from tests.unit.store.empty import lay_out


async def bring_up_to_date(store: SqliteStore, account: AccountId) -> None:
    work = store.indexing()
    while await work.index(account):
        pass


class TestTexts(TextRules):
    @pytest.fixture
    async def store(self, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Store]:
        store = await SqliteStore.open(lay_out(tmp_path), Settings(), None, clock=clock)
        yield store
        await store.close()

    @pytest.fixture
    def indexed(self, store: SqliteStore) -> Indexed:
        return lambda account: bring_up_to_date(store, account)

    @pytest.mark.parametrize("filtered", [2, 1000])
    async def test_any_texts_in_volumes_of_any_size(
        self, world: World, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, filtered: int
    ) -> None:
        seed = int(os.environ.get("A3_SEED", random.randrange(1 << 32)))
        print("seed", seed)
        draw = random.Random(seed)
        monkeypatch.setattr(volume, "FILTERED", filtered)
        monkeypatch.setattr(volume, "BLOCK", 300)
        monkeypatch.setattr(indexing, "MERGED", 3)
        monkeypatch.setattr(indexing, "FULL", 24)
        mails: dict[int, bytes] = {}
        work = store.indexing()
        for _ in range(12):
            for _ in range(draw.randrange(9)):
                body = "".join(draw.choices("apex 会议纪要rün\n", k=draw.randrange(60)))
                octets = mail(body[:7].replace("\n", " "), body)
                mails[(await world.append(world.alice, octets)).email] = octets
            while await work.index(world.alice, draw.randrange(1, 9)):
                pass
            assert await agrees(world, mails, world.alice) >= max(mails, default=0)
        shelf = read_shelf(folder_of(store._directory, world.alice))
        assert shelf is not None
        assert sum(one.emails for one in shelf.volumes) == len(mails)
        assert len(shelf.volumes) < 3 * 4 + len(mails) // 12

    async def test_nothing_on_disk_is_readable(
        self, world: World, store: SqliteStore, tmp_path: Path
    ) -> None:
        for number in range(300):
            await world.append(world.alice, mail(f"subject{number}", "confidential " * 50 + "geheimnis"))
        await bring_up_to_date(store, world.alice)
        octets = b"".join(path.read_bytes() for path in (tmp_path / FOLDER).rglob("*") if path.is_file())
        assert len(octets) > 1000
        for word in (b"confidential", b"onfidentia", b"geheimnis", b"subject", b"message-id", b"con", b"hei"):
            assert octets.count(word) <= len(octets) >> 20, word

    async def test_a_damaged_volume_is_made_again_and_answers_stay_right(
        self, world: World, store: SqliteStore, tmp_path: Path
    ) -> None:
        mails = {}
        for number in range(6):
            octets = mail(f"subject {number}", f"word{number}")
            mails[int((await world.append(world.alice, octets)).email)] = octets
        folder = folder_of(tmp_path, world.alice)
        texts = Texts(store, world.alice, Labour(SystemClock()))
        for at in (0, 8, 30, 70, -1, None):
            await bring_up_to_date(store, world.alice)
            shelf = read_shelf(folder)
            assert shelf is not None
            path = volume_in(folder, shelf.volumes[0].number)
            octets = path.read_bytes()
            store._volumes.clear()
            if at is None:
                path.write_bytes(octets[: len(octets) // 2])
            else:
                damaged = bytearray(octets)
                damaged[at] ^= 1
                path.write_bytes(damaged)
            (found,) = await texts.matching([Sought(Where.TEXT, "word3")], list(mails))
            assert found == {sorted(mails)[3]}
            assert read_shelf(folder) is None
            assert world.alice in await store.indexing().behind()
        await bring_up_to_date(store, world.alice)
        assert await agrees(world, mails, world.alice)

    async def test_a_volume_of_another_account_says_nothing(
        self, world: World, store: SqliteStore, tmp_path: Path
    ) -> None:
        email = (await world.append(world.alice, mail("s", "apple"))).email
        await world.append(world.bob, mail("s", "pear"))
        await bring_up_to_date(store, world.alice)
        theirs = folder_of(tmp_path, world.bob)
        theirs.parent.mkdir()
        folder_of(tmp_path, world.alice).replace(theirs)
        found = await store.texts_with(world.bob, [Sought(Where.TEXT, "apple")], {int(email)}, turn)
        assert found == ((set(),), 0, frozenset())

    async def test_what_is_gone_is_swept_out(self, world: World, store: SqliteStore, tmp_path: Path) -> None:
        gone = await world.append(world.alice, mail("s", "apple"))
        kept = await world.append(world.alice, mail("s", "apple"))
        work = store.indexing()
        await bring_up_to_date(store, world.alice)
        await world.expunge(world.alice, gone.uid)
        assert await work.sweep(world.alice) == 0  # it can still come back
        assert (await store.text_counts(world.alice)).indexed == 2
        await world.purge()
        assert await work.sweep(world.alice) == 1
        assert (counts := await store.text_counts(world.alice)).indexed == counts.emails == 1
        sought = [Sought(Where.TEXT, "apple")]
        found, *_ = await store.texts_with(world.alice, sought, {gone.email, kept.email}, turn)
        assert found == ({kept.email},)
        assert work.unswept(world.now) == []
        assert work.unswept(world.now + 1) == [world.alice]

    @pytest.mark.parametrize("how", ["erase", "reset", "remove"])
    async def test_erasure_leaves_nothing_at_once(
        self, world: World, store: SqliteStore, tmp_path: Path, how: str
    ) -> None:
        email = (await world.append(world.alice, mail("s", "apple"))).email
        await bring_up_to_date(store, world.alice)
        assert list((tmp_path / FOLDER).rglob("*.volume"))
        operation = {
            "erase": op.EraseEmails(world.alice, (email,)),
            "reset": op.ResetAccount(world.alice),
            "remove": op.RemoveAccount(world.alice, 0),
        }[how]
        await world.do(operation)
        assert not [path for path in (tmp_path / FOLDER).rglob("*") if path.is_file()]
        await bring_up_to_date(store, world.alice)
        assert not list((tmp_path / FOLDER).rglob("*.volume"))

    async def test_what_is_being_indexed_while_it_is_erased_does_not_come_back(
        self, world: World, store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        email = (await world.append(world.alice, mail("s", "apple"))).email
        read = store._blobs.many

        async def erased_meanwhile(account: int, blobs: list[bytes]) -> list[bytes | None]:
            contents = await read(account, blobs)
            await world.erase(world.alice, email)
            return contents

        monkeypatch.setattr(store._blobs, "many", erased_meanwhile)
        await store.indexing().index(world.alice)
        assert not [path for path in (tmp_path / FOLDER).rglob("*") if path.is_file()]

    @pytest.mark.parametrize(
        ("call", "first"),
        [("mkdir", 1), ("write_bytes", 1), ("replace", 1), ("write_bytes", 2), ("replace", 2)],
    )
    async def test_a_full_disk_leaves_nothing_behind_and_the_mails_wait(
        self,
        world: World,
        store: SqliteStore,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        call: str,
        first: int,
    ) -> None:
        """Fails from the first time on (a volume), or from the second (the shelf that would name it)."""
        mails = {}
        for number in range(3):
            octets = mail("s", f"apple {number}")
            mails[int((await world.append(world.alice, octets)).email)] = octets
        real, calls = getattr(Path, call), []

        def fails(path: Path, *arguments: object, **options: object) -> object:
            calls.append(path)
            if len(calls) >= first:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(path, *arguments, **options)

        with monkeypatch.context() as patch, pytest.raises(StoreFull):
            patch.setattr(Path, call, fails)
            await bring_up_to_date(store, world.alice)
        assert not [path for path in (tmp_path / FOLDER).rglob("*") if path.is_file()]
        assert (await store.text_counts(world.alice)).indexed == 0
        assert await agrees(world, mails, world.alice) == 0
        await bring_up_to_date(store, world.alice)
        assert await agrees(world, mails, world.alice) == max(mails)

    async def test_the_reserve_of_the_disk_is_left_to_mail(
        self, world: World, store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        email = (await world.append(world.alice, mail("s", "apple"))).email
        with monkeypatch.context() as patch, pytest.raises(StoreFull):
            patch.setattr(store, "_has_room", lambda: False)
            await store.indexing().index(world.alice)
        texts = Texts(store, world.alice, Labour(SystemClock()))
        assert await texts.matching([Sought(Where.TEXT, "apple")], [email]) == [{email}]
        await bring_up_to_date(store, world.alice)
        assert (await store.text_counts(world.alice)).indexed == 1

    async def test_a_sweep_of_a_full_disk_loses_nothing(
        self, world: World, store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gone, kept = [(await world.append(world.alice, mail("s", "apple"))) for _ in range(2)]
        await bring_up_to_date(store, world.alice)
        await world.expunge(world.alice, gone.uid)
        await world.purge()

        def fails(*_: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch, pytest.raises(StoreFull):
            patch.setattr(Path, "write_bytes", fails)
            await store.indexing().sweep(world.alice)
        found = await store.texts_with(world.alice, [Sought(Where.TEXT, "apple")], {kept.email}, turn)
        assert found.found == ({kept.email},)
        assert await store.indexing().sweep(world.alice) == 1

    async def test_no_descriptor_for_a_volume_is_no_answer_of_the_index(
        self, world: World, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        email = (await world.append(world.alice, mail("s", "apple"))).email
        await bring_up_to_date(store, world.alice)

        def fails(*_: object) -> int:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        with monkeypatch.context() as patch:
            patch.setattr(find, "Volume", fails)
            sought = [Sought(Where.TEXT, "apple")]
            assert await store.texts_with(world.alice, sought, {email}, turn) == ((set(),), 0, frozenset())
            texts = Texts(store, world.alice, Labour(SystemClock()))
            assert await texts.matching(sought, [email]) == [{email}]

    async def test_left_overs_are_swept_away(self, world: World, store: SqliteStore, tmp_path: Path) -> None:
        await world.append(world.alice, mail("s", "apple"))
        await bring_up_to_date(store, world.alice)
        folder = folder_of(tmp_path, world.alice)
        (folder / "7.volume").write_bytes(b"of an indexer that was killed")
        (folder / "8.new").write_bytes(b"of another")
        (tmp_path / FOLDER / "gone-7").mkdir()
        assert await store.indexing().behind() == []
        await store.indexing().sweep(world.alice)
        assert sorted(path.suffix for path in folder.iterdir()) == ["", ".volume"]
        assert not (tmp_path / FOLDER / "gone-7").exists()


@pytest.mark.parametrize("text", ["abc", "ab", "会议", "会", "x会", "会议纪要", "a\x00b", "\U0001f600!"])
def test_filters_and_needles_agree_on_buckets(text: str) -> None:
    for whole in (text, f"before {text} behind", f"{text}{text}", f"会{text}议"):
        rows = rows_of(["other", whole])
        assert len(rows) == BUCKETS
        for bucket in buckets_of(text):
            assert rows[bucket] & 0x40


def test_a_searched_text_comes_back_from_a_volume(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    cipher = AESGCM(bytes(32))
    octets = mail("Grüße", "会议 text")
    entries = [volume.Entry(1, searched(octets, index(octets))), volume.Entry(5, Searched("", ""))]
    volume.write(tmp_path / "1.volume", 7, cipher, entries)
    assert list(volume.Volume(tmp_path / "1.volume", 7, cipher).entries()) == entries


WORKER = """
import asyncio, sys
from pathlib import Path
from a3mailer.config.tree import Settings
from a3mailer.store.backends.sqlite.reading import reading
from a3mailer.store.backends.sqlite.texts import indexing
from a3mailer.runtime.clock import SystemClock
indexing.MERGED = 2

async def work(root, account):
    with reading(root) as mail:
        blobs = mail._blobs
        one = indexing.Indexing(root, mail._read, blobs, blobs._keys, SystemClock(), indexing.nothing)
        print("working", flush=True)
        while await one.index(account, 3):
            pass
        print("done", flush=True)

asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2])))
"""


async def test_an_indexer_killed_at_any_moment_leaves_a_right_index(tmp_path: Path) -> None:
    seed = int(os.environ.get("A3_SEED", random.randrange(1 << 32)))
    print("seed", seed)
    draw = random.Random(seed)
    store = await SqliteStore.open(tmp_path, Settings(), None)
    world = World(store, FakeClock())
    await world.settle_in()
    mails = {}
    for number in range(120):
        octets = mail(f"subject {number}", f"apple {number} pear {number * 7}")
        mails[int((await world.append(world.alice, octets)).email)] = octets
    killed = 0
    for _ in range(12):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORKER, str(tmp_path), str(world.alice), stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None
        await child.stdout.readline()
        await asyncio.sleep(draw.random() * 0.05)
        if child.returncode is None:
            child.send_signal(signal.SIGKILL)
            killed += 1
        await child.wait()
        await agrees(world, mails, world.alice)
    assert killed
    await bring_up_to_date(store, world.alice)
    assert await agrees(world, mails, world.alice) == max(mails)
    await store.indexing().sweep(world.alice)
    shelf = read_shelf(folder_of(tmp_path, world.alice))
    assert shelf is not None
    assert sum(one.emails for one in shelf.volumes) == len(mails)
    await store.close()
