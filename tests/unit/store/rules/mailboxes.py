"""Compliance: accounts' mailboxes, and what a failed transaction leaves."""

from __future__ import annotations

import pytest

from a3mailer.mail import errors
from a3mailer.mail.ids import (
    INBOX,
    AccountId,
    MailboxId,
)
from a3mailer.store import operations as op
from a3mailer.store.ports import Store, Transaction
from tests.unit.store.rules.harness import StoreHarness, content


class MailboxCompliance(StoreHarness):
    """Mailboxes."""

    async def test_new_account_has_its_mailboxes(self, store: Store, account: AccountId) -> None:
        found = {m.name: m for m in await store.mailboxes(account)}
        assert set(found) == {"INBOX", "Sent", "Drafts", "Junk", "Trash", "Archive"}
        assert found["INBOX"].id == INBOX
        assert found["Sent"].special_use == "\\Sent"
        assert all(m.subscribed for m in found.values())
        assert len({m.uid_validity for m in found.values()}) == len(found)

    async def test_inbox_in_any_case(self, store: Store, account: AccountId) -> None:
        assert (await store.mailbox_named(account, "iNbOx")).id == INBOX
        with pytest.raises(errors.NoSuchMailbox):
            await store.mailbox_named(account, "sent")

    async def test_create_makes_parents(self, store: Store, account: AccountId) -> None:
        result = await self.one(store, op.CreateMailbox(account, "a/b/c", subscribed=True))
        assert isinstance(result, op.MailboxCreated)
        assert (await store.mailbox_named(account, "a/b")).subscribed is False
        made = await store.mailbox(account, result.mailbox)
        assert (made.name, made.subscribed, made.uid_validity) == ("a/b/c", True, result.uid_validity)

    @pytest.mark.parametrize(
        "name", ["", "a//b", "/a", "a/", "a\x00b", "a*b", "x" * 1001, "/".join("a" * 40)]
    )
    async def test_bad_names_are_refused(self, store: Store, account: AccountId, name: str) -> None:
        with pytest.raises(errors.BadName):
            await self.one(store, op.CreateMailbox(account, name))

    async def test_create_twice(self, store: Store, account: AccountId) -> None:
        with pytest.raises(errors.AlreadyExists):
            await self.one(store, op.CreateMailbox(account, "inbox"))

    async def test_a_failed_transaction_leaves_nothing(self, store: Store, account: AccountId) -> None:
        before = await store.mailboxes(account)
        with pytest.raises(errors.AlreadyExists):
            await store.commit(
                Transaction(
                    (
                        op.CreateMailbox(account, "new"),
                        op.Append(account, INBOX, 0),
                        op.CreateMailbox(account, "Sent"),
                    ),
                    (content(),),
                )
            )
        assert await store.mailboxes(account) == before
        await self.append(store, account)
        await self.counters_are_right(store, account)

    async def test_a_failed_delivery_to_two_leaves_nothing(self, store: Store, account: AccountId) -> None:
        other = await self.make_account(store, "bob")
        with pytest.raises(errors.NoSuchMailbox):
            await store.commit(
                Transaction(
                    (op.Append(account, INBOX, 0), op.Append(other, MailboxId(99), 0)),
                    (content(thread_keys=(b"12345678",)),),
                )
            )
        _, columns = await store.columns(account, INBOX)
        assert not columns.uids
        assert (await self.append(store, account)).uid == 1
        await self.counters_are_right(store, account)

    async def test_rename_moves_children(self, store: Store, account: AccountId) -> None:
        result = await self.one(store, op.CreateMailbox(account, "a"))
        assert isinstance(result, op.MailboxCreated)
        await self.one(store, op.CreateMailbox(account, "a/b"))
        await self.one(store, op.CreateMailbox(account, "ab"))
        await self.one(store, op.RenameMailbox(account, result.mailbox, "x/y"))
        names = {m.name for m in await store.mailboxes(account)}
        assert {"x", "x/y", "x/y/b", "ab"} <= names
        assert not {"a", "a/b"} & names

    async def test_rename_below_itself(self, store: Store, account: AccountId) -> None:
        result = await self.one(store, op.CreateMailbox(account, "a"))
        assert isinstance(result, op.MailboxCreated)
        with pytest.raises(errors.BadName):
            await self.one(store, op.RenameMailbox(account, result.mailbox, "a/b"))

    async def test_rename_inbox_moves_only_messages(self, store: Store, account: AccountId) -> None:
        await self.fill(store, account, 3)
        await self.one(store, op.RenameMailbox(account, INBOX, "old"))
        inbox, columns = await store.columns(account, INBOX)
        assert (inbox.name, len(columns.uids)) == ("INBOX", 0)
        old = await store.mailbox_named(account, "old")
        assert old.messages == 3
        await self.counters_are_right(store, account)

    async def test_delete_keeps_children_and_fills_the_vault(self, store: Store, account: AccountId) -> None:
        result = await self.one(store, op.CreateMailbox(account, "a"))
        assert isinstance(result, op.MailboxCreated)
        await self.one(store, op.CreateMailbox(account, "a/b"))
        await self.append(store, account, result.mailbox)
        await self.one(store, op.DeleteMailbox(account, result.mailbox))
        names = {m.name for m in await store.mailboxes(account)}
        assert "a" not in names
        assert "a/b" in names
        assert len(await store.vault(account)) == 1
        await self.counters_are_right(store, account)
        again = await self.one(store, op.CreateMailbox(account, "a"))
        assert isinstance(again, op.MailboxCreated)
        assert again.mailbox != result.mailbox
        assert again.uid_validity > result.uid_validity

    async def test_inbox_cannot_be_deleted(self, store: Store, account: AccountId) -> None:
        with pytest.raises(errors.NotAllowed):
            await self.one(store, op.DeleteMailbox(account, INBOX))

    async def test_attributes(self, store: Store, account: AccountId) -> None:
        trash = await store.mailbox_named(account, "Trash")
        await self.one(store, op.SetMailbox(account, trash.id, subscribed=False, expire_days=30))
        found = await store.mailbox(account, trash.id)
        assert (found.subscribed, found.expire_days, found.special_use) == (False, 30, "\\Trash")
