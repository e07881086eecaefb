"""Twins of a store that an older version wrote: the unique-ids it gave out stay."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.config.tree import Store as StoreSettings
from a3mailer.mail.ids import INBOX, Uid
from a3mailer.store import operations as op
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.ports import Transaction
from a3mailer.testing.store.case import content, mail, settle_in

SETTINGS: Final = Settings(store=StoreSettings(segment_size=1 << 20))
WITHOUT: Final = (
    "DROP INDEX messages_twins; ALTER TABLE messages DROP COLUMN twin;"
    "ALTER TABLE mailboxes DROP COLUMN noticed;"
    "ALTER TABLE fragments DROP COLUMN smime;"
    "DELETE FROM migrations WHERE number >= 16"
)


async def test_unique_ids_of_an_older_store_stay(tmp_path: Path) -> None:
    """The first of an email had its number alone, the others their uid behind it."""
    store = await SqliteStore.open(tmp_path, SETTINGS, None)
    alice = await settle_in(store)
    for number in range(3):
        append = op.Append(alice, INBOX, 0)
        await store.commit(Transaction((append,), (content(mail(f"number {number}")),)))
    sent = await store.mailbox_named(alice, "Sent")
    await store.commit(Transaction((op.Copy(alice, INBOX, (Uid(1), Uid(2)), INBOX),)))
    await store.commit(Transaction((op.Copy(alice, INBOX, (Uid(2),), INBOX),)))
    await store.commit(Transaction((op.Copy(alice, INBOX, (Uid(3), Uid(4)), sent.id),)))
    await store.commit(Transaction((op.Expunge(alice, INBOX, (Uid(2),)),)))
    assert store._solo is not None
    store._solo[0]._slots.settle()
    store._solo[0]._connection.execute(WITHOUT)
    await store.close()
    store = await SqliteStore.open(tmp_path, SETTINGS, None)
    assert await store.twins(alice, INBOX) == {4: 4, 6: 6}, "1 and 4 are one email, and 5 and 6"
    await store.close()
