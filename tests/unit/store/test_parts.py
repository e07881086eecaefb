"""Large parts of mails in segments: kept once, read alone, freed with their last mail (ADR 0016)."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from a3mailer.config.tree import Settings
from a3mailer.config.tree import Store as StoreSettings
from a3mailer.mail.errors import DamagedContent
from a3mailer.mail.ids import INBOX, AccountId, BlobId, TenantId, Uid
from a3mailer.mail.message import Part, index
from a3mailer.store import operations as op
from a3mailer.store.backends.sqlite.connection import migrations
from a3mailer.store.backends.sqlite.extents import MOST_PARTS, OWN, PART_FROM, large_parts, own_octets, runs
from a3mailer.store.backends.sqlite.segments import Record, segment_path
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.backends.sqlite.upkeep import SqliteUpkeep
from a3mailer.store.ports import Content, Transaction
from a3mailer.store.upkeep import silent
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.store.case import mail, settle_in
from a3mailer.testing.store.parts import BIG, MAILS, OTHER, attachment, with_parts
from tests.unit.store.processes import WriterProcess, die, run_in_child
from tests.unit.store.test_crash import SETTINGS
from tests.unit.store.test_keys_at_rest import another

KINDS = {
    "sealed": SETTINGS,
    "encrypted": Settings(store=StoreSettings(segment_size=1 << 20, compression=False)),
    "compressed": Settings(store=StoreSettings(segment_size=1 << 20, encryption=False)),
    "plain": Settings(store=StoreSettings(segment_size=1 << 20, encryption=False, compression=False)),
}


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path, KINDS[request.param], None, clock=FakeClock())
    yield store
    await store.close()


async def keep(store: SqliteStore, account: AccountId, octets: bytes, unique: bool = True) -> BlobId:
    made = Content(octets, index(octets), unique)
    (done,) = await store.commit(Transaction((op.Append(account, INBOX, 0),), (made,)))
    assert isinstance(done, op.Appended)
    (row,) = await store.messages(account, INBOX, [done.uid])
    return row.blob


async def remove(store: SqliteStore, account: AccountId, *uids: int) -> None:
    """Expunged, and out of the vault."""
    chosen = tuple(Uid(uid) for uid in uids)
    await store.commit(Transaction((op.Expunge(account, INBOX, chosen),)))
    await store.commit(Transaction((op.PurgeVault(1 << 40),)))


def one(store: SqliteStore, sql: str, *bindings: object) -> object:
    return store._sql(sql, bindings).fetchone()[0]


def kept(store: SqliteStore) -> tuple[object, object, object]:
    """(contents, references, places of parts)."""
    return (
        one(store, "SELECT count(*) FROM blobs"),
        one(store, "SELECT count(*) FROM blob_refs"),
        one(store, "SELECT count(*) FROM blob_parts"),
    )


async def doctor(store: SqliteStore, directory: Path) -> list[str]:
    """Close the store and let it be looked through."""
    await store.close()
    return await examined(directory)


async def examined(directory: Path) -> list[str]:
    """What the doctor says, on a thread: it runs a loop of its own."""
    found = await asyncio.to_thread(lambda: list(SqliteUpkeep(directory, FakeClock()).inspect(True, silent)))
    return [f"{finding.kind} {finding.where} {finding.text}" for finding in found]


# --- where parts lie -----------------------------------------------------------------------------------


def spans_of(octets: bytes) -> tuple[tuple[int, int], ...]:
    return large_parts(index(octets).parts, len(octets))


def test_large_parts_are_leaves_in_their_order() -> None:
    assert [MAILS["two"][start:end] for start, end in spans_of(MAILS["two"])] == [BIG, OTHER]
    assert [MAILS["inside a message"][s:e] for s, e in spans_of(MAILS["inside a message"])] == [BIG, OTHER]
    assert len(spans_of(MAILS["just large enough"])) == 1
    assert spans_of(MAILS["one octet less"]) == spans_of(mail()) == ()
    assert len(spans_of(MAILS["many"])) == MOST_PARTS


def test_an_index_that_cannot_be_gives_no_parts_that_overlap() -> None:
    def part(start: int, end: int) -> Part:
        return Part((1,), start, start, end, 0, b"a/b", b"7bit", b"", 0, -1, b"", "")

    size = 3 * PART_FROM
    parts = [part(0, PART_FROM + 9), part(PART_FROM, size), part(2 * PART_FROM, size), part(0, size + 1)]
    assert large_parts(parts, size) == ((0, PART_FROM + 9), (2 * PART_FROM, size))


def test_runs_are_the_octets_asked_for() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for _ in range(300):
        size = dice.randrange(1, 60)
        octets = dice.randbytes(size)
        cuts = sorted(dice.sample(range(size + 1), min(2 * dice.randrange(4), (size + 1) // 2 * 2)))
        spans = list(zip(cuts[::2], cuts[1::2], strict=True))
        own = own_octets(octets, spans)
        extents = [(start, end - start) for start, end in spans]
        parts = [octets[start:end] for start, end in spans]
        start = dice.randrange(size + 1)
        stop = dice.randrange(start, size + 1)
        plan = runs(extents, len(own), size, start, stop)
        made = [(own if n == OWN else parts[n])[begin:end] for n, begin, end in plan]
        assert b"".join(made) == octets[start:stop]
        assert all(made)


@pytest.mark.parametrize("extents", [[(0, 4), (3, 4)], [(5, 8)], [], [(0, 8), (8, 8)], [(4, 8), (0, 0)]])
def test_what_does_not_add_up_is_damaged(extents: list[tuple[int, int]]) -> None:
    with pytest.raises(DamagedContent):
        runs(extents, 2, 10, 0, 10)


# --- kept once -----------------------------------------------------------------------------------------


async def test_the_same_part_in_ten_mails_is_kept_once(
    store: SqliteStore, account: AccountId, tmp_path: Path
) -> None:
    bob = await another(store, "bob")
    made = [with_parts(BIG, subject=f"number {n}") for n in range(10)]
    blobs = [await keep(store, (account, bob)[n % 2], octets) for n, octets in enumerate(made)]
    assert kept(store) == (11, 12, 10)
    assert one(store, "SELECT sum(length) FROM blobs") < 2 * len(BIG)  # type: ignore[operator]
    for n, octets in enumerate(made):
        assert await store.octets((account, bob)[n % 2], blobs[n]) == octets
    assert await doctor(store, tmp_path) == []


async def test_a_part_twice_in_one_mail_is_one_content(
    store: SqliteStore, account: AccountId, tmp_path: Path
) -> None:
    octets = MAILS["the same twice"]
    blob = await keep(store, account, octets)
    assert kept(store) == (2, 2, 2)
    assert await store.octets(account, blob) == octets
    assert one(store, "SELECT max(count) FROM blob_refs") == 2
    await keep(store, account, octets, unique=False)
    assert await keep(store, account, octets, unique=False) == await keep(
        store, account, octets, unique=False
    )
    assert kept(store) == (3, 3, 4), "one mail by its own hash, with the parts it has"
    assert one(store, "SELECT max(count) FROM blob_refs") == 8
    await remove(store, account, 1, 2, 3)
    assert one(store, "SELECT max(count) FROM blob_refs") == 2
    assert await doctor(store, tmp_path) == []


async def test_the_last_mail_frees_its_parts(store: SqliteStore, account: AccountId, tmp_path: Path) -> None:
    bob = await another(store, "bob")
    await keep(store, account, with_parts(BIG, subject="one"))
    await keep(store, account, with_parts(BIG, OTHER, subject="two"))
    await keep(store, bob, with_parts(OTHER, subject="three"))
    assert kept(store) == (5, 6, 4)
    await remove(store, account, 1)
    assert kept(store) == (4, 5, 3)
    await remove(store, account, 2)
    assert kept(store) == (2, 2, 1)
    await store.commit(Transaction((op.RemoveAccount(bob, 1 << 40),)))
    assert kept(store) == (0, 0, 0)
    assert one(store, "SELECT count(*) FROM blob_hashes") == 0
    assert one(store, "SELECT coalesce(sum(live), 0) FROM segments") == 0
    await keep(store, account, with_parts(BIG, subject="four"))
    assert await doctor(store, tmp_path) == []


async def test_parts_are_not_shared_between_tenants(store: SqliteStore, account: AccountId) -> None:
    tenant = TenantId(2)
    await store.commit(Transaction((op.PutTenant(tenant, "other"), op.PutDomain(tenant, "b.test"))))
    (made,) = await store.commit(Transaction((op.CreateAccount(tenant, "carol@b.test"),)))
    assert isinstance(made, op.AccountCreated)
    octets = with_parts(BIG)
    await keep(store, account, octets)
    content = Content(octets, index(octets), True)
    await store.commit(Transaction((op.Append(made.account, INBOX, 0),), (content,), tenant))
    assert kept(store) == (4, 4, 2)
    assert one(store, "SELECT count(DISTINCT hash) FROM blobs WHERE hash IS NOT NULL") == 2


async def test_a_mail_that_is_a_part_of_another_is_not_taken_for_it(
    store: SqliteStore, account: AccountId
) -> None:
    """Its whole octets are those of an opaque part: composed contents are never parts."""
    inner = MAILS["two"]
    blob = await keep(store, account, inner, unique=False)
    outer = with_parts(inner)
    other = await keep(store, account, outer, unique=False)
    assert await store.many_octets(account, [blob, other]) == [inner, outer]
    composed = "SELECT count(*) FROM blob_parts p JOIN blobs b ON b.blob = p.part WHERE b.own IS NOT NULL"
    assert one(store, composed) == 0


async def test_small_mails_have_no_parts(store: SqliteStore, account: AccountId) -> None:
    await keep(store, account, mail(body="x" * 60_000))
    await keep(store, account, MAILS["one octet less"])
    assert kept(store) == (2, 2, 0)
    assert one(store, "SELECT count(*) FROM blobs WHERE own IS NOT NULL OR hash IS NOT NULL") == 0


async def test_what_is_over_the_limit_stays_in_line(store: SqliteStore, account: AccountId) -> None:
    octets = MAILS["many"]
    blob = await keep(store, account, octets)
    assert kept(store) == (MOST_PARTS + 1, MOST_PARTS + 1, MOST_PARTS)
    assert await store.octets(account, blob) == octets


# --- reading -------------------------------------------------------------------------------------------


def damage(store: SqliteStore, directory: Path, blob: bytes) -> None:
    """Change octets in the middle of a record."""
    row = store._sql("SELECT segment, offset, length FROM blobs WHERE blob=?", (blob,)).fetchone()
    with segment_path(directory / "segments", row[0]).open("r+b") as file:
        file.seek(row[1] + row[2] // 2)
        file.write(os.urandom(16))


def part_of(store: SqliteStore, blob: bytes, number: int) -> bytes:
    rows = store._sql("SELECT part FROM blob_parts WHERE blob=? ORDER BY at", (blob,)).fetchall()
    part: bytes = rows[number][0]
    return part


async def test_reading_a_part_reads_no_other(store: SqliteStore, account: AccountId, tmp_path: Path) -> None:
    octets = MAILS["two"]
    blob = await keep(store, account, octets)
    (first, second) = spans_of(octets)
    damage(store, tmp_path, part_of(store, blob, 0))
    assert await store.octets(account, blob, 0, first[0]) == octets[: first[0]]
    assert await store.octets(account, blob, *second) == OTHER
    assert await store.octets(account, blob, first[1]) == octets[first[1] :]
    with pytest.raises(DamagedContent):
        await store.octets(account, blob)
    with pytest.raises(DamagedContent):
        await store.octets(account, blob, *first)
    assert await store.many_octets(account, [blob]) == [None]


async def test_a_damaged_copy_does_not_swallow_a_new_mail(
    store: SqliteStore, account: AccountId, tmp_path: Path
) -> None:
    old = await keep(store, account, with_parts(BIG, subject="old"))
    damage(store, tmp_path, part_of(store, old, 0))
    octets = with_parts(BIG, subject="new")
    new = await keep(store, account, octets)
    assert await store.octets(account, new) == octets
    assert part_of(store, new, 0) != part_of(store, old, 0)
    newer = await keep(store, account, with_parts(BIG, subject="newer"))
    assert part_of(store, newer, 0) == part_of(store, new, 0), "the whole copy is found from now on"


async def test_a_damaged_whole_mail_does_not_swallow_its_twin(
    store: SqliteStore, account: AccountId, tmp_path: Path
) -> None:
    for octets in (MAILS["two"], mail(body="y" * 30_000)):
        old = await keep(store, account, octets, unique=False)
        damage(store, tmp_path, old)
        new = await keep(store, account, octets, unique=False)
        assert new != old
        assert await store.octets(account, new) == octets


# --- what happens to the store meanwhile -----------------------------------------------------------------


async def test_a_part_that_is_freed_meanwhile_is_handed_over_again(
    store: SqliteStore, account: AccountId, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(store, account, with_parts(BIG, subject="one"))
    real = store._sealing.find

    async def find(*args: object) -> object:
        found = await real(*args)  # type: ignore[arg-type]
        monkeypatch.setattr(store._sealing, "find", real)
        await remove(store, account, 1)
        return found

    monkeypatch.setattr(store._sealing, "find", find)
    octets = with_parts(BIG, subject="two")
    assert await store.octets(account, await keep(store, account, octets)) == octets
    assert kept(store) == (2, 2, 1)
    assert await doctor(store, tmp_path) == []


async def test_compaction_moves_parts(store: SqliteStore, account: AccountId, tmp_path: Path) -> None:
    made = {}
    for n in range(40):
        octets = with_parts(attachment(70_000, n % 20), subject=f"number {n}")
        made[n + 1] = (await keep(store, account, octets), octets)
    await remove(store, account, *[uid for uid in made if uid not in (5, 25, 11)])
    assert kept(store) == (5, 5, 3)
    before = sum(path.stat().st_size for path in (tmp_path / "segments").glob("*.seg"))
    for _ in range(3):
        await store.compact(60.0, grace=0)
    assert sum(path.stat().st_size for path in (tmp_path / "segments").glob("*.seg")) < before
    for uid in (5, 25, 11):
        assert await store.octets(account, made[uid][0]) == made[uid][1]
    assert await doctor(store, tmp_path) == []


async def test_rotation_leaves_parts_readable(store: SqliteStore, account: AccountId) -> None:
    blob = await keep(store, account, MAILS["two"])
    await store.rotate_keys()
    assert await store.octets(account, blob) == MAILS["two"]
    await keep(store, account, with_parts(BIG, subject="after it"))
    assert kept(store) == (4, 4, 3)


async def test_every_kind_reads_what_the_others_kept(tmp_path: Path) -> None:
    account = AccountId(0)
    blobs: list[tuple[BlobId, bytes]] = []
    for number in range(2):
        for name, settings in KINDS.items():
            store = await SqliteStore.open(tmp_path, settings, None)
            account = account or await settle_in(store)
            octets = with_parts(BIG, subject=f"{name} {number}")
            blobs.append((await keep(store, account, octets), octets))
            for blob, expected in blobs:
                assert await store.octets(account, blob) == expected
            await store.close()
    store = await SqliteStore.open(tmp_path, SETTINGS, None)
    assert kept(store) == (12, 12, 8), "a copy of the part each time encryption changed, none otherwise"
    assert await doctor(store, tmp_path) == []


async def test_a_worker_dies_between_contents_and_row(tmp_path: Path) -> None:
    """What it wrote is garbage of its segment; nothing refers to it, nothing is half there."""
    with WriterProcess(tmp_path, SETTINGS) as writer:
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        account = await settle_in(store)
        await keep(store, account, with_parts(OTHER, subject="before"))
        before = kept(store)

        async def worker() -> None:
            mine = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
            real = mine._link._segments._segments.write

            def write(records: list[Record]) -> list[tuple[int, int]]:
                real(records)
                die()
                return []

            mine._link._segments._segments = type("Dying", (), {"write": staticmethod(write)})()  # type: ignore[assignment]
            await keep(mine, account, with_parts(OTHER, BIG, subject="lost"))

        assert run_in_child(worker) == -9
        assert kept(store) == before
        blob = await keep(store, account, with_parts(OTHER, BIG, subject="again"))
        assert await store.octets(account, blob) == with_parts(OTHER, BIG, subject="again")
        assert kept(store) == (4, 4, 3)
        await store.close()
    assert [line for line in await examined(tmp_path) if not line.startswith("left-over")] == []


async def test_the_writer_dies_after_any_commit(tmp_path: Path) -> None:
    with WriterProcess(tmp_path, SETTINGS) as writer:
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        account = await settle_in(store)
        made = []
        for n in range(4):
            octets = with_parts(BIG, attachment(70_000, n), subject=f"number {n}")
            made.append((await keep(store, account, octets), octets))
            writer.restart()
        for blob, octets in made:
            assert await store.octets(account, blob) == octets
        assert kept(store) == (9, 9, 8)
        await store.close()
    assert await examined(tmp_path) == []


# --- the migration -------------------------------------------------------------------------------------


async def test_a_store_of_an_older_version(tmp_path: Path) -> None:
    """As it was before the migration: looked through, mended, opened, gone on with."""
    store = await SqliteStore.open(tmp_path, SETTINGS, None)
    account = await settle_in(store)
    old = await keep(store, account, mail(body="z" * 30_000))
    assert store._solo is not None
    store._solo[0]._slots.settle()
    writer = store._solo[0]._connection
    writer.execute(
        "DROP TABLE mailboxes_gone; DROP INDEX messages_copied; DROP INDEX messages_replies;"
        "DROP INDEX messages_twins; ALTER TABLE messages DROP COLUMN twin;"
        "ALTER TABLE messages DROP COLUMN copied; ALTER TABLE fragments DROP COLUMN mailbox;"
        "ALTER TABLE fragments DROP COLUMN lineage; ALTER TABLE fragments DROP COLUMN smime;"
        "ALTER TABLE fragments DROP COLUMN uid; ALTER TABLE expunged DROP COLUMN added;"
        "ALTER TABLE mailboxes DROP COLUMN added; ALTER TABLE mailboxes DROP COLUMN changed;"
        "ALTER TABLE mailboxes DROP COLUMN sort_order; ALTER TABLE mailboxes DROP COLUMN noticed;"
        " ALTER TABLE accounts DROP COLUMN tombstones_from;"
        "DROP TABLE grants; DROP TABLE seen; DROP TABLE seers; DROP TABLE uploads;"
        "DROP TABLE unsynced; DROP TABLE tallies; DROP TABLE reports; DROP TABLE blob_parts;"
        "ALTER TABLE blobs DROP COLUMN own; DROP TABLE documents; DROP INDEX queue_due;"
        "ALTER TABLE queue DROP COLUMN not_before; ALTER TABLE queue DROP COLUMN priority;"
        "ALTER TABLE queue DROP COLUMN deliver_by; ALTER TABLE queue DROP COLUMN by_mode;"
        "CREATE INDEX queue_due ON queue (due) WHERE due IS NOT NULL;"
        "ALTER TABLE queue DROP COLUMN tls; ALTER TABLE queue DROP COLUMN message_id; DROP TABLE finished;"
        "DELETE FROM migrations WHERE number >= 3"
    )
    await store.close()
    assert await examined(tmp_path) == []
    upkeep = SqliteUpkeep(tmp_path)
    assert await asyncio.to_thread(lambda: list(upkeep.repair(silent))) == []
    store = await SqliteStore.open(tmp_path, SETTINGS, None)
    assert one(store, "SELECT max(number) FROM migrations") == migrations()[-1][0]
    await keep(store, account, MAILS["two"])
    assert await store.octets(account, old) == mail(body="z" * 30_000)
    assert await doctor(store, tmp_path) == []
