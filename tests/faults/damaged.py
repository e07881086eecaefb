"""A data directory with a life behind it, made once; each test damages a copy of it."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path
from typing import Any, Final

import apsw

from a3mailer.config.tree import Settings
from a3mailer.config.tree import Store as StoreSettings
from a3mailer.mail.errors import DamagedContent
from a3mailer.mail.flags import DELETED, SEEN
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, AccountId, BlobId, Uid
from a3mailer.mail.message import index
from a3mailer.store import operations as op
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.backends.sqlite.upkeep import SqliteUpkeep
from a3mailer.store.ports import Content, Store, Transaction
from a3mailer.store.upkeep import Finding, silent
from a3mailer.testing.clock import FakeClock

SETTINGS: Final = Settings(store=StoreSettings(segment_size=1 << 20))
MAILS: Final = 40
ALICE, BOB = AccountId(1), AccountId(2)


def mail(number: int) -> bytes:
    """One of the mails; number 8 has more than one frame, the others a few thousand octets."""
    dice = random.Random(number)
    size = 200_000 if number == 8 else 500 + number * 100
    body = dice.randbytes(size).hex(" ", 32).replace(" ", "\r\n")
    return (
        f"Subject: mail {number}\r\nFrom: <carol@b.test>\r\nMessage-ID: <{number}@b.test>\r\n\r\n{body}\r\n"
    ).encode()


async def fill(directory: Path, settings: Settings = SETTINGS) -> None:
    """Two accounts, mails in several states, a queue, aliases, a setting, an audit record."""
    store = await SqliteStore.open(directory, settings, None, clock=FakeClock())

    async def do(*operations: op.Operation, number: int = -1) -> None:
        octets = mail(number)
        contents = () if number < 0 else (Content(octets, index(octets)),)
        await store.commit(Transaction(operations, contents))

    await do(op.PutTenant(DEFAULT_TENANT, "default"), op.PutDomain(DEFAULT_TENANT, "a.test"))
    await do(op.CreateAccount(DEFAULT_TENANT, "alice@a.test"), op.CreateAccount(DEFAULT_TENANT, "bob@a.test"))
    for number in range(MAILS):
        words = ("word",) if number % 5 else ()
        await do(op.Append(ALICE, INBOX, 0, SEEN if number % 3 else 0, words), number=number)
        if number % 4 == 0:
            await do(op.Append(BOB, INBOX, 0), number=number)
    await do(number=MAILS)  # a content that nobody holds
    sent = (await store.mailbox_named(ALICE, "Sent")).id
    await do(op.Copy(ALICE, INBOX, tuple(Uid(uid) for uid in (3, 5, 8)), sent))
    await do(op.Copy(ALICE, INBOX, (Uid(6), Uid(9)), sent, move=True))
    await do(op.StoreFlags(ALICE, INBOX, (Uid(10), Uid(11)), "+", DELETED))
    await do(op.Expunge(ALICE, INBOX, (Uid(12), Uid(13))))
    carol = (op.QueueRecipient("carol@b.test"),)
    await do(op.Enqueue(ALICE, DEFAULT_TENANT, 0, "alice@a.test", carol), number=MAILS + 1)
    await do(op.PutAlias(DEFAULT_TENANT, "ally@a.test", ("alice@a.test",)))
    await do(op.PutCredential(BOB, "", "password", "hash"), op.PutSetting("a.b", "c"))
    await do(op.Audit(DEFAULT_TENANT, "alice@a.test", "test", "x", "done"))
    await store.close()


def make(directory: Path) -> Path:
    """The undamaged one."""
    directory.mkdir(mode=0o700)
    asyncio.run(fill(directory))
    return directory


def copy_of(directory: Path, target: Path) -> Path:
    """A copy to damage."""
    shutil.copytree(directory, target)
    return target


def examine(directory: Path, deep: bool = False) -> list[Finding]:
    """What is wrong."""
    return list(SqliteUpkeep(directory, FakeClock()).inspect(deep, silent))


def kinds(found: list[Finding]) -> set[str]:
    return {finding.kind for finding in found}


def execute(directory: Path, sql: str, *bindings: Any) -> list[Any]:
    """Change the database behind the store's back."""
    connection = apsw.Connection(str(directory / "store.db"))
    try:
        rows = connection.execute(sql, bindings).fetchall()
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    finally:
        connection.close()
    return rows


def segments(directory: Path) -> list[Path]:
    return sorted((directory / "segments").glob("*.seg"))


def varint(number: int) -> bytes:
    """As SQLite writes a key below 2**56."""
    octets = [number & 0x7F]
    while number := number >> 7:
        octets.append(number & 0x7F | 0x80)
    return bytes(reversed(octets))


def flip(path: Path, at: int) -> None:
    """One bit of one octet."""
    with path.open("r+b") as file:
        file.seek(at)
        old = file.read(1)[0]
        file.seek(at)
        file.write(bytes([old ^ 1 << at % 8]))


async def open_store(directory: Path) -> Store:
    return await SqliteStore.open(directory, SETTINGS, None, clock=FakeClock())


async def readable(directory: Path) -> dict[tuple[int, int], bytes | None]:
    """(account, email) -> octets of every message of both inboxes; None for one that says it is damaged."""
    store = await open_store(directory)
    found: dict[tuple[int, int], bytes | None] = {}
    try:
        for account in (ALICE, BOB):
            for box in await store.mailboxes(account):
                _, columns = await store.columns(account, box.id)
                rows = await store.messages(account, box.id, [Uid(uid) for uid in columns.uids])
                bulk = await store.many_octets(account, [row.blob for row in rows])
                for row, octets in zip(rows, bulk, strict=True):
                    assert octets == await _one(store, account, row.blob)
                    found[account, row.email] = octets
    finally:
        await store.close()
    return found


async def _one(store: Store, account: AccountId, blob: BlobId) -> bytes | None:
    try:
        return await store.octets(account, blob)
    except DamagedContent:
        return None
