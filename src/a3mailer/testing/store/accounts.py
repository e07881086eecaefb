"""The rules of an account's mail as a whole: emails by id, threads, changes, acts on all rows of an email."""

from __future__ import annotations

from a3mailer.mail.errors import NoSuchAccount, NoSuchMailbox, NoSuchMessage, OverQuota
from a3mailer.mail.flags import DELETED, FLAGGED, SEEN
from a3mailer.mail.ids import INBOX, AccountId, BlobId, EmailId, MailboxId, ModSeq, ThreadId, Uid
from a3mailer.store import operations as op
from a3mailer.store.rows import PUSH, SCRIPT, SCRIPT_LIST, SCRIPT_ROLL, AccountChanges
from a3mailer.testing.store.case import StoreCase, World, mail

NOWHERE = MailboxId(987_654)
YEAR = 365 * 86_400


async def _rows(world: World, *emails: int) -> list[tuple[int, int, int]]:
    """(email, mailbox, uid) of each row."""
    found = await world.store.places(world.alice, [EmailId(email) for email in emails])
    return [(row.email, row.mailbox, row.uid) for row in found]


async def _since(world: World, modseq: int) -> AccountChanges:
    return await world.store.account_changes(world.alice, ModSeq(modseq))


async def _modseq(world: World) -> int:
    return (await world.account(world.alice)).modseq


class AccountMailRules(StoreCase):
    """Reading it."""

    async def test_an_email_is_found_wherever_it_lies(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        trash = await world.named(world.alice, "Trash")
        one = await world.append(world.alice)
        two = await world.append(world.alice)
        assert await _rows(world, one.email) == [(one.email, INBOX, 1)]
        await world.copy(world.alice, (1,), sent)
        assert await _rows(world, one.email, two.email) == [
            (one.email, INBOX, 1), (one.email, sent, 1), (two.email, INBOX, 2),
        ]  # fmt: skip
        await world.copy(world.alice, (1, 2), trash, move=True)
        assert await _rows(world, two.email, one.email) == [
            (one.email, sent, 1), (one.email, trash, 1), (two.email, trash, 2),
        ]  # fmt: skip
        await world.expunge(world.alice, 1, mailbox=sent)
        await world.expunge(world.alice, 1, 2, mailbox=trash)
        assert await _rows(world, one.email, two.email) == []
        await world.one(op.Copied, op.Undelete(world.alice, (two.email,), INBOX))
        assert await _rows(world, one.email, two.email) == [(two.email, INBOX, 3)]
        assert await world.store.places(world.bob, [one.email, two.email]) == ()

    async def test_a_thread_has_all_its_emails(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        first = await world.append(world.alice, mail(message_id="1@x"))
        other = await world.append(world.alice, mail(message_id="9@x"))
        answer = await world.append(world.alice, mail(message_id="2@x", references="1@x"), sent)
        assert answer.thread == first.thread != other.thread
        await world.copy(world.alice, (answer.uid,), INBOX, source=sent)
        found = await world.store.thread_places(world.alice, [first.thread])
        assert [(m.email, m.mailbox) for m in found] == [
            (first.email, INBOX), (answer.email, INBOX), (answer.email, sent),
        ]  # fmt: skip
        await world.expunge(world.alice, first.uid)
        found = await world.store.thread_places(world.alice, [first.thread, other.thread])
        assert {m.email for m in found} == {answer.email, other.email}
        assert await world.store.thread_places(world.alice, [ThreadId(answer.email)]) == ()

    async def test_rows_are_found_by_their_content(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        one = await world.append(world.alice, mail("one"))
        two = await world.append(world.alice, mail("two"))
        theirs = await world.append(world.bob, mail("theirs"))
        await world.copy(world.alice, (one.uid,), sent)
        blobs = {row.email: row.blob for row in await world.store.places(world.alice, [one.email, two.email])}
        (other,) = await world.store.places(world.bob, [theirs.email])
        unknown = BlobId(b"\xff" * 16)

        async def emails(*wanted: BlobId) -> list[tuple[int, int]]:
            found = await world.store.blob_places(world.alice, wanted)
            return [(row.email, row.mailbox) for row in found]

        assert await emails(blobs[one.email], unknown) == [(one.email, INBOX), (one.email, sent)]
        assert await emails(blobs[two.email], blobs[two.email]) == [(two.email, INBOX)]
        assert await emails(unknown) == await emails() == []
        if other.blob not in blobs.values():
            assert await emails(other.blob) == []
        await world.expunge(world.alice, two.uid)
        assert await emails(blobs[two.email]) == []

    async def test_the_columns_are_all_there_is(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        one = await world.append(world.alice, internal_date=77, keywords=("x",))
        two = await world.append(world.alice, mailbox=sent, flags=SEEN)
        columns = await world.store.account_columns(world.alice)
        assert list(columns.mailboxes) == [INBOX, sent]
        assert list(columns.emails) == [one.email, two.email]
        assert list(columns.threads) == [one.thread, two.thread]
        assert list(columns.dates) == [77, world.now]
        assert (list(columns.flags), columns.keywords) == ([0, SEEN], {0: "x"})
        assert columns.modseq == two.modseq
        with_nobody = AccountId(987_654)
        for read in (
            world.store.account_columns(with_nobody),
            world.store.account_changes(with_nobody, ModSeq(0)),
        ):
            try:
                await read
            except NoSuchAccount:
                continue
            raise AssertionError("an account that is not there was read")

    async def test_changes_of_an_account(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        old = await world.fill(world.alice, 4)
        since = await _modseq(world)
        assert await _since(world, since) == AccountChanges(ModSeq(since), (), (), (), (), True)
        new = await world.append(world.alice, mail("new"))
        await world.flag(world.alice, (1,), "+", FLAGGED)
        await world.copy(world.alice, (2,), sent, move=True)
        await world.expunge(world.alice, 3)
        changes = await _since(world, since)
        assert changes.modseq == await _modseq(world)
        assert [(row.mailbox, row.uid, row.email, row.added > since) for row in changes.changed] == [
            (INBOX, 1, old[0].email, False),
            (INBOX, new.uid, new.email, True),
            (sent, 1, old[1].email, True),
        ]
        assert [(row.uid, row.email, row.thread, row.added) for row in changes.gone] == [
            (2, old[1].email, old[1].thread, old[1].modseq),
            (3, old[2].email, old[2].thread, old[2].modseq),
        ]
        assert [row.modseq for row in changes.gone] == [changes.modseq - 1, changes.modseq]
        assert set(changes.mailboxes) == {INBOX, sent}
        assert (changes.mailboxes_gone, changes.complete) == ((), True)

    async def test_changes_of_mailboxes(self, world: World) -> None:
        since = await _modseq(world)
        made = await world.one(op.MailboxCreated, op.CreateMailbox(world.alice, "A"))
        box = await world.box(world.alice, made.mailbox)
        assert box.added == box.changed == made.modseq
        between = await _modseq(world)
        await world.append(world.alice, mailbox=made.mailbox)
        assert (await world.box(world.alice, made.mailbox)).changed == made.modseq
        await world.do(op.SetMailbox(world.alice, INBOX, sort_order=7))
        inbox = await world.box(world.alice)
        assert (inbox.sort_order, inbox.changed) == (7, await _modseq(world))
        await world.do(op.RenameMailbox(world.alice, made.mailbox, "B/C"))
        parent = await world.named(world.alice, "B")
        assert (await world.box(world.alice, made.mailbox)).changed == await _modseq(world)
        changes = await _since(world, since)
        assert set(changes.mailboxes) == {INBOX, made.mailbox, parent}
        await world.do(op.DeleteMailbox(world.alice, made.mailbox))
        changes = await _since(world, between)
        assert changes.mailboxes_gone == ((made.mailbox, made.modseq, changes.modseq),)
        assert [(row.mailbox, row.added > between) for row in changes.gone] == [(made.mailbox, True)]
        assert set(changes.mailboxes) == {INBOX, parent}

    async def test_what_was_forgotten_makes_changes_incomplete(self, world: World) -> None:
        made = await world.one(op.MailboxCreated, op.CreateMailbox(world.alice, "A"))
        await world.append(world.alice, mailbox=made.mailbox)
        await world.append(world.alice)
        since = await _modseq(world)
        await world.do(op.DeleteMailbox(world.alice, made.mailbox))
        deleted = await _modseq(world)
        await world.expunge(world.alice, 1)
        await world.purge()
        assert (await _since(world, since)).complete
        await world.do(op.DropTombstones(world.now + 1))
        changes = await _since(world, since)
        assert (changes.complete, changes.gone, changes.mailboxes_gone) == (False, (), ())
        assert not (await _since(world, deleted)).complete
        assert (await _since(world, await _modseq(world))).complete

    async def test_an_account_that_was_reset_begins_anew(self, world: World) -> None:
        await world.append(world.alice)
        since = await _modseq(world)
        await world.do(op.ResetAccount(world.alice))
        assert not (await _since(world, since - 1)).complete

    async def test_an_account_that_was_reset_has_no_scripts(self, world: World) -> None:
        """Nor does it remember what they did; of other kinds all stays, and so does all of others."""
        kinds = (SCRIPT_ROLL, SCRIPT, SCRIPT_LIST, "sieve-seen")
        for account in (world.alice, world.bob):
            for kind in (*kinds, PUSH):
                await world.do(op.PutDocument(account, kind, "x", "y"))
        await world.do(op.ResetAccount(world.alice))
        left = {kind: len(await world.store.documents(world.alice, kind)) for kind in (*kinds, PUSH)}
        assert left == dict.fromkeys(kinds, 0) | {PUSH: 1}
        assert all([await world.store.documents(world.bob, kind) for kind in kinds])


class EmailRules(StoreCase):
    """Acts on all rows of an email."""

    async def test_keywords_of_a_moved_email_are_in_order(self, world: World) -> None:
        """Else a STORE that sets one of them again is a change."""
        words = tuple("abcdefgh")
        sent = await world.named(world.alice, "Sent")
        added = await world.append(world.alice, keywords=words)
        await world.do(op.ChangeEmail(world.alice, added.email, mailboxes=(sent,)))
        assert (await world.message(world.alice, Uid(1), sent)).keywords == " ".join(words)
        again = op.StoreFlags(world.alice, sent, (Uid(1),), "+", 0, ("a",))
        assert (await world.one(op.Flagged, again)).changed == ()

    async def test_keywords_of_all_rows_change_together(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        done = await world.append(world.alice, flags=FLAGGED, keywords=("x",))
        await world.copy(world.alice, (1,), sent)
        await world.flag(world.alice, (1,), "+", SEEN, ("y",))
        since = await _modseq(world)
        made = await world.one(
            op.Done, op.ChangeEmail(world.alice, done.email, SEEN, FLAGGED, ("z",), ("x",))
        )
        rows = await world.store.places(world.alice, [done.email])
        assert [(m.flags, m.keywords, m.modseq) for m in rows] == [
            (SEEN, "y z", made.modseq), (SEEN, "z", made.modseq),
        ]  # fmt: skip
        assert made.modseq == since + 1 == (await world.box(world.alice)).modseq
        assert (await world.box(world.alice, sent)).unseen == 0
        assert "z" in (await world.box(world.alice, sent)).keywords
        await world.do(op.ChangeEmail(world.alice, done.email, keywords=("only",), keywords_off=None))
        rows = await world.store.places(world.alice, [done.email])
        assert [m.keywords for m in rows] == ["only", "only"]
        again = await _modseq(world)
        await world.do(op.ChangeEmail(world.alice, done.email, SEEN))
        assert await _modseq(world) == again

    async def test_mailboxes_of_an_email_change(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        trash = await world.named(world.alice, "Trash")
        done = await world.append(world.alice, keywords=("x",))
        before = await world.message(world.alice, done.uid)
        await world.do(op.ChangeEmail(world.alice, done.email, SEEN, into=(sent, trash), out_of=(INBOX,)))
        rows = await world.store.places(world.alice, [done.email])
        assert [(m.mailbox, m.flags, m.keywords, m.thread) for m in rows] == [
            (sent, SEEN, "x", done.thread), (trash, SEEN, "x", done.thread),
        ]  # fmt: skip
        assert {m.internal_date for m in rows} == {before.internal_date}
        assert await world.in_vault(world.alice) == []
        assert (await world.account(world.alice)).used_messages == 2
        await world.do(op.ChangeEmail(world.alice, done.email, mailboxes=(INBOX,)))
        assert await _rows(world, done.email) == [(done.email, INBOX, 2)]
        assert list((await world.changes(world.alice)).vanished) == [1]
        await world.do(op.DestroyEmails(world.alice, (done.email,)))
        await world.purge()
        assert await world.store.fragments(world.alice, [done.email]) == ()

    async def test_an_email_stays_in_one_mailbox_at_least(self, world: World) -> None:
        done = await world.append(world.alice)
        await world.fails(NoSuchMailbox, op.ChangeEmail(world.alice, done.email, out_of=(INBOX,)))
        await world.fails(NoSuchMailbox, op.ChangeEmail(world.alice, done.email, mailboxes=()))
        await world.fails(NoSuchMailbox, op.ChangeEmail(world.alice, done.email, into=(NOWHERE,)))
        await world.fails(NoSuchMessage, op.ChangeEmail(world.alice, EmailId(987), SEEN))
        await world.fails(NoSuchMessage, op.ChangeEmail(world.bob, done.email, SEEN))
        await world.do(op.ChangeAccount(world.alice, quota=len(mail())))
        sent = await world.named(world.alice, "Sent")
        await world.fails(OverQuota, op.ChangeEmail(world.alice, done.email, into=(sent,)))
        await world.do(op.ChangeEmail(world.alice, done.email, mailboxes=(sent,)))
        assert await _rows(world, done.email) == [(done.email, sent, 1)]

    async def test_what_is_marked_deleted_is_not_there(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        done = await world.append(world.alice, flags=DELETED)
        await world.fails(NoSuchMessage, op.ChangeEmail(world.alice, done.email, SEEN))
        gone = await world.one(op.Destroyed, op.DestroyEmails(world.alice, (done.email,)))
        assert gone.emails == ()
        await world.copy(world.alice, (1,), sent)
        await world.one(op.Flagged, op.StoreFlags(world.alice, sent, (Uid(1),), "-", DELETED))
        await world.do(op.ChangeEmail(world.alice, done.email, SEEN))
        rows = await world.store.places(world.alice, [done.email])
        assert [m.flags for m in rows] == [DELETED, SEEN]
        await world.do(op.ChangeEmail(world.alice, done.email, into=(INBOX,)))
        rows = await world.store.places(world.alice, [done.email])
        assert [(m.uid, m.flags) for m in rows] == [(1, SEEN), (1, SEEN)]
        assert (await world.box(world.alice)).deleted == 0

    async def test_emails_are_destroyed_in_all_mailboxes(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        one, two, three = await world.fill(world.alice, 3)
        await world.copy(world.alice, (1,), sent)
        gone = await world.one(
            op.Destroyed, op.DestroyEmails(world.alice, (two.email, one.email, EmailId(987)))
        )
        assert gone.emails == (one.email, two.email)
        assert gone.modseq == await _modseq(world)
        assert await _rows(world, one.email, two.email, three.email) == [(three.email, INBOX, 3)]
        assert await world.in_vault(world.alice) == [(INBOX, 1), (INBOX, 2), (sent, 1)]
        assert (
            (await world.box(world.alice)).modseq
            == (await world.box(world.alice, sent)).modseq
            == gone.modseq
        )

    async def test_a_mail_may_come_into_several_mailboxes(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        done = await world.append(world.alice, flags=SEEN, keywords=("x",), also=(sent,))
        rows = await world.store.places(world.alice, [done.email])
        assert [(m.mailbox, m.flags, m.keywords, m.modseq) for m in rows] == [
            (INBOX, SEEN, "x", done.modseq), (sent, SEEN, "x", done.modseq),
        ]  # fmt: skip
        assert (await world.account(world.alice)).used_messages == 2
        await world.fails(
            NoSuchMailbox, op.Append(world.alice, INBOX, 0, also=(NOWHERE,)), contents=(mail(),)
        )
