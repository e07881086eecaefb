"""The rules of the vault, of expiry and of erasure."""

from __future__ import annotations

import pytest

from a3mailer.mail.errors import NoSuchMailbox, NoSuchMessage
from a3mailer.mail.flags import DELETED, SEEN
from a3mailer.mail.ids import INBOX, AccountId, BlobId, MailboxId, Uid
from a3mailer.store import operations as op
from a3mailer.testing.store.case import StoreCase, World, mail

NOWHERE = MailboxId(987_654)
DAY = 86_400


async def undelete(world: World, *emails: int, target: MailboxId = INBOX) -> op.Copied:
    """Out of alice's vault."""
    return await world.one(op.Copied, op.Undelete(world.alice, tuple(emails), target))  # type: ignore[arg-type]


async def gone(world: World, account: AccountId, blob: BlobId) -> bool:
    """Whether a content cannot be read any more."""
    assert await world.store.many_octets(account, [blob]) in ([None], [mail()], [mail("number 0")])
    try:
        await world.store.octets(account, blob)
    except NoSuchMessage:
        assert await world.store.many_octets(account, [blob]) == [None]
        return True
    return False


class VaultRules(StoreCase):
    """Nothing is lost at once, and nothing stays for ever."""

    async def test_an_expunged_message_is_still_read(self, world: World) -> None:
        added = await world.append(world.alice, flags=SEEN, keywords=("word",))
        before = await world.message(world.alice, Uid(1))
        await world.expunge(world.alice, 1)
        (row,) = await world.store.vault(world.alice)
        assert (row.email, row.flags, row.keywords, row.size) == (added.email, SEEN, "word", len(mail()))
        assert await world.store.messages(world.alice, INBOX, [Uid(1)]) == (row,)
        assert row.blob == before.blob
        assert await world.store.octets(world.alice, row.blob) == mail()
        account = await world.account(world.alice)
        assert (account.used_octets, account.used_messages) == (0, 0), "the vault is not in the quota"

    async def test_undelete_gives_a_new_uid(self, world: World) -> None:
        added = await world.append(world.alice, flags=SEEN | DELETED, keywords=("word",), internal_date=77)
        await world.expunge(world.alice, 1)
        world.clock.advance(50)
        done = await undelete(world, added.email)
        assert done.pairs == ((1, 2),)
        row = await world.message(world.alice, Uid(2))
        assert (row.email, row.flags, row.keywords, row.internal_date) == (added.email, SEEN, "word", 77)
        assert (row.saved_date, row.modseq) == (world.now, done.modseq)
        box = await world.box(world.alice)
        assert (box.messages, box.octets, box.modseq) == (1, len(mail()), done.modseq)
        assert (await world.account(world.alice)).used_octets == len(mail())
        assert await world.store.vault(world.alice) == ()
        assert list((await world.changes(world.alice)).vanished) == [1]
        assert await world.purge() == 0
        assert await world.store.octets(world.alice, row.blob) == mail()

    async def test_undelete_into_another_mailbox_in_the_order_of_arrival(self, world: World) -> None:
        added = await world.fill(world.alice, 3)
        await world.expunge(world.alice, 3)
        await world.expunge(world.alice, 1, 2)
        sent = await world.named(world.alice, "Sent")
        done = await undelete(world, added[2].email, added[0].email, added[1].email, target=sent)
        assert done.pairs == ((1, 1), (2, 2), (3, 3))
        assert (await undelete(world, added[0].email, 987_654, target=sent)).pairs == ()
        await world.fails(NoSuchMailbox, op.Undelete(world.alice, (added[0].email,), NOWHERE))

    async def test_undelete_takes_the_last_of_two_that_went_together(self, world: World) -> None:
        added = await world.append(world.alice)
        await world.copy(world.alice, (1,), INBOX)
        await world.expunge(world.alice, 1, 2)
        assert (await undelete(world, added.email)).pairs == ((2, 3),)

    async def test_undelete_takes_the_newest_of_two(self, world: World) -> None:
        added = await world.append(world.alice)
        sent = await world.named(world.alice, "Sent")
        await world.copy(world.alice, (1,), sent)
        await world.do(op.StoreFlags(world.alice, sent, (Uid(1),), "+", SEEN))
        await world.expunge(world.alice, 1)
        await world.expunge(world.alice, 1, mailbox=sent)
        await undelete(world, added.email)
        assert (await world.message(world.alice, Uid(2))).flags == SEEN
        assert await world.in_vault(world.alice) == [(INBOX, 1)]

    async def test_undelete_of_a_stranger_brings_nothing(self, world: World) -> None:
        added = await world.append(world.bob)
        await world.expunge(world.bob, 1)
        assert (await undelete(world, added.email)).pairs == ()
        assert await world.uids(world.alice) == []

    async def test_purge_forgets_what_is_old_enough(self, world: World) -> None:
        added = await world.fill(world.alice, 2)
        blob = await world.blob(world.alice)
        await world.expunge(world.alice, 1)
        old = world.now
        world.clock.advance(100)
        await world.expunge(world.alice, 2)
        assert await world.one(op.Purged, op.PurgeVault(old)) == op.Purged(0)
        assert await world.one(op.Purged, op.PurgeVault(old + 1)) == op.Purged(1)
        assert await world.in_vault(world.alice) == [(INBOX, 2)]
        assert await gone(world, world.alice, blob)
        assert await world.store.fragments(world.alice, [added[0].email]) == ()
        assert await world.store.messages(world.alice, INBOX, [Uid(1)]) == ()
        assert list((await world.changes(world.alice)).vanished) == [1, 2], "tombstones stay"
        assert (await undelete(world, added[0].email)).pairs == ()

    async def test_purge_is_done_in_bites_oldest_first(self, world: World) -> None:
        await world.fill(world.alice, 5)
        for uid in (4, 2, 5, 1, 3):
            await world.expunge(world.alice, uid)
            world.clock.advance(1)
        assert await world.one(op.Purged, op.PurgeVault(world.now + 1, limit=2)) == op.Purged(2)
        assert await world.in_vault(world.alice) == [(INBOX, 1), (INBOX, 3), (INBOX, 5)]
        assert await world.purge() == 3
        assert await world.purge() == 0

    async def test_contents_go_with_the_last_copy(self, world: World) -> None:
        added = await world.append(world.alice)
        blob = await world.blob(world.alice)
        sent = await world.named(world.alice, "Sent")
        await world.copy(world.alice, (1,), sent)
        await world.expunge(world.alice, 1)
        assert await world.purge() == 1
        assert not await gone(world, world.alice, blob)
        assert len(await world.store.fragments(world.alice, [added.email])) == 1
        await world.expunge(world.alice, 1, mailbox=sent)
        assert not await gone(world, world.alice, blob)
        assert await world.purge() == 1
        assert await gone(world, world.alice, blob)

    async def test_a_moved_message_is_not_kept_by_where_it_was(self, world: World) -> None:
        await world.append(world.alice)
        blob = await world.blob(world.alice)
        sent = await world.named(world.alice, "Sent")
        await world.copy(world.alice, (1,), sent, move=True)
        assert await world.purge() == 0
        assert not await gone(world, world.alice, blob)
        await world.expunge(world.alice, 1, mailbox=sent)
        assert await world.purge() == 1
        assert await gone(world, world.alice, blob)

    # --- tombstones --------------------------------------------------------------------------------

    async def test_tombstones_are_forgotten_and_said_to_be(self, world: World) -> None:
        await world.fill(world.alice, 4)
        first = await world.expunge(world.alice, 1)
        await world.purge()
        world.clock.advance(100)
        second = await world.expunge(world.alice, 2)
        await world.purge()
        assert await world.one(op.Purged, op.DropTombstones(world.now)) == op.Purged(1)
        assert await world.one(op.Purged, op.DropTombstones(world.now)) == op.Purged(0)
        old = await world.changes(world.alice, first.modseq - 1)
        assert (list(old.vanished), old.complete) == ([2], False)
        since = await world.changes(world.alice, first.modseq)
        assert (list(since.vanished), since.complete) == ([2], True)
        assert (await world.changes(world.alice, second.modseq)).complete
        box = await world.box(world.alice)
        assert (box.uid_next, box.modseq) == (5, second.modseq), "nothing changed for who is up to date"

    async def test_what_the_vault_holds_keeps_its_tombstone(self, world: World) -> None:
        await world.fill(world.alice, 3)
        await world.expunge(world.alice, 1)
        await world.copy(world.alice, (2,), await world.named(world.alice, "Sent"), move=True)
        assert await world.one(op.Purged, op.DropTombstones(world.now + 1)) == op.Purged(1)
        assert await world.in_vault(world.alice) == [(INBOX, 1)]
        assert list((await world.changes(world.alice)).vanished) == [1]

    async def test_tombstones_go_in_bites_oldest_first(self, world: World) -> None:
        await world.fill(world.alice, 4)
        for uid in (3, 1, 4, 2):
            await world.expunge(world.alice, uid)
            await world.purge()
            world.clock.advance(1)
        assert await world.one(op.Purged, op.DropTombstones(world.now, limit=3)) == op.Purged(3)
        assert list((await world.changes(world.alice)).vanished) == [2]

    async def test_tombstones_of_a_deleted_mailbox_go_too(self, world: World) -> None:
        work = await world.one(op.MailboxCreated, op.CreateMailbox(world.alice, "Work"))
        await world.append(world.alice, mailbox=work.mailbox)
        await world.do(op.DeleteMailbox(world.alice, work.mailbox))
        await world.purge()
        assert await world.one(op.Purged, op.DropTombstones(world.now + 1)) == op.Purged(1)

    # --- expiry ------------------------------------------------------------------------------------

    async def test_a_mailbox_expires_by_when_mail_came_into_it(self, world: World) -> None:
        trash = await world.named(world.alice, "Trash")
        await world.do(op.SetMailbox(world.alice, trash, expire_days=7))
        await world.append(world.alice, mail("stays in the inbox"))
        await world.append(world.alice, mail("old in the inbox"))
        await world.append(world.alice, mail("one"), trash, internal_date=1)
        start = world.now
        world.clock.advance(5 * DAY)
        await world.copy(world.alice, (2,), trash, move=True)
        assert await world.one(op.Purged, op.ExpireMailboxes(start + 7 * DAY)) == op.Purged(0)
        before = await world.box(world.alice, trash)
        assert await world.one(op.Purged, op.ExpireMailboxes(start + 7 * DAY + 1)) == op.Purged(1)
        assert await world.uids(world.alice, trash) == [2]
        assert (await world.box(world.alice, trash)).modseq > before.modseq
        assert await world.in_vault(world.alice) == [(trash, 1)]
        assert await world.one(op.Purged, op.ExpireMailboxes(start + 100 * DAY)) == op.Purged(1)
        assert await world.uids(world.alice) == [1], "a mailbox without expiry keeps everything"

    async def test_expiry_is_done_in_bites_and_can_be_switched_off(self, world: World) -> None:
        junk = await world.named(world.alice, "Junk")
        other = await world.named(world.bob, "Junk")
        await world.do(
            op.SetMailbox(world.alice, junk, expire_days=1), op.SetMailbox(world.bob, other, expire_days=1)
        )
        await world.fill(world.alice, 3, junk)
        await world.fill(world.bob, 3, other)
        late = world.now + 2 * DAY
        assert await world.one(op.Purged, op.ExpireMailboxes(late, limit=4)) == op.Purged(4)
        assert await world.uids(world.alice, junk) == []
        assert await world.uids(world.bob, other) == [2 + 0, 3]
        await world.do(op.SetMailbox(world.bob, other, expire_days=0))
        assert await world.one(op.Purged, op.ExpireMailboxes(late)) == op.Purged(0)

    # --- erasure -----------------------------------------------------------------------------------

    async def test_erasure_overrides_mailbox_and_vault(self, world: World) -> None:
        first, second, third = await world.fill(world.alice, 3)
        blob = await world.blob(world.alice)
        sent = await world.named(world.alice, "Sent")
        await world.copy(world.alice, (1,), sent)
        await world.expunge(world.alice, 2)
        await world.expunge(world.alice, 1)
        done = await world.erase(world.alice, first.email, second.email)
        assert done.modseq == (await world.account(world.alice)).modseq
        assert await world.uids(world.alice) == [3]
        assert await world.uids(world.alice, sent) == []
        assert await world.store.vault(world.alice) == ()
        assert await gone(world, world.alice, blob)
        assert await world.store.fragments(world.alice, [first.email, second.email]) == ()
        assert list((await world.changes(world.alice, 0, sent)).vanished) == [1], "other sessions learn of it"
        assert (await world.account(world.alice)).used_octets == len(mail("number 2"))
        assert len(await world.store.fragments(world.alice, [third.email])) == 1

    async def test_erasing_what_is_not_there_does_nothing(self, world: World) -> None:
        before = await world.account(world.alice)
        assert (await world.erase(world.alice)).modseq == before.modseq
        assert (await world.erase(world.alice, 987_654)).modseq == before.modseq  # type: ignore[arg-type]

    @pytest.mark.parametrize("shared", [True, False])
    async def test_erasure_of_one_account_leaves_the_others_copy(self, world: World, shared: bool) -> None:
        if shared:
            await world.do(
                op.Append(world.alice, INBOX, 0), op.Append(world.bob, INBOX, 0), contents=(mail(),)
            )
        else:
            await world.append(world.alice)
            await world.append(world.bob)
        mine, his = await world.blob(world.alice), await world.blob(world.bob)
        await world.erase(world.alice, (await world.message(world.alice, Uid(1))).email)
        assert await gone(world, world.alice, mine)
        assert await world.store.octets(world.bob, his) == mail()
        await world.erase(world.bob, (await world.message(world.bob, Uid(1))).email)
        assert await gone(world, world.bob, his)
