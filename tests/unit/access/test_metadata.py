"""Annotations: limits, who may set which, octets of any kind, and that they are sealed on the disk."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from a3mailer.access.metadata import INFINITY, MAX_ENTRIES, MAX_VALUE, change, entry_name, read
from a3mailer.config.tree import Settings
from a3mailer.identity.principal import Principal
from a3mailer.mail.changes import ANNOTATIONS
from a3mailer.mail.errors import BadName, NotPermitted, TooLarge, TooMany
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.ports import Store, Transaction
from a3mailer.store.rows import Mailbox
from a3mailer.testing.store.case import Ear, settle_in


async def alice(store: Store) -> tuple[Principal, Mailbox]:
    account = await settle_in(store)
    who = Principal(account, DEFAULT_TENANT, "alice@a.test", "user", "alice")
    return who, await store.mailbox(account, INBOX)


async def put(store: Store, who: Principal, row: Mailbox | None, **values: bytes | None) -> None:
    wanted = {f"/private/{name}": value for name, value in values.items()}
    await store.commit(Transaction(await change(store, who, row, wanted)))


@pytest.mark.parametrize(
    "text", ["", "/", "/private", "/shared", "/other/x", "private/x", "/private//x", "/private/x/",
             "/private/*",
             "/shared/%", "/private/\u00e9", "/private/a\x01", "/private/" + "x" * 600],
)  # fmt: skip
def test_what_is_no_entry(text: str) -> None:
    with pytest.raises(BadName):
        entry_name(text)


def test_an_entry_has_one_spelling() -> None:
    assert entry_name("/Private/Vendor/X") == "/private/vendor/x"


async def test_limits_by_name() -> None:
    store = MemoryStore()
    who, row = await alice(store)
    await put(store, who, row, x=b"x" * MAX_VALUE)
    with pytest.raises(TooLarge):
        await put(store, who, row, x=b"x" * (MAX_VALUE + 1))
    await put(store, who, row, **{f"n{number}": b"" for number in range(MAX_ENTRIES - 1)})
    with pytest.raises(TooMany):
        await put(store, who, row, more=b"")
    await put(store, who, row, n0=b"changed")
    with pytest.raises(TooMany):
        await put(store, who, row, n0=None, a=b"", b=b"")
    await put(store, who, row, n0=None, a=b"")
    await put(store, who, None, server=b"")
    assert len(await read(store, who, row, ("/private",), INFINITY)) == MAX_ENTRIES


async def test_what_all_see_of_the_server_only_who_runs_it_changes() -> None:
    store = MemoryStore()
    who, _ = await alice(store)
    entry = {"/shared/comment": b"hello"}
    for role in ("user", "tenant-admin", "helpdesk", "auditor"):
        with pytest.raises(NotPermitted):
            await change(store, replace(who, role=role), None, entry)
    root = replace(who, role="superadmin")
    await store.commit(Transaction(await change(store, root, None, entry)))
    assert await read(store, who, None, tuple(entry)) == entry
    with pytest.raises(NotPermitted):
        await change(store, root, None, {"/shared/admin": b"x"})


async def test_octets_of_any_kind_sealed_on_the_disk_and_told(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    noise = random.Random(seed).randbytes(2000)
    store = await SqliteStore.open(tmp_path, Settings(), None)
    who, row = await alice(store)
    ear = Ear(store)
    await put(store, who, row, secret=b"my innermost thoughts", noise=noise, empty=b"")
    await ear.hears_of(who.account, ANNOTATIONS)
    ear.stop()
    found = await read(store, who, row, ("/private",), INFINITY)
    assert found == {
        "/private/secret": b"my innermost thoughts",
        "/private/noise": noise,
        "/private/empty": b"",
    }
    made = op.CreateMailbox(who.account, "Gone")
    (created, *_) = await store.commit(Transaction((made,)))
    assert isinstance(created, op.MailboxCreated)
    gone = await store.mailbox(who.account, created.mailbox)
    await put(store, who, gone, secret=b"short lived")
    await store.commit(Transaction((op.DeleteMailbox(who.account, gone.id),)))
    assert await read(store, who, gone, ("/private",), INFINITY) == {}
    await put(store, who, None, server=b"stays")
    await store.commit(Transaction((op.ResetAccount(who.account),)))
    assert await read(store, who, row, ("/private",), INFINITY) == {}
    assert await read(store, who, None, ("/private",), INFINITY) == {"/private/server": b"stays"}
    await store.close()
    octets = b"".join(path.read_bytes() for path in tmp_path.rglob("store.db*"))
    for value in (b"innermost", b"short lived", b"stays"):
        assert value not in octets
