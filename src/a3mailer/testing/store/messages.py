"""The rules of messages: uids, flags, modseqs and tombstones (RFC 9051, RFC 7162, RFC 6851, RFC 8474)."""

from __future__ import annotations

import asyncio
import random
from array import array

import pytest

from a3mailer.mail.errors import NoSuchMailbox, NoSuchMessage, OverQuota, TooMany
from a3mailer.mail.flags import ANSWERED, DELETED, FLAGGED, MAX_MAILBOX_KEYWORDS, SEEN
from a3mailer.mail.ids import INBOX, AccountId, EmailId, MailboxId, Uid
from a3mailer.mail.mailbox import MAX_NAME
from a3mailer.mail.message import index
from a3mailer.store import operations as op
from a3mailer.store.rows import Columns
from a3mailer.testing.store.case import Ear, StoreCase, World, mail
from a3mailer.testing.store.picture import plain_columns

NOWHERE = MailboxId(987_654)


class AppendRules(StoreCase):
    """What a new message is."""

    async def test_append_answers_what_is_stored(self, world: World) -> None:
        octets = mail()
        done = await world.append(world.alice, octets, flags=SEEN | FLAGGED, keywords=("b", "a", "b"))
        row = await world.message(world.alice, done.uid)
        assert (row.uid, row.email, row.thread, row.modseq) == (1, done.email, done.thread, done.modseq)
        assert (row.flags, row.keywords, row.size) == (SEEN | FLAGGED, "a b", len(octets))
        assert (row.account, row.mailbox) == (world.alice, INBOX)
        assert row.internal_date == row.saved_date == world.now
        box = await world.box(world.alice)
        assert (box.messages, box.unseen, box.deleted, box.octets) == (1, 0, 0, len(octets))
        assert (box.uid_next, box.modseq, box.keywords) == (2, done.modseq, ("a", "b"))
        assert done.uid_validity == box.uid_validity
        account = await world.account(world.alice)
        assert (account.used_octets, account.used_messages) == (len(octets), 1)
        assert account.modseq == done.modseq
        assert await world.store.octets(world.alice, row.blob) == octets

    async def test_the_internal_date_may_be_given(self, world: World) -> None:
        done = await world.append(world.alice, internal_date=1_000_000)
        row = await world.message(world.alice, done.uid)
        assert (row.internal_date, row.saved_date) == (1_000_000, world.now)

    async def test_what_was_precomputed_is_read_back(self, world: World) -> None:
        octets = mail("Re: lunch", "At noon.")
        done = await world.append(world.alice, octets)
        found = index(octets)
        (fragments,) = await world.store.fragments(world.alice, [done.email])
        assert (fragments.envelope, fragments.bodystructure) == (found.envelope, found.bodystructure)
        assert (fragments.index, fragments.preview) == (found.pack(), found.preview)
        assert (fragments.subject, fragments.sent_date) == ("Re: lunch", found.date)
        assert (fragments.has_attachment, fragments.size) == (False, len(octets))
        assert fragments.blob == await world.blob(world.alice)

    async def test_what_is_sorted_by_comes_in_bulk_and_in_the_order_asked(self, world: World) -> None:
        octets = [mail(f"subject {number}", "x" * number) for number in range(5)]
        sent = [
            await world.append(world.alice, one, internal_date=100 * number)
            for number, one in enumerate(octets, 1)
        ]
        await world.expunge(world.alice, sent[3].uid)
        emails = [one.email for one in reversed(sent)]
        subjects = await world.store.subjects(world.alice, array("Q", emails))
        assert [subjects[at] for at in (0, 2, 3, 4)] == [f"subject {number}" for number in (4, 2, 1, 0)]
        dates = await world.store.sent_dates(world.alice, array("Q", emails))
        assert [dates[at] for at in (0, 2, 3, 4)] == [index(octets[number]).date for number in (4, 2, 1, 0)]
        lineages = await world.store.lineages(world.alice, array("Q", emails))
        assert [lineages[at] for at in (0, 2, 3, 4)] == [
            index(octets[number]).lineage for number in (4, 2, 1, 0)
        ]
        assert await world.store.lineages(world.bob, array("Q", [10**6])) == [None]
        asked = [one.uid for one in sent]
        received = await world.store.internal_dates(world.alice, INBOX, asked)
        assert received == [100, 200, 300, None, 500]
        assert await world.store.internal_dates(world.alice, INBOX, [sent[0].uid, 10**6]) == [100, None]
        assert await world.store.internal_dates(world.alice, INBOX, [sent[0].uid, sent[4].uid]) == [100, 500]
        assert await world.store.internal_dates(world.bob, INBOX, asked) == [None] * 5
        assert await world.store.subjects(world.bob, array("Q", [10**6])) == [None]
        assert await world.store.sent_dates(world.bob, array("Q", [10**6])) == [None]
        assert await world.store.subjects(world.bob, array("Q")) == []

    async def test_fragments_come_in_the_order_asked(self, world: World) -> None:
        sent = await world.fill(world.alice, 3)
        emails = [sent[2].email, sent[0].email, sent[1].email]
        envelopes = [index(mail(f"number {n}")).envelope for n in (2, 0, 1)]
        numbers = array("Q", [*emails, 987_654])
        assert await world.store.envelopes(world.alice, numbers) == [*envelopes, b""]
        structures = await world.store.bodystructures(world.alice, numbers)
        assert structures == [*[index(mail("number 0")).bodystructure] * 3, b""]
        found = await world.store.fragments(world.alice, [*emails, EmailId(987_654)])
        assert [f.email for f in found] == emails
        assert await world.store.envelopes(world.bob, numbers) == [b""] * 4
        assert await world.store.envelopes(world.alice, array("Q")) == []

    async def test_one_content_reaches_many(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        first, second, third = await world.do(
            op.Append(world.alice, INBOX, 0),
            op.Append(world.bob, INBOX, 0),
            op.Append(world.alice, sent, 0),
            contents=(mail(),),
        )
        assert isinstance(first, op.Appended)
        assert isinstance(second, op.Appended)
        assert isinstance(third, op.Appended)
        assert first.email != third.email
        assert (first.uid, second.uid, third.uid) == (1, 1, 1)
        for account, mailbox in ((world.alice, INBOX), (world.bob, INBOX), (world.alice, sent)):
            blob = await world.blob(account, mailbox=mailbox)
            assert await world.store.octets(account, blob) == mail()

    async def test_uids_follow_the_order_of_a_transaction(self, world: World) -> None:
        contents = tuple(mail(f"number {n}") for n in range(20))
        operations = tuple(op.Append(world.alice, INBOX, n) for n in range(20))
        results = await world.do(*operations, contents=contents)
        assert [r.uid for r in results if isinstance(r, op.Appended)] == list(range(1, 21))
        modseqs = [r.modseq for r in results if isinstance(r, op.Appended)]
        assert modseqs == sorted(set(modseqs))
        _, columns = await world.store.columns(world.alice, INBOX)
        subjects = [f.subject for f in await world.store.fragments(world.alice, map(EmailId, columns.emails))]
        assert subjects == [f"number {n}" for n in range(20)]

    async def test_writers_at_the_same_time_get_different_uids(self, world: World) -> None:
        got: list[int] = []

        async def one(number: int) -> None:
            got.append((await world.append(world.alice, mail(f"number {number}"))).uid)

        async with asyncio.TaskGroup() as group:
            for number in range(25):
                group.create_task(one(number))
        assert sorted(got) == list(range(1, 26)) == await world.uids(world.alice)

    async def test_errors(self, world: World) -> None:
        await world.append(world.alice)
        good = op.Append(world.alice, INBOX, 0, SEEN, ("word",))
        await world.fails(NoSuchMailbox, good, op.Append(world.alice, NOWHERE, 0), contents=(mail("x"),))
        await world.fails(NoSuchMailbox, op.Append(AccountId(987_654), INBOX, 0), contents=(mail("x"),))
        too_many = tuple(f"word{n}" for n in range(MAX_MAILBOX_KEYWORDS + 1))
        await world.fails(TooMany, op.Append(world.alice, INBOX, 0, 0, too_many), contents=(mail("x"),))
        assert (await world.append(world.alice, mail("x"))).uid == 2, "a failed append takes no uid"

    async def test_quota_refuses_clients_and_not_deliveries(self, world: World) -> None:
        octets = mail()
        await world.do(op.ChangeAccount(world.alice, quota=2 * len(octets)))
        await world.append(world.alice, octets)
        await world.append(world.alice, octets)
        await world.fails(OverQuota, op.Append(world.alice, INBOX, 0), contents=(octets,))
        await world.append(world.alice, octets, check_quota=False)
        account = await world.account(world.alice)
        assert (account.used_octets, account.used_messages) == (3 * len(octets), 3)
        await world.expunge(world.alice, 1, 2)
        await world.append(world.alice, octets)
        await world.do(op.ChangeAccount(world.alice, quota=0))
        await world.append(world.alice, octets)

    async def test_a_delivery_key_delivers_once(self, world: World) -> None:
        first = await world.append(world.alice, delivery=b"queue 1, alice")
        assert await world.append(world.alice, mail("again"), delivery=b"queue 1, alice") == first
        assert await world.uids(world.alice) == [1]
        assert (await world.append(world.bob, delivery=b"queue 1, alice")).uid == 1
        assert (await world.append(world.alice, delivery=b"queue 1, other")).uid == 2
        await world.expunge(world.alice, 1)
        assert await world.append(world.alice, delivery=b"queue 1, alice") == first
        assert await world.uids(world.alice) == [2]

    async def test_a_mailbox_is_made_for_what_is_put_into_it(self, world: World) -> None:
        into = op.AppendInto(world.alice, INBOX, 0, SEEN, ("word",), name="New/Deep", special_use="\\Archive")
        ear = Ear(world.store)
        first = await world.one(op.Appended, into, mail())
        box = await world.store.mailbox_named(world.alice, "New/Deep")
        assert (box.id, box.messages, box.subscribed, box.special_use) == (
            first.mailbox,
            1,
            True,
            "\\Archive",
        )
        assert not (await world.store.mailbox_named(world.alice, "New")).subscribed
        assert (first.uid, first.uid_validity, first.modseq) == (1, box.uid_validity, box.modseq)
        await ear.hears_of(world.alice, MailboxId(0))
        await ear.hears_of(world.alice, box.id)
        again = await world.one(op.Appended, into, mail())
        assert (again.mailbox, again.uid) == (box.id, 2)
        assert await world.uids(world.alice) == []

    async def test_a_mailbox_that_is_made_goes_with_its_transaction(self, world: World) -> None:
        into = op.AppendInto(world.alice, INBOX, 0, name="New/Deep")
        await world.fails(NoSuchMailbox, into, op.Append(world.alice, NOWHERE, 0), contents=(mail(),))
        assert not {"New", "New/Deep"} & await world.names(world.alice)

    @pytest.mark.parametrize("name", ["", "a//b", "a*", "x" * (MAX_NAME + 1)])
    async def test_where_no_mailbox_can_be_made_another_takes_it(self, world: World, name: str) -> None:
        done = await world.one(op.Appended, op.AppendInto(world.alice, INBOX, 0, name=name), mail())
        assert (done.mailbox, done.uid) == (INBOX, 1)

    async def test_a_delivery_key_makes_no_mailbox_again(self, world: World) -> None:
        into = op.AppendInto(world.alice, INBOX, 0, name="New", delivery=b"key")
        first = await world.one(op.Appended, into, mail())
        assert await world.one(op.Appended, into, mail()) == first
        await world.do(op.DeleteMailbox(world.alice, first.mailbox))
        assert await world.one(op.Appended, into, mail()) == first
        assert "New" not in await world.names(world.alice)

    async def test_a_delivery_key_counts_in_its_own_transaction(self, world: World) -> None:
        twice = op.Append(world.alice, INBOX, 0, delivery=b"key")
        first, second = await world.do(twice, twice, contents=(mail(),))
        assert first == second
        assert await world.uids(world.alice) == [1]

    async def test_a_delivery_that_failed_leaves_no_key(self, world: World) -> None:
        delivery = op.Append(world.alice, INBOX, 0, delivery=b"key")
        await world.fails(NoSuchMailbox, delivery, op.Append(world.alice, NOWHERE, 0), contents=(mail(),))
        assert (await world.append(world.alice, delivery=b"key")).uid == 1
        assert await world.uids(world.alice) == [1]

    async def test_an_answer_joins_the_thread(self, world: World) -> None:
        first = await world.append(world.alice, mail("lunch?", message_id="1@b.test"))
        other = await world.append(world.alice, mail("dinner?", message_id="2@b.test"))
        answer = await world.append(
            world.alice, mail("Re: lunch?", message_id="3@b.test", references="1@b.test")
        )
        assert answer.thread == first.thread != other.thread
        assert (await world.message(world.alice, answer.uid)).thread == first.thread

    async def test_an_answer_that_came_first_is_joined(self, world: World) -> None:
        answer = await world.append(world.alice, mail("Re: a", message_id="2@b.test", references="1@b.test"))
        first = await world.append(world.alice, mail("a", message_id="1@b.test"))
        assert answer.thread == first.thread

    async def test_threads_in_one_transaction(self, world: World) -> None:
        first, second = await world.do(
            op.Append(world.alice, INBOX, 0),
            op.Append(world.alice, INBOX, 1),
            contents=(
                mail("a", message_id="1@b.test"),
                mail("b", message_id="2@b.test", references="1@b.test"),
            ),
        )
        assert isinstance(first, op.Appended)
        assert isinstance(second, op.Appended)
        assert first.thread == second.thread


class FlagRules(StoreCase):
    """Flags and their modseqs."""

    async def test_the_three_modes(self, world: World) -> None:
        await world.append(world.alice, flags=SEEN, keywords=("a", "b"))
        for mode, flags, words, expected in (
            ("+", FLAGGED, ("c",), (SEEN | FLAGGED, "a b c")),
            ("-", SEEN | ANSWERED, ("a", "z"), (FLAGGED, "b c")),
            ("=", DELETED, ("d",), (DELETED, "d")),
            ("=", 0, (), (0, "")),
        ):
            done = await world.flag(world.alice, (1,), mode, flags, words)
            row = await world.message(world.alice, Uid(1))
            assert (row.flags, row.keywords) == expected
            assert done == op.Flagged((Uid(1),), (), row.modseq)
            assert (await world.box(world.alice)).modseq == row.modseq
        assert (await world.box(world.alice)).keywords == ("a", "b", "c", "d")

    async def test_only_a_real_change_gets_a_modseq(self, world: World) -> None:
        sent = await world.fill(world.alice, 3)
        before = await world.flag(world.alice, (2,), "+", SEEN, ("word",))
        for mode, flags, words in (
            ("+", SEEN, ()),
            ("+", SEEN, ("word",)),
            ("=", SEEN, ("word",)),
            ("-", DELETED, ("x",)),
        ):
            done = await world.flag(world.alice, (2,), mode, flags, words)
            assert done == op.Flagged((), (), before.modseq)
        done = await world.flag(world.alice, (1, 2, 3), "+", SEEN)
        assert done.changed == (1, 3)
        _, columns = await world.store.columns(world.alice, INBOX)
        assert list(columns.modseqs) == [done.modseq, before.modseq, done.modseq]
        assert done.modseq > before.modseq > sent[2].modseq

    async def test_the_first_unseen(self, world: World) -> None:
        store = world.store
        assert (await store.first_unseen(world.alice, INBOX))[1] == -1
        sent = await world.fill(world.alice, 4)
        assert await store.first_unseen(world.alice, INBOX) == (sent[-1].modseq, 0)
        done = await world.flag(world.alice, (1, 2, 4), "+", SEEN | DELETED)
        assert await store.first_unseen(world.alice, INBOX) == (done.modseq, 2)
        gone = await world.expunge(world.alice, 1)
        assert await store.first_unseen(world.alice, INBOX) == (gone.modseq, 1)
        done = await world.flag(world.alice, (3,), "+", SEEN)
        assert await store.first_unseen(world.alice, INBOX) == (done.modseq, -1)
        with pytest.raises(NoSuchMailbox):
            await store.first_unseen(world.alice, NOWHERE)

    async def test_where_messages_stand(self, world: World) -> None:
        store = world.store
        assert (await store.preceding(world.alice, INBOX, (1, 2)))[1] == [0, 0]
        sent = await world.fill(world.alice, 6)
        assert await store.preceding(world.alice, INBOX, (1, 3, 6, 7)) == (sent[-1].modseq, [0, 2, 5, 6])
        await world.expunge(world.alice, 1, 4)
        last = await world.expunge(world.alice, 6)
        assert await store.preceding(world.alice, INBOX, range(1, 8)) == (last.modseq, [0, 0, 1, 2, 2, 3, 3])
        assert await store.preceding(world.alice, INBOX, ()) == (last.modseq, [])
        with pytest.raises(NoSuchMailbox):
            await store.preceding(world.alice, NOWHERE, (1,))

    async def test_uids_that_are_not_there_are_left_out(self, world: World) -> None:
        await world.fill(world.alice, 2)
        await world.expunge(world.alice, 1)
        done = await world.flag(world.alice, (3, 2, 1, 2, 99), "+", SEEN)
        assert (done.changed, done.refused) == ((2,), ())
        modseq = (await world.box(world.alice)).modseq
        assert await world.flag(world.alice, (77,), "+", FLAGGED) == op.Flagged((), (), modseq)
        assert await world.flag(world.alice, (), "+", FLAGGED) == op.Flagged((), (), modseq)
        await world.fails(NoSuchMailbox, op.StoreFlags(world.alice, NOWHERE, (Uid(1),), "+", SEEN))

    async def test_unchanged_since(self, world: World) -> None:
        sent = await world.fill(world.alice, 3)
        moved_on = await world.flag(world.alice, (2,), "+", SEEN)
        done = await world.flag(world.alice, (1, 2, 3), "+", FLAGGED, since=sent[2].modseq)
        assert (done.changed, done.refused) == ((1, 3), (2,))
        assert (await world.message(world.alice, Uid(2))).flags == SEEN
        done = await world.flag(world.alice, (2,), "+", FLAGGED, since=moved_on.modseq)
        assert (done.changed, done.refused) == ((2,), ())
        done = await world.flag(world.alice, (1, 2, 3), "+", DELETED, since=0)
        assert (done.changed, done.refused) == ((), (1, 2, 3))

    async def test_counters_follow(self, world: World) -> None:
        await world.fill(world.alice, 4)
        await world.flag(world.alice, (1, 2, 3), "+", SEEN)
        await world.flag(world.alice, (2, 3, 4), "+", DELETED)
        await world.flag(world.alice, (3,), "-", SEEN | DELETED)
        box = await world.box(world.alice)
        assert (box.messages, box.unseen, box.deleted) == (4, 2, 2)
        await world.expunge(world.alice, 1, 2, 3, 4, only_deleted=True)
        box = await world.box(world.alice)
        assert (box.messages, box.unseen, box.deleted) == (2, 1, 0)

    async def test_keywords_of_a_mailbox_are_limited(self, world: World) -> None:
        await world.append(world.alice, keywords=tuple(f"word{n}" for n in range(MAX_MAILBOX_KEYWORDS)))
        await world.append(world.alice, mail("other"))
        await world.flag(world.alice, (2,), "+", keywords=("word1",))
        more = op.StoreFlags(world.alice, INBOX, (Uid(2),), "+", SEEN, ("one-more",))
        await world.fails(TooMany, more)


class CopyRules(StoreCase):
    """COPY and MOVE."""

    async def test_copy_keeps_everything_but_the_place(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        await world.append(world.alice, mail("zero"), sent)
        first = await world.append(
            world.alice, mail("one"), flags=SEEN, keywords=("word",), internal_date=1234
        )
        second = await world.append(world.alice, mail("two"))
        world.clock.advance(100)
        done = await world.copy(world.alice, (2, 1, 99, 2), sent)
        assert done.pairs == ((1, 2), (2, 3))
        target = await world.box(world.alice, sent)
        assert (done.uid_validity, done.modseq) == (target.uid_validity, target.modseq)
        assert (target.messages, target.unseen, target.keywords) == (3, 2, ("word",))
        row = await world.message(world.alice, Uid(2), sent)
        assert (row.email, row.thread, row.flags, row.keywords) == (first.email, first.thread, SEEN, "word")
        assert (row.internal_date, row.saved_date) == (1234, world.now)
        assert row.modseq == done.modseq > second.modseq
        assert await world.store.octets(world.alice, row.blob) == mail("one")
        assert await world.uids(world.alice) == [1, 2]
        account = await world.account(world.alice)
        assert (account.used_messages, account.used_octets) == (
            5,
            sum(map(len, map(mail, ("zero", *["one", "two"] * 2)))),
        )

    async def test_copy_within_a_mailbox(self, world: World) -> None:
        await world.fill(world.alice, 2)
        assert (await world.copy(world.alice, (1, 2), INBOX)).pairs == ((1, 3), (2, 4))
        assert await world.uids(world.alice) == [1, 2, 3, 4]

    async def test_copy_of_nothing_changes_nothing(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        before = await world.box(world.alice, sent)
        done = await world.copy(world.alice, (1, 2), sent)
        assert done == op.Copied(before.uid_validity, (), before.modseq)
        assert await world.box(world.alice, sent) == before

    async def test_copy_errors(self, world: World) -> None:
        await world.append(world.alice)
        sent = await world.named(world.alice, "Sent")
        for source, target in ((NOWHERE, sent), (INBOX, NOWHERE)):
            await world.fails(NoSuchMailbox, op.Copy(world.alice, source, (Uid(1),), target))
        await world.do(op.ChangeAccount(world.alice, quota=2 * len(mail()) - 1))
        await world.fails(OverQuota, op.Copy(world.alice, INBOX, (Uid(1),), sent))
        await world.append(world.alice, check_quota=False)
        await world.append(world.alice, check_quota=False)
        assert (await world.copy(world.alice, (77,), sent)).pairs == (), "nothing needs no room"
        moved = await world.copy(world.alice, (1,), sent, move=True)
        assert moved.pairs == ((1, 1),), "a move needs no room"

    async def test_move_is_one_act(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        added = await world.fill(world.alice, 3)
        before = await world.account(world.alice)
        done = await world.copy(world.alice, (1, 3), sent, move=True)
        assert done.pairs == ((1, 1), (3, 2))
        source, target = await world.box(world.alice), await world.box(world.alice, sent)
        assert done.modseq == source.modseq == target.modseq > before.modseq
        assert (source.messages, source.uid_next, target.messages) == (1, 4, 2)
        assert list((await world.changes(world.alice, before.modseq)).vanished) == [1, 3]
        assert (await world.message(world.alice, Uid(2), sent)).email == added[2].email
        account = await world.account(world.alice)
        assert (account.used_octets, account.used_messages) == (before.used_octets, 3)
        assert await world.in_vault(world.alice) == []

    async def test_a_view_that_was_not_told_still_reads_a_moved_message(self, world: World) -> None:
        added = await world.append(world.alice)
        await world.copy(world.alice, (1,), await world.named(world.alice, "Sent"), move=True)
        row = await world.message(world.alice, Uid(1))
        assert row.email == added.email
        assert await world.store.octets(world.alice, row.blob) == mail()

    async def test_move_within_a_mailbox(self, world: World) -> None:
        await world.fill(world.alice, 2)
        assert (await world.copy(world.alice, (1,), INBOX, move=True)).pairs == ((1, 3),)
        assert await world.uids(world.alice) == [2, 3]
        assert list((await world.changes(world.alice)).vanished) == [1]

    async def test_a_message_of_another_account_is_not_there(self, world: World) -> None:
        await world.append(world.alice)
        sent = await world.named(world.bob, "Sent")
        assert (await world.copy(world.bob, (1,), sent)).pairs == ()


class ModSeqRules(StoreCase):
    """Expunge, tombstones, and what ``changes`` says (RFC 7162 sections 3.1 and 3.2)."""

    async def test_expunge_leaves_a_tombstone(self, world: World) -> None:
        await world.fill(world.alice, 4)
        await world.flag(world.alice, (1, 3), "+", DELETED)
        before = (await world.box(world.alice)).modseq
        done = await world.expunge(world.alice, 1, 2, 99, only_deleted=True)
        assert done.uids == (1,)
        assert (await world.expunge(world.alice, 4, 3)).uids == (3, 4)
        assert await world.uids(world.alice) == [2]
        changes = await world.changes(world.alice, before)
        assert (list(changes.vanished), list(changes.changed.uids)) == ([1, 3, 4], [])
        assert list((await world.changes(world.alice, done.modseq)).vanished) == [3, 4]
        assert changes.modseq == (await world.box(world.alice)).modseq > done.modseq > before

    async def test_expunge_of_nothing_changes_nothing(self, world: World) -> None:
        await world.fill(world.alice, 2)
        before = await world.box(world.alice)
        assert await world.expunge(world.alice, 1, 2, only_deleted=True) == op.Expunged((), before.modseq)
        assert await world.expunge(world.alice, 77) == op.Expunged((), before.modseq)
        assert await world.box(world.alice) == before
        await world.fails(NoSuchMailbox, op.Expunge(world.alice, NOWHERE, (Uid(1),)))

    async def test_expunge_of_every_one_or_of_none(self, world: World) -> None:
        await world.fill(world.alice, 3)
        await world.expunge(world.alice, 2)
        before = await world.box(world.alice)
        gone = op.Expunge(world.alice, INBOX, (Uid(1), Uid(2)), every=True)
        await world.fails(NoSuchMessage, gone)
        assert await world.box(world.alice) == before
        left = op.Expunge(world.alice, INBOX, (Uid(3), Uid(1), Uid(1)), every=True)
        assert (await world.one(op.Expunged, left)).uids == (1, 3)

    async def test_a_uid_is_never_used_again(self, world: World) -> None:
        await world.fill(world.alice, 3)
        await world.expunge(world.alice, 1, 2, 3)
        assert (await world.box(world.alice)).uid_next == 4
        await world.fails(
            NoSuchMailbox,
            op.Append(world.alice, INBOX, 0),
            op.Append(world.alice, NOWHERE, 0),
            contents=(mail(),),
        )
        assert (await world.append(world.alice)).uid == 4

    async def test_changes_names_what_is_new_changed_and_gone(self, world: World) -> None:
        added = await world.fill(world.alice, 5)
        since = added[4].modseq
        assert list((await world.changes(world.alice, added[2].modseq)).changed.uids) == [4, 5]
        await world.flag(world.alice, (2, 4), "+", SEEN, ("word",))
        await world.expunge(world.alice, 4)
        await world.append(world.alice, mail("six"))
        changes = await world.changes(world.alice, since)
        assert list(changes.changed.uids) == [2, 6]
        assert list(changes.changed.flags) == [SEEN, 0]
        assert changes.changed.keywords == {2: "word"}
        assert list(changes.vanished) == [4]
        assert (changes.uid_next, changes.complete) == (7, True)
        box = await world.box(world.alice)
        nothing = await world.changes(world.alice, changes.modseq)
        assert (list(nothing.changed.uids), list(nothing.vanished), nothing.modseq) == ([], [], box.modseq)

    async def test_changes_of_another_mailbox_are_not_mine(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        await world.append(world.alice)
        before = await world.box(world.alice)
        await world.append(world.alice, mailbox=sent)
        assert (await world.box(world.alice)).modseq == before.modseq
        assert list((await world.changes(world.alice, before.modseq)).changed.uids) == []

    @pytest.mark.parametrize("seed", range(5))
    async def test_following_changes_gives_the_mailbox(self, world: World, seed: int) -> None:
        print(f"seed {seed}")
        dice = random.Random(seed)
        mirror: dict[int, tuple[int, str, int]] = {}
        known = 0
        highest = 0
        for _ in range(60):
            await self._random_act(world, dice)
            box = await world.box(world.alice)
            assert box.modseq >= highest
            highest = box.modseq
            if dice.random() < 0.5:
                continue
            changes = await world.changes(world.alice, known)
            for uid in changes.vanished:
                mirror.pop(uid, None)
            mirror.update(_rows(changes.changed))
            assert all(modseq > known for _, _, modseq in _rows(changes.changed).values())
            known = changes.modseq
            box, columns = await world.store.columns(world.alice, INBOX)
            assert mirror == _rows(columns)
            assert (box.messages, box.modseq) == (len(mirror), known)
            assert max((m for _, _, m in mirror.values()), default=0) <= box.modseq
            assert list(columns.uids) == sorted(mirror)
        assert plain_columns((await world.changes(world.alice)).changed) == plain_columns(
            (await world.store.columns(world.alice, INBOX))[1]
        )

    async def _random_act(self, world: World, dice: random.Random) -> None:
        chosen = tuple(dice.sample(range(1, 30), dice.randint(1, 6)))
        act = dice.randrange(5)
        if act < 2:
            await world.append(world.alice, mail(f"number {dice.random()}"))
        elif act == 2:
            words = ("a", "b")[: dice.randrange(3)]
            await world.flag(world.alice, chosen, dice.choice("+-="), dice.randrange(32), words)
        elif act == 3:
            await world.expunge(world.alice, *chosen[:2])
        else:
            target = dice.choice((INBOX, await world.named(world.alice, "Sent")))
            await world.copy(world.alice, chosen[:2], target, move=dice.random() < 0.5)


def _rows(columns: Columns) -> dict[int, tuple[int, str, int]]:
    return {
        uid: (flags, columns.keywords.get(uid, ""), modseq)
        for uid, flags, modseq in zip(columns.uids, columns.flags, columns.modseqs, strict=True)
    }


class MessageRules(AppendRules, FlagRules, CopyRules, ModSeqRules):
    """All rules of messages."""
