"""The rules of what each reader of another's mailbox has seen."""

from __future__ import annotations

from a3mailer.mail.errors import NoSuchAccount, NoSuchMailbox
from a3mailer.mail.flags import ALL_FLAGS, ANSWERED, DELETED, FLAGGED, SEEN
from a3mailer.mail.ids import INBOX, AccountId, MailboxId, ModSeq, Uid
from a3mailer.store import operations as op
from a3mailer.testing.store.case import Ear, StoreCase, World

NOBODY = AccountId(987_654)


async def store(
    world: World, mode: str, flags: int, *uids: int, since: int = -1, **more: object
) -> op.Flagged:
    """Bob changes flags in alice's INBOX."""
    given = {"reader": world.bob, **more}
    return await world.one(
        op.Flagged,
        op.StoreFlags(
            world.alice,
            INBOX,
            tuple(map(Uid, uids)),
            mode,
            flags,
            unchanged_since=since,
            **given,  # type: ignore[arg-type]
        ),
    )


async def seen_by(world: World, reader: AccountId, mailbox: MailboxId = INBOX) -> list[int]:
    """Uids of alice's messages that a reader has seen; the count of the others is right."""
    box, columns = await world.store.columns_seen_by(reader, world.alice, mailbox)
    seen = [uid for uid, flags in zip(columns.uids, columns.flags, strict=True) if flags & SEEN]
    assert box.unseen == len(columns.uids) - len(seen)
    assert box == await world.store.mailbox_seen_by(reader, world.alice, mailbox)
    assert box in await world.store.mailboxes_seen_by(reader, world.alice)
    return seen


async def changed_for(world: World, reader: AccountId, since: int) -> dict[int, int]:
    """uid -> modseq of what changed for a reader in alice's INBOX."""
    changes = await world.store.changes_seen_by(reader, world.alice, INBOX, ModSeq(since))
    assert changes.modseq == (await world.box(world.alice)).modseq
    return dict(zip(changes.changed.uids, changes.changed.modseqs, strict=True))


class SeenRules(StoreCase):
    """\\\\Seen is each reader's own."""

    async def test_each_has_seen_what_he_has_seen(self, world: World) -> None:
        carol = await world.create("carol@a.test")
        await world.fill(world.alice, 3)
        await world.do(op.StoreFlags(world.alice, INBOX, (Uid(1),), "+", SEEN))
        before = await world.box(world.alice)
        assert await seen_by(world, world.bob) == []
        done = await store(world, "+", SEEN, 2, 3)
        assert (done.changed, done.refused) == ((2, 3), ())
        assert done.modseq == before.modseq + 1 == (await world.account(world.alice)).modseq
        assert await seen_by(world, world.bob) == [2, 3]
        assert await seen_by(world, carol) == []
        after = await world.box(world.alice)
        assert (after.unseen, after.modseq) == (before.unseen, done.modseq), "the owner's own are his"
        _, columns = await world.store.columns(world.alice, INBOX)
        assert [flags & SEEN for flags in columns.flags] == [SEEN, 0, 0]
        await store(world, "-", SEEN, 3, 1)
        assert await seen_by(world, world.bob) == [2]
        await store(world, "=", 0, 1, 2, 3)
        assert await seen_by(world, world.bob) == []
        assert (await world.box(world.alice)).unseen == before.unseen

    async def test_what_jmap_moves_has_been_seen_by_who_saw_it(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        done = (await world.fill(world.alice, 2))[0]
        await store(world, "+", SEEN, 1)
        await world.do(op.ChangeEmail(world.alice, done.email, mailboxes=(sent,)))
        _, columns = await world.store.columns_seen_by(world.bob, world.alice, sent)
        assert [flags & SEEN for flags in columns.flags] == [SEEN]
        assert (await world.store.mailbox_seen_by(world.bob, world.alice, sent)).unseen == 0

    async def test_other_flags_are_everybodys(self, world: World) -> None:
        await world.fill(world.alice, 2)
        await store(world, "+", SEEN | FLAGGED | DELETED, 1)
        _, columns = await world.store.columns(world.alice, INBOX)
        assert list(columns.flags) == [FLAGGED | DELETED, 0]
        assert (await world.box(world.alice)).deleted == 1
        _, columns = await world.store.columns_seen_by(world.bob, world.alice, INBOX)
        assert list(columns.flags) == [SEEN | FLAGGED | DELETED, 0]
        await world.do(op.StoreFlags(world.alice, INBOX, (Uid(1),), "=", ANSWERED))
        assert await seen_by(world, world.bob) == [1]

    async def test_what_others_have_seen_is_no_change(self, world: World) -> None:
        carol = await world.create("carol@a.test")
        await world.fill(world.alice, 3)
        start = (await world.box(world.alice)).modseq
        ear = Ear(world.store)
        first = await store(world, "+", SEEN, 2)
        await ear.hears_of(world.alice, INBOX)
        ear.stop()
        assert await changed_for(world, world.bob, start) == {2: first.modseq}
        assert await changed_for(world, carol, start) == {}
        assert list((await world.changes(world.alice, start)).changed.uids) == []
        done = await world.one(op.Flagged, op.StoreFlags(world.alice, INBOX, (Uid(1),), "+", FLAGGED))
        assert await changed_for(world, world.bob, start) == {1: done.modseq, 2: first.modseq}
        assert await changed_for(world, world.bob, first.modseq) == {1: done.modseq}
        assert await changed_for(world, carol, start) == {1: done.modseq}
        again = await store(world, "-", SEEN, 2)
        assert await changed_for(world, world.bob, done.modseq) == {2: again.modseq}
        nothing = await store(world, "-", SEEN, 1, 2)
        assert (nothing.changed, nothing.modseq) == ((), again.modseq)

    async def test_unchanged_since_counts_ones_own_marks(self, world: World) -> None:
        await world.fill(world.alice, 2)
        start = (await world.box(world.alice)).modseq
        mark = await store(world, "+", SEEN, 1)
        done = await store(world, "+", FLAGGED, 1, 2, since=start)
        assert (done.changed, done.refused) == ((2,), (1,))
        mine = await world.one(
            op.Flagged, op.StoreFlags(world.alice, INBOX, (Uid(1),), "+", FLAGGED, unchanged_since=start)
        )
        assert mine.changed == (1,), "the owner's message has not changed"
        done = await store(world, "+", ANSWERED, 1, since=max(mark.modseq, mine.modseq))
        assert done.changed == (1,)

    async def test_only_what_the_mask_lets_through_changes(self, world: World) -> None:
        await world.append(world.alice, flags=FLAGGED, keywords=("a",))
        done = await store(world, "=", DELETED | ANSWERED, 1, mask=ANSWERED, words=False, keywords=("b",))
        assert done.changed == (1,)
        row = await world.message(world.alice, Uid(1))
        assert (row.flags, row.keywords) == (FLAGGED | ANSWERED, "a")
        assert (await world.box(world.alice)).keywords == ("a",)
        done = await store(world, "+", SEEN | DELETED, 1, mask=ANSWERED)
        assert done.changed == ()
        mine = op.StoreFlags(world.alice, INBOX, (Uid(1),), "-", ALL_FLAGS, mask=FLAGGED)
        assert (await world.one(op.Flagged, mine)).changed == (1,)
        assert (await world.message(world.alice, Uid(1))).flags == ANSWERED

    async def test_what_goes_takes_its_marks_along(self, world: World) -> None:
        await world.fill(world.alice, 4)
        await store(world, "+", SEEN, 1, 2, 3)
        before = (await world.box(world.alice)).modseq
        await world.expunge(world.alice, 2)
        assert await seen_by(world, world.bob) == [1, 3]
        changes = await world.store.changes_seen_by(world.bob, world.alice, INBOX, ModSeq(before))
        assert list(changes.vanished) == [2]
        assert list(changes.changed.uids) == []
        made = await world.one(op.MailboxCreated, op.CreateMailbox(world.alice, "Work"))
        await world.do(op.Copy(world.alice, INBOX, (Uid(1),), made.mailbox))
        assert await seen_by(world, world.bob, made.mailbox) == [1]
        await world.do(op.DeleteMailbox(world.alice, made.mailbox))
        await world.do(op.ResetAccount(world.alice))
        assert await seen_by(world, world.bob) == []
        await world.fill(world.alice, 1)
        assert await seen_by(world, world.bob) == []
        await store(world, "+", SEEN, 1)
        await world.do(op.RemoveAccount(world.bob, 0))
        assert await seen_by(world, world.bob) == []

    async def test_copies_are_seen_by_whom_the_first_was(self, world: World) -> None:
        carol = await world.create("carol@a.test")
        sent = await world.named(world.alice, "Sent")
        await world.fill(world.alice, 2)
        await store(world, "+", SEEN, 1)
        await store(world, "+", SEEN, 2, reader=carol)
        start = (await world.box(world.alice, sent)).modseq
        await world.do(op.Copy(world.alice, INBOX, (Uid(1), Uid(2)), sent, move=True, reader=world.bob))
        assert await seen_by(world, world.bob, sent) == [1]
        assert await seen_by(world, carol, sent) == [2]
        assert await seen_by(world, world.bob) == []
        changes = await world.store.changes_seen_by(world.bob, world.alice, sent, start)
        assert list(changes.changed.flags) == [SEEN, 0]
        await world.do(
            op.Copy(world.alice, sent, (Uid(1), Uid(2)), INBOX, reader=world.bob, mask=ALL_FLAGS & ~SEEN)
        )
        assert await seen_by(world, world.bob) == []
        assert await seen_by(world, carol) == [4]

    async def test_a_copy_has_the_flags_the_mask_lets_through(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        await world.append(world.alice, flags=SEEN | FLAGGED | DELETED, keywords=("a",))
        for reader, mask, words, expected in (
            (AccountId(0), DELETED, False, (DELETED, "")),
            (world.bob, DELETED, True, (SEEN | DELETED, "a")),
        ):
            copy = op.Copy(world.alice, INBOX, (Uid(1),), sent, False, reader, mask, words)
            ((_, uid),) = (await world.one(op.Copied, copy)).pairs
            row = await world.message(world.alice, uid, sent)
            assert (row.flags, row.keywords) == expected
        assert (await world.box(world.alice, sent)).unseen == 1

    async def test_what_one_has_just_put_there(self, world: World) -> None:
        await world.fill(world.alice, 3)
        await world.one(op.Done, op.SeeNewest(world.alice, INBOX, world.bob, 2))
        assert await seen_by(world, world.bob) == [2, 3]
        done = await world.one(op.Done, op.SeeNewest(world.alice, INBOX, world.bob, 9))
        assert await seen_by(world, world.bob) == [1, 2, 3]
        assert await world.one(op.Done, op.SeeNewest(world.alice, INBOX, world.bob, 9)) == done
        assert (await world.box(world.alice)).unseen == 3

    async def test_errors(self, world: World) -> None:
        await world.fill(world.alice, 1)
        await world.fails(NoSuchMailbox, op.SeeNewest(world.alice, MailboxId(9_999), world.bob, 1))
        await world.fails(NoSuchAccount, op.SeeNewest(world.alice, INBOX, NOBODY, 1))
        await world.fails(
            NoSuchAccount, op.StoreFlags(world.alice, INBOX, (Uid(1),), "+", SEEN, reader=NOBODY)
        )
        for read in (world.store.mailbox_seen_by, world.store.columns_seen_by):
            try:
                await read(world.bob, world.alice, MailboxId(9_999))
            except NoSuchMailbox:
                continue
            raise AssertionError(read)
