"""The rules of mailboxes (RFC 9051 sections 5.1 and 6.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from a3mailer.mail.errors import AlreadyExists, BadName, NoSuchAccount, NoSuchMailbox, NotAllowed
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import INBOX, AccountId, MailboxId, ModSeq, Uid
from a3mailer.mail.mailbox import INITIAL, MAX_DEPTH, MAX_NAME
from a3mailer.store import operations as op
from a3mailer.testing.store.case import StoreCase, World, mail

NOBODY = AccountId(987_654)
NOWHERE = MailboxId(987_654)
INITIAL_NAMES = {name for name, _ in INITIAL}


async def create(world: World, name: str, **more: object) -> op.MailboxCreated:
    """A mailbox of alice."""
    return await world.one(op.MailboxCreated, op.CreateMailbox(world.alice, name, **more))  # type: ignore[arg-type]


class MailboxRules(StoreCase):
    """Create, rename, delete, attributes."""

    async def test_names_and_uses_are_exchanged_in_one_transaction(self, world: World) -> None:
        sent, trash = await world.named(world.alice, "Sent"), await world.named(world.alice, "Trash")
        await create(world, "Sent/x")
        await world.do(
            op.RenameMailbox(world.alice, sent, "away"),
            op.SetMailbox(world.alice, sent, special_use=""),
            op.SetMailbox(world.alice, trash, special_use="\\Sent"),
            op.RenameMailbox(world.alice, trash, "Sent"),
            op.RenameMailbox(world.alice, sent, "Trash"),
            op.SetMailbox(world.alice, sent, special_use="\\Trash"),
        )
        boxes = {box.id: (box.name, box.special_use) for box in await world.store.mailboxes(world.alice)}
        assert (boxes[sent], boxes[trash]) == (("Trash", "\\Trash"), ("Sent", "\\Sent"))
        assert "Trash/x" in await world.names(world.alice)

    async def test_an_account_begins_with_its_mailboxes(self, world: World) -> None:
        boxes = await world.store.mailboxes(world.alice)
        assert {(box.name, box.special_use) for box in boxes} == set(INITIAL)
        assert all(box.subscribed and box.account == world.alice for box in boxes)
        assert {(box.messages, box.unseen, box.deleted, box.octets) for box in boxes} == {(0, 0, 0, 0)}
        assert {box.uid_next for box in boxes} == {1}
        assert {box.keywords for box in boxes} == {()}
        assert (await world.store.mailbox_named(world.alice, "INBOX")).id == INBOX
        validities = [box.uid_validity for box in boxes]
        assert len(set(validities)) == len(validities)
        assert min(validities) >= 1

    async def test_create_answers_what_is_stored(self, world: World) -> None:
        before = await world.account(world.alice)
        made = await create(world, "Work", special_use="\\Archive", subscribed=True)
        box = await world.box(world.alice, made.mailbox)
        assert (box.name, box.special_use, box.subscribed) == ("Work", "\\Archive", True)
        assert (box.uid_validity, box.modseq, box.uid_next) == (made.uid_validity, made.modseq, 1)
        assert (await world.account(world.alice)).modseq == made.modseq > before.modseq

    async def test_create_makes_missing_parents_unsubscribed(self, world: World) -> None:
        made = await create(world, "a/b/c", subscribed=True)
        assert await world.names(world.alice) == INITIAL_NAMES | {"a", "a/b", "a/b/c"}
        parent = await world.store.mailbox_named(world.alice, "a/b")
        assert not parent.subscribed
        assert parent.uid_validity != made.uid_validity
        assert parent.modseq < made.modseq

    async def test_mailboxes_of_two_accounts_know_nothing_of_each_other(self, world: World) -> None:
        made = await create(world, "Work")
        assert await world.names(world.bob) == INITIAL_NAMES
        with pytest.raises(NoSuchMailbox):
            await world.box(world.bob, made.mailbox)

    @pytest.mark.parametrize("name", ["inbox", "INBOX", "InBoX", "Sent"])
    async def test_a_name_is_taken_once(self, world: World, name: str) -> None:
        await world.fails(AlreadyExists, op.CreateMailbox(world.alice, name))

    @pytest.mark.parametrize("name", ["inbox/x", "INBOX/x", "iNbOx/x"])
    async def test_inbox_has_one_spelling(self, world: World, name: str) -> None:
        await create(world, name)
        assert "INBOX/x" in await world.names(world.alice)
        assert (await world.store.mailbox_named(world.alice, "inbox/x")).name == "INBOX/x"
        assert (await world.store.mailbox_named(world.alice, "inbox")).id == INBOX
        with pytest.raises(NoSuchMailbox):
            await world.store.mailbox_named(world.alice, "sent")

    @pytest.mark.parametrize(
        "name",
        ["", "/", "a/", "/a", "a//b", "a*", "a%", "a\x00b", "a\r\nb", "a\x7f", "x" * (MAX_NAME + 1),
         "/".join("x" * (MAX_DEPTH + 1)), "\ud800"],
    )  # fmt: skip
    async def test_a_name_that_cannot_be_is_refused(self, world: World, name: str) -> None:
        await world.fails(BadName, op.CreateMailbox(world.alice, name))
        sent = await world.named(world.alice, "Sent")
        await world.fails(BadName, op.RenameMailbox(world.alice, sent, name))

    @pytest.mark.parametrize(
        "name", ["..", "../etc", ".", "a b", "Entwürfe", "收件箱", "a\\b", "~", "#news", "'--", "ınbox"]
    )
    async def test_a_name_is_a_key_and_never_a_path(self, world: World, name: str) -> None:
        made = await create(world, name)
        assert (await world.store.mailbox_named(world.alice, name)).id == made.mailbox

    async def test_nobody_has_no_mailboxes(self, world: World) -> None:
        await world.fails(NoSuchAccount, op.CreateMailbox(NOBODY, "Work"))
        assert await world.store.mailboxes(NOBODY) == ()
        with pytest.raises(NoSuchMailbox):
            await world.store.mailbox(NOBODY, INBOX)
        for reader in (world.store.mailbox, world.store.columns):
            with pytest.raises(NoSuchMailbox):
                await reader(world.alice, NOWHERE)
        with pytest.raises(NoSuchMailbox):
            await world.store.changes(world.alice, NOWHERE, ModSeq(0))

    # --- rename ------------------------------------------------------------------------------------

    async def test_rename_takes_children_along_and_keeps_mail(self, world: World) -> None:
        made = await create(world, "a/b/c")
        await create(world, "ab")
        top = await world.named(world.alice, "a")
        await world.append(world.alice, mailbox=made.mailbox)
        before = await world.box(world.alice, made.mailbox)
        count = (await world.account(world.alice)).modseq
        await world.one(op.Done, op.RenameMailbox(world.alice, top, "z/y"))
        assert await world.names(world.alice) == INITIAL_NAMES | {"ab", "z", "z/y", "z/y/b", "z/y/b/c"}
        after = await world.box(world.alice, made.mailbox)
        assert (after.uid_validity, after.uid_next, after.messages) == (before.uid_validity, 2, 1)
        assert after.modseq == before.modseq, "no message of it changed"
        assert (await world.account(world.alice)).modseq > count
        assert await world.uids(world.alice, made.mailbox) == [1]

    async def test_rename_errors(self, world: World) -> None:
        top = (await create(world, "a")).mailbox
        await create(world, "a/x")
        await create(world, "b/x")
        await world.one(op.Done, op.DeleteMailbox(world.alice, await world.named(world.alice, "b")))
        await world.fails(NoSuchMailbox, op.RenameMailbox(world.alice, NOWHERE, "c"))
        await world.fails(AlreadyExists, op.RenameMailbox(world.alice, top, "Sent"))
        await world.fails(AlreadyExists, op.RenameMailbox(world.alice, top, "a"))
        await world.fails(AlreadyExists, op.RenameMailbox(world.alice, top, "inbox"))
        await world.fails(BadName, op.RenameMailbox(world.alice, top, "a/b"))
        await world.fails(AlreadyExists, op.RenameMailbox(world.alice, top, "b"))  # b/x is in the way
        await world.fails(
            BadName, op.RenameMailbox(world.alice, top, "y" * (MAX_NAME - 1))
        )  # its child's name

    async def test_renaming_inbox_moves_its_messages(self, world: World) -> None:
        sent = await world.fill(world.alice, 3)
        await world.expunge(world.alice, 2)
        child = (await create(world, "INBOX/child")).mailbox
        before = await world.box(world.alice)
        await world.one(op.Done, op.RenameMailbox(world.alice, INBOX, "Old/mail"))
        inbox = await world.box(world.alice)
        assert (inbox.name, inbox.messages, inbox.uid_validity) == ("INBOX", 0, before.uid_validity)
        assert inbox.uid_next == before.uid_next
        assert inbox.modseq > before.modseq
        old = await world.store.mailbox_named(world.alice, "Old/mail")
        assert (old.messages, old.uid_next, old.subscribed) == (2, 3, True)
        _, columns = await world.store.columns(world.alice, old.id)
        assert list(columns.emails) == [sent[0].email, sent[2].email]
        assert list((await world.changes(world.alice, before.modseq)).vanished) == [1, 3]
        assert (await world.box(world.alice, child)).name == "INBOX/child"

    # --- delete ------------------------------------------------------------------------------------

    async def test_delete_sends_messages_to_the_vault(self, world: World) -> None:
        made = await create(world, "Work")
        await create(world, "Work/child")
        await world.append(world.alice, mailbox=made.mailbox)
        done = await world.one(op.Done, op.DeleteMailbox(world.alice, made.mailbox))
        assert await world.names(world.alice) == INITIAL_NAMES | {"Work/child"}
        assert await world.in_vault(world.alice) == [(made.mailbox, 1)]
        account = await world.account(world.alice)
        assert (account.used_octets, account.used_messages, account.modseq) == (0, 0, done.modseq)
        for operation in (
            op.Append(world.alice, made.mailbox, 0),
            op.DeleteMailbox(world.alice, made.mailbox),
            op.SetMailbox(world.alice, made.mailbox, subscribed=True),
            op.Expunge(world.alice, made.mailbox, ()),
        ):
            await world.fails(NoSuchMailbox, operation, contents=(mail(),))

    async def test_a_name_used_again_is_another_mailbox(self, world: World) -> None:
        first = await create(world, "Work")
        await world.append(world.alice, mailbox=first.mailbox)
        await world.one(op.Done, op.DeleteMailbox(world.alice, first.mailbox))
        second = await create(world, "Work")
        assert second.mailbox != first.mailbox
        assert second.uid_validity > first.uid_validity
        assert (await world.box(world.alice, second.mailbox)).messages == 0

    async def test_uid_validity_rises_though_the_clock_jumps_back(self, world: World) -> None:
        first = await create(world, "Work")
        await world.one(op.Done, op.DeleteMailbox(world.alice, first.mailbox))
        world.clock.jump(-400 * 86_400.0)
        second = await create(world, "Work")
        assert second.uid_validity > first.uid_validity
        world.clock.jump(800 * 86_400.0)
        third = await create(world, "Other")
        assert second.uid_validity < third.uid_validity < 2**32

    async def test_inbox_cannot_be_deleted(self, world: World) -> None:
        await world.fails(NotAllowed, op.DeleteMailbox(world.alice, INBOX))
        await world.fails(NoSuchMailbox, op.DeleteMailbox(world.alice, NOWHERE))

    # --- attributes --------------------------------------------------------------------------------

    async def test_attributes_change_one_by_one(self, world: World) -> None:
        made = await create(world, "Work", special_use="\\Junk", subscribed=True)
        count = (await world.account(world.alice)).modseq
        await world.do(op.SetMailbox(world.alice, made.mailbox, expire_days=30))
        box = await world.box(world.alice, made.mailbox)
        assert (box.special_use, box.subscribed, box.expire_days) == ("\\Junk", True, 30)
        await world.do(op.SetMailbox(world.alice, made.mailbox, subscribed=False))
        box = await world.box(world.alice, made.mailbox)
        assert (box.special_use, box.subscribed, box.expire_days) == ("\\Junk", False, 30)
        await world.do(op.SetMailbox(world.alice, made.mailbox, special_use="", expire_days=0))
        box = await world.box(world.alice, made.mailbox)
        assert (box.special_use, box.subscribed, box.expire_days) == ("", False, 0)
        assert box.modseq == made.modseq, "no message of it changed"
        assert (await world.account(world.alice)).modseq >= count + 3
        await world.fails(NoSuchMailbox, op.SetMailbox(world.alice, NOWHERE, subscribed=True))

    async def test_counters_are_of_their_own_mailbox(self, world: World) -> None:
        made = await create(world, "Work")
        await world.append(world.alice, mail("in the inbox"), flags=SEEN)
        await world.append(world.alice, mail("at work"), made.mailbox)
        inbox, work = await world.box(world.alice), await world.box(world.alice, made.mailbox)
        assert (inbox.messages, inbox.unseen) == (1, 0)
        assert (work.messages, work.unseen) == (1, 1)
        assert inbox.octets == len(mail("in the inbox"))
        assert work.octets == len(mail("at work"))

    async def test_the_first_to_be_told(self, world: World) -> None:
        """Of each message one session is; nobody hears of that."""
        await world.fill(world.alice, 3)
        before = await world.box(world.alice)
        assert before.noticed == 1
        for until, first, end in ((3, 1, 3), (2, 2, 2), (0, 3, 4), (9, 4, 4)):
            done = await world.one(op.Noticed, op.Notice(world.alice, INBOX, Uid(until)))
            assert done == op.Noticed(Uid(first), Uid(end))
        assert await world.box(world.alice) == replace(before, noticed=Uid(4))
        await world.fails(NoSuchMailbox, op.Notice(world.alice, MailboxId(9_999)))
