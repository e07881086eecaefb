"""What is on the disk: encrypted for who may read it, and only for them; rotation; mixed settings."""

import asyncio
import json
from pathlib import Path

import apsw
import pytest

from a3mailer.config.tree import Settings
from a3mailer.config.tree import Store as StoreSettings
from a3mailer.keys.kek import FILE_MODE, BadKeyFile, KeyRing
from a3mailer.mail.errors import DamagedContent, NoSuchMessage
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, AccountId, BlobId, Uid
from a3mailer.store import operations as op
from a3mailer.store.backends.sqlite.connection import DATABASE, KEY_FILE, PAGE_SIZE, open_writer
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.ports import StoreUnusable, Transaction
from a3mailer.testing.store.case import content, settle_in
from tests.unit.store.processes import WriterProcess, die, run_in_child
from tests.unit.store.test_crash import SETTINGS, delivery, subjects

SECRET = b"Subject: secret\r\n\r\nthe eagle lands at midnight\r\n" * 2000


async def another(store: SqliteStore, name: str) -> AccountId:
    (made,) = await store.commit(Transaction((op.CreateAccount(DEFAULT_TENANT, f"{name}@a.test"),)))
    assert isinstance(made, op.AccountCreated)
    return made.account


async def keep(store: SqliteStore, account: AccountId, octets: bytes = SECRET) -> BlobId:
    (done,) = await store.commit(Transaction((op.Append(account, INBOX, 0),), (content(octets),)))
    assert isinstance(done, op.Appended)
    (row,) = await store.messages(account, INBOX, [done.uid])
    return row.blob


def on_disk(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((directory / "segments").glob("*.seg")))


async def test_contents_are_not_readable_on_the_disk(
    store: SqliteStore, account: AccountId, tmp_path: Path
) -> None:
    await keep(store, account)
    assert b"eagle" not in on_disk(tmp_path)
    assert b"midnight" not in on_disk(tmp_path)


async def test_switched_off_they_are(tmp_path: Path) -> None:
    plain = Settings(store=StoreSettings(segment_size=1 << 20, encryption=False, compression=False))
    store = await SqliteStore.open(tmp_path, plain, None)
    await keep(store, await settle_in(store))
    assert b"eagle" in on_disk(tmp_path)
    await store.close()


async def test_both_kinds_live_together(tmp_path: Path) -> None:
    kept: list[BlobId] = []
    account = AccountId(0)
    for encryption in (True, False, True, False):
        for compression in (True, False):
            settings = Settings(
                store=StoreSettings(segment_size=1 << 20, encryption=encryption, compression=compression)
            )
            store = await SqliteStore.open(tmp_path, settings, None)
            account = account or await settle_in(store)
            kept.append(await keep(store, account))
            assert await store.many_octets(account, kept) == [SECRET] * len(kept)
            await store.close()
    assert 1 < len(set(kept)) < len(kept), "copies of one kind are one"


async def test_the_key_of_another_account_opens_nothing(store: SqliteStore, account: AccountId) -> None:
    """Somebody who can write rows gives Bob a reference with Alice's wrapped key."""
    blob = await keep(store, account)
    bob = await another(store, "bob")
    with pytest.raises(NoSuchMessage):
        await store.octets(bob, blob)
    assert store._solo is not None
    writer = store._solo[0]._connection
    writer.execute(
        "INSERT INTO blob_refs SELECT tenant, blob, ?, 1, wrapped FROM blob_refs WHERE account=?",
        (bob, account),
    )
    with pytest.raises(DamagedContent):
        await store.octets(bob, blob)


async def test_after_an_erasure_only_the_others_can_read(store: SqliteStore, account: AccountId) -> None:
    bob = await another(store, "bob")
    operations = (op.Append(account, INBOX, 0), op.Append(bob, INBOX, 0))
    await store.commit(Transaction(operations, (content(SECRET),)))
    (row,) = await store.messages(bob, INBOX, [Uid(1)])
    found = store._sql("SELECT count(*), sum(own IS NULL) FROM blobs").fetchone()
    assert found == (2, 1), "one mail and its part, two holders"
    await store.commit(Transaction((op.RemoveAccount(account, 1 << 40),)))
    assert await store.octets(bob, row.blob) == SECRET
    with pytest.raises(NoSuchMessage):
        await store.octets(account, row.blob)
    assert store._sql("SELECT count(*) FROM account_keys WHERE account=?", (account,)).fetchone() == (0,)
    await store.commit(Transaction((op.RemoveAccount(bob, 1 << 40),)))
    assert store._sql("SELECT count(*) FROM blobs").fetchone() == (0,)


# --- the key file ----------------------------------------------------------------------------------------


async def test_the_key_file_is_its_owners_only(store: SqliteStore, tmp_path: Path) -> None:
    path = tmp_path / KEY_FILE
    assert path.stat().st_mode & 0o777 == FILE_MODE
    path.chmod(0o444)
    with pytest.raises(BadKeyFile, match="0444"):
        KeyRing.load(path)
    path.chmod(FILE_MODE)


@pytest.mark.parametrize("what", ["missing", "garbage", "open", "another"])
async def test_a_store_without_its_key_does_not_start(tmp_path: Path, what: str) -> None:
    store = await SqliteStore.open(tmp_path, SETTINGS, None)
    account = await settle_in(store)
    await keep(store, account)
    await store.close()
    path = tmp_path / KEY_FILE
    if what == "another":
        path.unlink()
        KeyRing.generate().save(path)
        store = await SqliteStore.open(tmp_path, SETTINGS, None)
        (row,) = await store.messages(account, INBOX, [Uid(1)])
        with pytest.raises(DamagedContent):
            await store.octets(account, row.blob)
        await store.close()
        return
    path.chmod(0o600)
    if what == "missing":
        path.unlink()
    elif what == "garbage":
        path.write_text("{")
    else:
        path.chmod(0o640)
    with pytest.raises(StoreUnusable):
        await SqliteStore.open(tmp_path, SETTINGS, None)


def test_nothing_secret_in_repr() -> None:
    ring = KeyRing.generate()
    secret = json.loads(ring.encode())["keys"][0]["key"]
    assert secret not in repr(ring)
    assert secret not in str(ring)


# --- rotation --------------------------------------------------------------------------------------------


async def test_rotation(tmp_path: Path) -> None:
    with WriterProcess(tmp_path, SETTINGS) as writer:
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        other = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        account = await settle_in(store)
        blob = await keep(other, account)
        before = KeyRing.load(tmp_path / KEY_FILE)
        assert await store.rotate_keys() == 3, "the system's, alice's, the tenant's"
        after = KeyRing.load(tmp_path / KEY_FILE)
        assert len(after.ids) == 1
        assert after.current != before.current
        bob = await another(store, "bob")
        for each in (store, other):
            assert await each.octets(account, blob) == SECRET
            assert await each.octets(bob, await keep(each, bob)) == SECRET
        wrapped_by = store._sql("SELECT key_id FROM account_keys UNION SELECT key_id FROM tenants").fetchall()
        assert wrapped_by == [(after.current,)]
        await store.close()
        await other.close()
        writer.restart()
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        assert await store.octets(account, blob) == SECRET
        await store.close()


@pytest.mark.parametrize("step", range(1, 7))
async def test_a_rotation_that_is_broken_off(tmp_path: Path, step: int) -> None:
    with WriterProcess(tmp_path, SETTINGS) as writer:
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        account = await settle_in(store)
        await store.commit(delivery(account, "before"))

        async def worker() -> None:
            mine = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
            left = [step]
            original = mine.commit

            async def commit(transaction: Transaction) -> tuple[op.Result, ...]:
                left[0] -= 1
                if left[0] == 0:
                    die()
                results = await original(transaction)
                left[0] -= 1
                if left[0] == 0:
                    die()
                return results

            mine.commit = commit  # type: ignore[method-assign]
            await mine.rotate_keys()
            die()

        assert run_in_child(worker) == -9
        await another(store, "bob")
        await store.commit(delivery(account, "between"))
        writer.restart()
        assert set(await subjects(store, account)) == {"before", "between"}
        await store.rotate_keys()
        assert len(KeyRing.load(tmp_path / KEY_FILE).ids) == 1
        await store.commit(delivery(account, "after"))
        assert set(await subjects(store, account)) == {"before", "between", "after"}
        await store.close()


async def test_deliveries_go_on_during_a_rotation(store: SqliteStore, account: AccountId) -> None:
    async def deliver() -> None:
        for n in range(30):
            await store.commit(delivery(account, f"mail {n}"))

    async with asyncio.TaskGroup() as group:
        group.create_task(deliver())
        for _ in range(3):
            await store.rotate_keys()
    assert len(await subjects(store, account)) == 30


HOOK = '{"url":"https://a.test/","secret":"c2VjcmV0IG9mIGEgaG9vaw=="}'


def database(directory: Path) -> bytes:
    """All that a thief of the disk sees of it."""
    return b"".join(path.read_bytes() for path in sorted(directory.glob("store.db*")))


async def put_hook(store: SqliteStore, account: AccountId, name: str = "shop") -> None:
    await store.commit(Transaction((op.PutDocument(account, "hook", name, HOOK, only_new=True),)))


async def values(store: SqliteStore, account: AccountId) -> list[str]:
    return [row.value for row in await store.documents(account, "hook")]


async def test_the_secret_of_a_hook_is_sealed(store: SqliteStore, account: AccountId, tmp_path: Path) -> None:
    await put_hook(store, account)
    row = await store.document(account, "hook", "shop")
    assert row is not None and row.value == HOOK and await values(store, account) == [HOOK]
    assert b"sealed:" in database(tmp_path) and b"c2VjcmV0" not in database(tmp_path)
    await store.rotate_keys()
    assert await values(store, account) == [HOOK]
    await store.commit(Transaction((op.PutDocument(account, "template", "t", HOOK),)))
    assert b"c2VjcmV0" in database(tmp_path), "what holds no secret is as it was"
    await store.commit(Transaction((op.RemoveDocument(account, "hook", "shop"),)))
    assert await values(store, account) == []


@pytest.mark.parametrize("kind", ["sieve", "sieve-roll"])
async def test_scripts_are_sealed(store: SqliteStore, account: AccountId, tmp_path: Path, kind: str) -> None:
    await store.commit(Transaction((op.PutDocument(account, kind, "1", "fileinto Secrets"),)))
    (row,) = await store.documents(account, kind)
    assert row.value == "fileinto Secrets"
    assert b"Secrets" not in database(tmp_path)


async def test_a_sealed_document_opens_in_its_own_row_only(
    store: SqliteStore, account: AccountId, tmp_path: Path
) -> None:
    other = await another(store, "carol")
    await put_hook(store, account)
    await store.close()
    connection = apsw.Connection(str(tmp_path / DATABASE))
    copy = "INSERT INTO documents SELECT ?, kind, ?, value, 0, 0, 0 FROM documents WHERE account=?"
    connection.execute(copy, (other, "shop", account))
    connection.execute(copy + " AND name='shop'", (account, "stolen", account))
    connection.execute(
        "INSERT INTO documents SELECT account, kind, 'cut', substr(value, 1, 30), 0, 0, 0 FROM documents"
        " WHERE name='shop' AND account=?",
        (account,),
    )
    connection.close()
    again = await SqliteStore.open(tmp_path, SETTINGS, None)
    assert await values(again, account) == [HOOK] and await values(again, other) == []
    assert await again.document(account, "hook", "stolen") is None
    await again.close()


async def test_what_an_older_version_left_in_clear_is_sealed_at_the_start(
    store: SqliteStore, account: AccountId, tmp_path: Path
) -> None:
    broken = await another(store, "carol")
    await store.close()
    connection = apsw.Connection(str(tmp_path / DATABASE))
    for whose in (account, broken):
        connection.execute("INSERT INTO documents VALUES (?,'hook','old',?,0,0,1)", (whose, HOOK))
    connection.execute("UPDATE account_keys SET wrapped=zeroblob(60) WHERE account=?", (broken,))
    connection.close()
    assert database(tmp_path).count(b"c2VjcmV0") == 2
    again = await SqliteStore.open(tmp_path, SETTINGS, None)
    assert await values(again, account) == [HOOK] and await values(again, broken) == []
    assert database(tmp_path).count(b"c2VjcmV0") == 1, "of the account whose key is damaged"
    await again.close()


async def test_what_is_deleted_is_overwritten(store: SqliteStore, account: AccountId, tmp_path: Path) -> None:
    for number in range(200):
        put = op.PutDocument(account, "template", f"{number:03}", f"SECRET-{number:03} " * 100)
        await store.commit(Transaction((put,)))
    await store.close()
    assert b"SECRET-100" in database(tmp_path)
    again = await SqliteStore.open(tmp_path, SETTINGS, None)
    for number in range(200):
        await again.commit(Transaction((op.RemoveDocument(account, "template", f"{number:03}"),)))
    await again.close()
    assert b"SECRET-" not in database(tmp_path)


def test_the_writer_has_what_it_asks_of_its_connection(tmp_path: Path) -> None:
    connection = open_writer(tmp_path)
    names = ("journal_mode", "synchronous", "wal_autocheckpoint", "secure_delete", "page_size")
    assert [connection.pragma(name) for name in names] == ["wal", 2, 0, 1, PAGE_SIZE]
    connection.close()
