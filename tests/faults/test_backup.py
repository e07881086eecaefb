"""Backup and restore: everything comes back elsewhere with the recovery key, and nothing without it."""

from __future__ import annotations

import asyncio
import hashlib
import io
from pathlib import Path

import pytest

from a3mailer.config.tree import Settings
from a3mailer.config.tree import Store as StoreSettings
from a3mailer.keys.recovery import make_recovery, read_recovery
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, ModSeq, Uid
from a3mailer.mail.message import index
from a3mailer.ops.backup import Made, Restored, backup, restore, verify, write_backup
from a3mailer.ops.sealed import BadBackup, SealedWriter
from a3mailer.store import operations as op
from a3mailer.store.backends.sqlite.segments import HEADER, segment_path
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.backends.sqlite.upkeep import SqliteUpkeep
from a3mailer.store.ports import Content, Store, Transaction
from a3mailer.store.upkeep import Finding, Unfit, silent
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.store.picture import Picture, picture
from tests.faults import damaged
from tests.faults.damaged import ALICE, copy_of, examine, execute, flip, kinds, mail, segments

PRINTED, PUBLIC = make_recovery()
SECRET = read_recovery(PRINTED)
PLAIN = Settings(store=StoreSettings(segment_size=1 << 20, encryption=False, compression=False))
LATER = 400 * 86_400


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = damaged.make(tmp_path_factory.mktemp("backup") / "whole")
    (place / "keys/recovery.pub").write_bytes(PUBLIC)
    (place / "conf.d").mkdir()
    (place / "a3mailer.toml").write_text("[server]\n")
    (place / "conf.d/x.toml").write_text("")
    (place / "tls").mkdir()
    (place / "tls/key.pem").write_text("secret of TLS")
    (place / "tls/key.pem").chmod(0o600)
    (place / "spool").mkdir()
    (place / "spool/123").write_text("in transit")
    return place


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> Path:
    return copy_of(whole, tmp_path / "place")


def upkeep_of(place: Path) -> SqliteUpkeep:
    clock = FakeClock()
    clock.advance(LATER)
    return SqliteUpkeep(place, clock)


def back_up(place: Path, target: Path) -> Made:
    return backup(upkeep_of(place), place, target, silent)


def bring_back(source: Path, place: Path, secret: bytes | None = SECRET) -> Restored:
    return restore(upkeep_of, source, place, secret, silent)


def prove(source: Path, secret: bytes | None = SECRET) -> Restored:
    return verify(upkeep_of, source, secret, silent)


async def _picture(place: Path) -> Picture:
    store = await damaged.open_store(place)
    try:
        return await picture(store)
    finally:
        await store.close()


def seen(place: Path) -> Picture:
    """What the readers say of a place, without what a restore makes new."""
    found = asyncio.run(_picture(place))
    for name in ("account 1", "account 2"):
        row = found[name].pop("account")
        found[name]["whole"], _, _ = found[name]["whole"]
        found[name]["usage"] = (row.address, row.used_octets, row.used_messages, row.epoch, row.quota)
        for key in [key for key in found[name] if key.startswith("mailbox ")]:
            box = found[name][key]
            row = box.pop("row")
            box["readers"] = [(row.unseen, columns) for row, columns, *_ in box["readers"]]
            del box["complete"], box["since the middle"]
            box["named"] = (row.name, row.messages, row.unseen, row.deleted, row.uid_next, row.keywords)
    for entry in found["queue"]:
        assert entry.pop("held") in (True, False)
    return found


def test_everything_comes_back_elsewhere(place: Path, tmp_path: Path) -> None:
    made = back_up(place, tmp_path / "backup")
    assert (made.sealed, made.copied.damaged) == (True, ())
    assert made.copied.contents == execute(place, "SELECT count(*) FROM blobs")[0][0]
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
    assert made.size == (tmp_path / "backup").stat().st_size
    assert prove(tmp_path / "backup").findings == ()
    there = tmp_path / "elsewhere" / "there"
    assert bring_back(tmp_path / "backup", there).findings == ()
    assert examine(there, deep=True) == []
    assert seen(there) == seen(place)
    names = {p.relative_to(place).as_posix(): p for p in place.rglob("*") if p.is_file()}
    for name in ("a3mailer.toml", "conf.d/x.toml", "tls/key.pem", "keys/kek", "keys/recovery.pub"):
        assert (there / name).read_bytes() == names[name].read_bytes()
        assert (there / name).stat().st_mode == names[name].stat().st_mode
    assert not (there / "spool").exists()
    assert not list((place / "run").glob("copy-*"))


def test_a_restored_store_is_another_to_clients(place: Path, tmp_path: Path) -> None:
    back_up(place, tmp_path / "backup")
    there = tmp_path / "there"
    bring_back(tmp_path / "backup", there)
    old, new = asyncio.run(_picture(place)), asyncio.run(_picture(there))
    for account in ("account 1", "account 2"):
        boxes = [key for key in old[account] if key.startswith("mailbox ")]
        before = [old[account][key]["row"].uid_validity for key in boxes]
        after = [new[account][key]["row"].uid_validity for key in boxes]
        assert len(set(after)) == len(after)
        assert min(after) > max(before)
        assert new[account]["account"].modseq > old[account]["account"].modseq + 1_000_000
        assert not any(changes.complete for changes in new[account]["whole"][2])
    assert [entry["held"] for entry in new["queue"]] == [True]
    asyncio.run(_goes_on(there, old))
    assert examine(there, deep=True) == []


async def _goes_on(there: Path, old: Picture) -> None:
    """New ids are far above any that may have been given after the backup; old states get no delta."""
    clock = FakeClock()
    clock.advance(LATER)
    store: Store = await SqliteStore.open(there, damaged.SETTINGS, None, clock=clock)
    try:
        made = (Content(mail(99), index(mail(99))),)
        carol = (op.QueueRecipient("carol@b.test"),)
        results = await store.commit(
            Transaction(
                (
                    op.Append(ALICE, INBOX, 0),
                    op.CreateMailbox(ALICE, "New"),
                    op.CreateAccount(DEFAULT_TENANT, "new@a.test"),
                    op.Enqueue(ALICE, DEFAULT_TENANT, 0, "", carol),
                ),
                made,
            )
        )
        appended, box, account, entry = results
        assert isinstance(appended, op.Appended)
        assert isinstance(box, op.MailboxCreated)
        assert isinstance(account, op.AccountCreated)
        assert isinstance(entry, op.Enqueued)
        assert min(appended.email, box.mailbox, account.account, entry.queue & 0xFFFFFFFF) > 100_000
        assert appended.uid == old["account 1"]["mailbox 1"]["row"].uid_next
        state = old["account 1"]["account"].modseq
        assert not (await store.changes(ALICE, INBOX, ModSeq(state + 1000))).complete
        assert (await store.changes(ALICE, INBOX, ModSeq(appended.modseq))).complete
        assert await store.octets(ALICE, (await store.messages(ALICE, INBOX, [Uid(1)]))[0].blob) == mail(0)
    finally:
        await store.close()


def test_a_stolen_backup_is_useless(place: Path, tmp_path: Path) -> None:
    back_up(place, tmp_path / "backup")
    octets = (tmp_path / "backup").read_bytes()
    for secret in (b"alice@a.test", b"mail 3", b"secret of TLS", (place / "keys/kek").read_bytes()[40:80]):
        assert secret not in octets
    for wrong in (None, read_recovery(make_recovery()[0])):
        with pytest.raises(BadBackup):
            bring_back(tmp_path / "backup", tmp_path / "there", wrong)
        assert not (tmp_path / "there").exists()
    assert prove(tmp_path / "backup", None) == Restored(0, (), opened=False)


def test_an_unsealed_backup_holds_no_keys(place: Path, tmp_path: Path) -> None:
    (place / "keys/recovery.pub").unlink()
    assert not back_up(place, tmp_path / "backup").sealed
    assert prove(tmp_path / "backup", None).findings == ()
    assert (place / "keys/kek").read_bytes()[40:80] not in (tmp_path / "backup").read_bytes()
    found = bring_back(tmp_path / "backup", tmp_path / "there", None)
    assert [f.kind for f in found.findings] == ["key-file-missing"]
    assert not (tmp_path / "there/keys").exists()
    assert not (tmp_path / "there/tls").exists()
    (tmp_path / "there/keys").mkdir()
    (tmp_path / "there/keys/kek").write_bytes((place / "keys/kek").read_bytes())
    (tmp_path / "there/keys/kek").chmod(0o400)
    assert examine(tmp_path / "there", deep=True) == []


def test_it_is_made_of_one_commit_while_the_store_goes_on(place: Path, tmp_path: Path) -> None:
    asyncio.run(_while_it_goes_on(place, tmp_path / "backup"))
    there = tmp_path / "there"
    assert bring_back(tmp_path / "backup", there).findings == ()
    assert examine(there, deep=True) == []
    found = asyncio.run(_picture(there))
    audited = {row.action for row in found["audit"]} - {"test"}
    uids = found["account 1"]["mailbox 1"]["columns"][0]
    assert len(audited) == len([uid for uid in uids if uid > damaged.MAILS]) > 0, "both of each transaction"


async def _while_it_goes_on(place: Path, target: Path) -> None:
    store = await damaged.open_store(place)
    done = asyncio.Event()
    counts = {"written": 0}

    async def write() -> None:
        while not done.is_set():
            number = 1000 + counts["written"]
            made = (Content(mail(number), index(mail(number))),)
            record = op.Audit(DEFAULT_TENANT, "alice", f"act {number}", "x", "done")
            await store.commit(Transaction((op.Append(ALICE, INBOX, 0), record), made))
            counts["written"] += 1

    async def back() -> None:
        while counts["written"] < 5:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(back_up, place, target)
        before = counts["written"]
        while counts["written"] < before + 2:
            await asyncio.sleep(0.01)
        done.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        group.create_task(back())
    await store.close()


def test_a_damaged_mail_is_named_and_stops_nothing(place: Path, tmp_path: Path) -> None:
    where = "SELECT segment, offset, blob FROM blobs ORDER BY offset LIMIT 1 OFFSET 8"
    ((segment, offset, blob),) = execute(place, where)
    flip(segment_path(place / "segments", segment), offset + HEADER + 30)
    made = back_up(place, tmp_path / "backup")
    assert made.copied.damaged == (
        Finding("record-damaged", f"content {blob.hex()}", made.copied.damaged[0].text),
    )
    assert kinds(list(prove(tmp_path / "backup").findings)) == {"record-damaged"}
    found = bring_back(tmp_path / "backup", tmp_path / "there")
    assert [f.kind for f in found.findings] == ["record-damaged"]
    before, after = (asyncio.run(damaged.readable(p)) for p in (place, tmp_path / "there"))
    assert before == after
    assert list(after.values()).count(None) in (1, 2)


def test_a_lost_segment_leaves_the_rest(place: Path, tmp_path: Path) -> None:
    lost = segments(place)[0]
    lost.unlink()
    count = execute(place, "SELECT count(*) FROM blobs WHERE segment = ?", int(lost.stem, 16))[0][0]
    assert len(back_up(place, tmp_path / "backup").copied.damaged) == count
    assert kinds(list(prove(tmp_path / "backup").findings)) == {"content-missing"}
    assert kinds(list(bring_back(tmp_path / "backup", tmp_path / "there").findings)) == {"content-missing"}


def test_every_thousandth_octet_of_a_backup(place: Path, tmp_path: Path) -> None:
    back_up(place, tmp_path / "backup")
    file = tmp_path / "backup"
    for at in range(0, file.stat().st_size, 5000):
        flip(file, at)
        for secret in (SECRET, None):
            with pytest.raises(BadBackup):
                prove(file, secret)
        with pytest.raises((BadBackup, Unfit)):
            bring_back(file, tmp_path / "there")
        assert not (tmp_path / "there").exists()
        flip(file, at)
    assert not [p for p in tmp_path.iterdir() if ".restore-" in p.name]


def test_a_cut_backup_leaves_nothing(place: Path, tmp_path: Path) -> None:
    back_up(place, tmp_path / "backup")
    octets = (tmp_path / "backup").read_bytes()
    for end in (0, 10, 100, len(octets) // 2, len(octets) - 40, len(octets) - 1):
        (tmp_path / "cut").write_bytes(octets[:end])
        with pytest.raises(BadBackup):
            bring_back(tmp_path / "cut", tmp_path / "there")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["backup", "cut", "place"]


def test_nothing_is_overwritten(place: Path, tmp_path: Path) -> None:
    back_up(place, tmp_path / "backup")
    digest = hashlib.sha256((tmp_path / "backup").read_bytes()).digest()
    with pytest.raises(FileExistsError):
        back_up(place, tmp_path / "backup")
    assert hashlib.sha256((tmp_path / "backup").read_bytes()).digest() == digest
    with pytest.raises(FileExistsError):
        bring_back(tmp_path / "backup", place)
    (tmp_path / "empty").mkdir()
    assert bring_back(tmp_path / "backup", tmp_path / "empty").findings == ()


def test_a_backup_that_fails_leaves_nothing(place: Path, tmp_path: Path) -> None:
    (place / "keys/recovery.pub").write_bytes(b"short")
    with pytest.raises(BadBackup):
        back_up(place, tmp_path / "backup")
    assert [p.name for p in tmp_path.iterdir()] == ["place"]


@pytest.mark.parametrize(
    "name", ["files/../x", "files//etc/x", "files/run/x", "files/store.db", "store/../x", "store/y", "files/"]
)
def test_names_that_no_backup_has(place: Path, tmp_path: Path, name: str) -> None:
    stream = io.BytesIO()
    write_backup(upkeep_of(place), place, stream, silent)
    forged = io.BytesIO()
    writer = SealedWriter(forged, None)
    header = b'{"name":"%b","size":1,"mode":384}' % name.encode()
    writer.write(len(header).to_bytes(4, "little") + header + b"x")
    writer.finish()
    (tmp_path / "forged").write_bytes(forged.getvalue())
    with pytest.raises((BadBackup, Unfit)):
        bring_back(tmp_path / "forged", tmp_path / "there", None)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["forged", "place"]


def test_verify_of_a_data_directory(place: Path) -> None:
    assert prove(place, None).findings == ()
    ((segment, offset),) = execute(place, "SELECT segment, max(offset) FROM blobs")
    flip(segment_path(place / "segments", segment), offset + HEADER + 3)
    assert kinds(list(prove(place, None).findings)) == {"record-damaged"}


def test_plain_contents_are_copied_too(tmp_path: Path) -> None:
    place, there = tmp_path / "place", tmp_path / "there"
    place.mkdir()
    asyncio.run(damaged.fill(place, PLAIN))
    (place / "keys/recovery.pub").write_bytes(PUBLIC)
    assert examine(place, deep=True) == []
    back_up(place, tmp_path / "backup")
    assert bring_back(tmp_path / "backup", there).findings == ()
    assert examine(there, deep=True) == []
    assert seen(there) == seen(place)
