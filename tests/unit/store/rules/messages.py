"""Compliance: messages, flags, copies, the vault, changes since a modseq."""

from __future__ import annotations

from array import array

import pytest

from a3mailer.mail import errors
from a3mailer.mail.flags import ANSWERED, DELETED, FLAGGED, SEEN
from a3mailer.mail.ids import (
    INBOX,
    AccountId,
    BlobId,
    EmailId,
    MailboxId,
    ModSeq,
    Uid,
)
from a3mailer.store import operations as op
from a3mailer.store.ports import Store, Transaction
from tests.unit.store.rules.harness import BODY, StoreHarness, content, uids_of


class MessageCompliance(StoreHarness):
    """Messages."""

    async def test_append_and_read_back(self, store: Store, account: AccountId) -> None:
        done = await self.append(store, account, flags=SEEN, keywords=("b", "a"), internal_date=1234)
        row, columns = await store.columns(account, INBOX)
        assert (done.uid, done.uid_validity, done.modseq) == (1, row.uid_validity, row.modseq)
        assert (list(columns.uids), bytes(columns.flags), columns.keywords) == ([1], b"\x01", {1: "a b"})
        assert (row.messages, row.unseen, row.octets, row.uid_next) == (1, 0, len(BODY), 2)
        assert row.keywords == ("a", "b")
        message = await self.message(store, account, INBOX, 1)
        assert (message.internal_date, message.size, message.email) == (1234, len(BODY), done.email)
        assert await store.octets(account, message.blob) == BODY
        (fragments,) = await store.fragments(account, [done.email])
        assert (fragments.subject, fragments.envelope, fragments.size) == ("hello", b'("hello")', len(BODY))
        assert fragments.blob == message.blob

    @pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 131072, 200_001, 300_000])
    async def test_contents_of_every_size(self, store: Store, account: AccountId, size: int) -> None:
        octets = bytes(range(256)) * (size // 256 + 1)
        octets = octets[:size]
        await self.append(store, account, octets=octets)
        blob = (await self.message(store, account, INBOX, 1)).blob
        assert await store.octets(account, blob) == octets
        assert await store.many_octets(account, [blob]) == [octets]
        for start, end in ((0, 10), (5, None), (65530, 65540), (size, size + 5), (0, 1 << 40)):
            assert await store.octets(account, blob, start, end) == octets[start:end]

    async def test_uids_and_modseqs_rise(self, store: Store, account: AccountId) -> None:
        done = [await self.append(store, account) for _ in range(5)]
        assert [d.uid for d in done] == [1, 2, 3, 4, 5]
        modseqs = [d.modseq for d in done]
        assert modseqs == sorted(set(modseqs))

    async def test_one_content_for_two_accounts(self, store: Store, account: AccountId) -> None:
        other = await self.make_account(store, "bob")
        operations = (op.Append(account, INBOX, 0), op.Append(other, INBOX, 0))
        await store.commit(Transaction(operations, (content(),)))
        for owner in (account, other):
            blob = (await self.message(store, owner, INBOX, 1)).blob
            assert await store.octets(owner, blob) == BODY

    async def test_another_accounts_content_is_no_content(self, store: Store, account: AccountId) -> None:
        other = await self.make_account(store, "bob")
        await self.append(store, account)
        blob = (await self.message(store, account, INBOX, 1)).blob
        with pytest.raises(errors.NoSuchMessage):
            await store.octets(other, blob)
        assert await store.many_octets(other, [blob, BlobId(bytes(16))]) == [None, None]

    async def test_contents_by_uid(self, store: Store, account: AccountId) -> None:
        other = await self.make_account(store, "bob")
        sizes = (0, 7, 65536, 3, 70_000, 300_000, 5)
        sent = [bytes([65 + n]) * size for n, size in enumerate(sizes)]
        for octets in sent:
            await self.append(store, account, octets=octets)
        await self.one(store, op.Expunge(account, INBOX, (Uid(4),)))
        expected: dict[int, bytes | None] = dict(enumerate(sent, 1))
        assert await store.contents(account, INBOX, range(1, 8)) == expected  # the vault keeps number 4
        assert await store.contents(account, INBOX, [6, 2, 99]) == {6: expected[6], 2: expected[2]}
        assert await store.contents(account, INBOX, []) == {}
        assert await store.contents(other, INBOX, [1, 2]) == {}
        await self.one(store, op.PurgeVault(before=1 << 40))
        assert 4 not in await store.contents(account, INBOX, range(1, 8))

    async def test_same_octets_again(self, store: Store, account: AccountId) -> None:
        other = await self.make_account(store, "bob")
        octets = BODY * 1000
        for owner in (account, other, account):
            await self.append(store, owner, octets=octets)
        for owner, uid in ((account, 1), (other, 1), (account, 2)):
            blob = (await self.message(store, owner, INBOX, uid)).blob
            assert await store.octets(owner, blob) == octets
        await self.one(store, op.Expunge(account, INBOX, (Uid(1),)))
        await self.one(store, op.PurgeVault(before=1 << 40))
        blob = (await self.message(store, account, INBOX, 2)).blob
        assert await store.octets(account, blob) == octets
        await self.one(store, op.EraseEmails(account, (EmailId(2),)))
        blob = (await self.message(store, other, INBOX, 1)).blob
        assert await store.octets(other, blob) == octets

    async def test_quota(self, store: Store) -> None:
        account = await self.make_account(store, "small", quota=100)
        with pytest.raises(errors.OverQuota):
            await self.append(store, account, octets=bytes(101))
        await self.append(store, account, octets=bytes(60))
        with pytest.raises(errors.OverQuota):
            await self.append(store, account, octets=bytes(60))
        await self.append(store, account, octets=bytes(60), check_quota=False)
        with pytest.raises(errors.OverQuota):
            await self.one(store, op.Copy(account, INBOX, (Uid(1),), MailboxId(2)))
        await self.counters_are_right(store, account)

    async def test_delivery_key_is_answered_not_repeated(self, store: Store, account: AccountId) -> None:
        first = await self.append(store, account, delivery=b"q1:r1")
        again = await self.append(store, account, delivery=b"q1:r1")
        other = await self.append(store, account, delivery=b"q1:r2")
        assert first == again
        assert other.uid == 2
        one = op.Append(account, INBOX, 0, delivery=b"q2")
        results = await store.commit(Transaction((one, one), (content(),)))
        assert results[0] == results[1]
        _, columns = await store.columns(account, INBOX)
        assert uids_of(columns) == [1, 2, 3]

    async def test_threads(self, store: Store, account: AccountId) -> None:
        first = await self.append(store, account, thread_keys=(b"key-1111",))
        other = await self.append(store, account, thread_keys=(b"key-2222",))
        reply = await self.append(store, account, thread_keys=(b"key-3333", b"key-1111"))
        answer = await self.append(store, account, thread_keys=(b"key-4444", b"key-3333"))
        assert first.thread == reply.thread == answer.thread != other.thread

    async def test_bulk_fragments(self, store: Store, account: AccountId) -> None:
        done = await self.fill(store, account, 30)
        emails = [d.email for d in done]
        expected = [b'("%d")' % n for n in range(1, 31)]
        assert await store.envelopes(account, array("q", emails)) == expected
        assert await store.envelopes(account, array("q", emails[::-1])) == expected[::-1]
        assert await store.envelopes(account, array("q", emails[::7])) == expected[::7]
        gone = array("q", [emails[3], 999_999, emails[1]])
        assert await store.envelopes(account, gone) == [expected[3], b"", expected[1]]
        structures = await store.bodystructures(account, array("q", emails[:2]))
        assert structures == [b'("TEXT" "PLAIN" "1")', b'("TEXT" "PLAIN" "2")']
        found = await store.fragments(account, [emails[5], EmailId(999_999), emails[2]])
        assert [f.subject for f in found] == ["6", "3"]
        assert await store.envelopes(account, array("q")) == []

    async def test_flags(self, store: Store, account: AccountId) -> None:
        await self.fill(store, account, 4)
        everything = tuple(Uid(n) for n in range(1, 5))
        result = await self.one(store, op.StoreFlags(account, INBOX, everything[:2], "+", SEEN | DELETED))
        assert isinstance(result, op.Flagged)
        assert result.changed == (1, 2)
        again = await self.one(store, op.StoreFlags(account, INBOX, everything[:3], "+", SEEN))
        assert isinstance(again, op.Flagged)
        assert again.changed == (3,)
        assert again.modseq > result.modseq
        await self.one(store, op.StoreFlags(account, INBOX, everything[:1], "-", DELETED, ("absent",)))
        await self.one(store, op.StoreFlags(account, INBOX, everything, "=", ANSWERED, ("x", "y")))
        await self.one(store, op.StoreFlags(account, INBOX, everything[3:], "-", 0, ("x",)))
        row, columns = await store.columns(account, INBOX)
        assert set(columns.flags) == {ANSWERED}
        assert columns.keywords == {1: "x y", 2: "x y", 3: "x y", 4: "y"}
        assert row.keywords == ("x", "y")
        await self.counters_are_right(store, account)

    async def test_flags_unchanged_since(self, store: Store, account: AccountId) -> None:
        done = await self.fill(store, account, 2)
        await self.one(store, op.StoreFlags(account, INBOX, (Uid(1),), "+", SEEN))
        since = done[1].modseq
        result = await self.one(
            store, op.StoreFlags(account, INBOX, (Uid(1), Uid(2)), "+", FLAGGED, unchanged_since=since)
        )
        assert isinstance(result, op.Flagged)
        assert (result.changed, result.refused) == ((2,), (1,))

    async def test_flags_of_nothing_change_nothing(self, store: Store, account: AccountId) -> None:
        await self.fill(store, account, 1)
        before = await store.mailbox(account, INBOX)
        result = await self.one(store, op.StoreFlags(account, INBOX, (Uid(7),), "+", SEEN))
        assert isinstance(result, op.Flagged)
        assert result.changed == ()
        assert await store.mailbox(account, INBOX) == before

    async def test_copy_keeps_the_email(self, store: Store, account: AccountId) -> None:
        await self.fill(store, account, 3)
        await self.one(store, op.StoreFlags(account, INBOX, (Uid(2),), "+", SEEN, ("k",)))
        result = await self.one(store, op.Copy(account, INBOX, (Uid(2), Uid(9), Uid(3)), MailboxId(2)))
        assert isinstance(result, op.Copied)
        assert result.pairs == ((2, 1), (3, 2))
        target = await store.mailbox(account, MailboxId(2))
        assert result.uid_validity == target.uid_validity
        source = await self.message(store, account, INBOX, 2)
        copy = await self.message(store, account, MailboxId(2), 1)
        assert (copy.email, copy.flags, copy.keywords, copy.blob) == (source.email, SEEN, "k", source.blob)
        assert target.keywords == ("k",)
        await self.counters_are_right(store, account)
        await self.one(store, op.Expunge(account, INBOX, (Uid(2),)))
        await self.one(store, op.PurgeVault(before=1 << 40))
        assert await store.octets(account, copy.blob) == BODY + b"1"
        assert len(await store.fragments(account, [copy.email])) == 1

    async def test_move(self, store: Store, account: AccountId) -> None:
        done = await self.fill(store, account, 3)
        since = (await store.mailbox(account, INBOX)).modseq
        result = await self.one(store, op.Copy(account, INBOX, (Uid(1), Uid(3)), MailboxId(6), move=True))
        assert isinstance(result, op.Copied)
        assert result.pairs == ((1, 1), (3, 2))
        changes = await store.changes(account, INBOX, since)
        assert list(changes.vanished) == [1, 3]
        moved = await self.message(store, account, MailboxId(6), 1)
        assert moved.email == done[0].email
        assert await store.vault(account) == ()
        gone = await store.messages(account, INBOX, [Uid(1), Uid(2), Uid(3)])
        assert [m.uid for m in gone] == [1, 2, 3]
        await self.one(store, op.PurgeVault(before=1 << 40))
        assert await store.octets(account, moved.blob) == BODY + b"0"
        await self.counters_are_right(store, account)

    async def test_move_into_the_same_mailbox(self, store: Store, account: AccountId) -> None:
        await self.fill(store, account, 2)
        result = await self.one(store, op.Copy(account, INBOX, (Uid(1),), INBOX, move=True))
        assert isinstance(result, op.Copied)
        assert result.pairs == ((1, 3),)
        _, columns = await store.columns(account, INBOX)
        assert uids_of(columns) == [2, 3]
        await self.counters_are_right(store, account)

    async def test_expunge_and_tombstones(self, store: Store, account: AccountId) -> None:
        await self.fill(store, account, 4)
        await self.one(store, op.StoreFlags(account, INBOX, (Uid(2), Uid(4)), "+", DELETED))
        since = (await store.mailbox(account, INBOX)).modseq
        everything = tuple(Uid(n) for n in range(1, 5))
        result = await self.one(store, op.Expunge(account, INBOX, everything, only_deleted=True))
        assert isinstance(result, op.Expunged)
        assert result.uids == (2, 4)
        changes = await store.changes(account, INBOX, since)
        assert (list(changes.vanished), uids_of(changes.changed)) == ([2, 4], [])
        assert (changes.complete, changes.modseq) == (True, result.modseq)
        assert [m.uid for m in await store.vault(account)] == [2, 4]
        still = await self.message(store, account, INBOX, 2)
        assert await store.octets(account, still.blob) == BODY + b"1"
        assert (await self.append(store, account)).uid == 5
        await self.counters_are_right(store, account)

    async def test_undelete(self, store: Store, account: AccountId) -> None:
        done = await self.fill(store, account, 2)
        await self.one(store, op.Expunge(account, INBOX, (Uid(1), Uid(2))))
        result = await self.one(store, op.Undelete(account, (done[1].email,), INBOX))
        assert isinstance(result, op.Copied)
        assert result.pairs == ((2, 3),)
        assert [m.email for m in await store.vault(account)] == [done[0].email]
        back = await self.message(store, account, INBOX, 3)
        assert await store.octets(account, back.blob) == BODY + b"1"
        await self.one(store, op.PurgeVault(before=1 << 40))
        assert await store.octets(account, back.blob) == BODY + b"1"
        await self.counters_are_right(store, account)

    async def test_purge_forgets_contents_and_keeps_tombstones(
        self, store: Store, account: AccountId
    ) -> None:
        done = await self.fill(store, account, 2)
        blob = (await self.message(store, account, INBOX, 1)).blob
        await self.one(store, op.Expunge(account, INBOX, (Uid(1),)))
        assert await self.one(store, op.PurgeVault(before=1)) == op.Purged(0)
        assert await self.one(store, op.PurgeVault(before=1 << 40)) == op.Purged(1)
        assert await store.vault(account) == ()
        assert await store.messages(account, INBOX, [Uid(1)]) == ()
        assert await store.fragments(account, [done[0].email]) == ()
        with pytest.raises(errors.NoSuchMessage):
            await store.octets(account, blob)
        assert list((await store.changes(account, INBOX, ModSeq(0))).vanished) == [1]

    async def test_expiry(self, store: Store, account: AccountId) -> None:
        trash = await store.mailbox_named(account, "Trash")
        await self.append(store, account, trash.id)
        await self.append(store, account)
        saved = (await self.message(store, account, trash.id, 1)).saved_date
        await self.one(store, op.SetMailbox(account, trash.id, expire_days=30))
        assert await self.one(store, op.ExpireMailboxes(saved + 30 * 86400)) == op.Purged(0)
        assert await self.one(store, op.ExpireMailboxes(saved + 30 * 86400 + 1)) == op.Purged(1)
        assert (await store.mailbox(account, trash.id)).messages == 0
        assert len(await store.vault(account)) == 1
        await self.counters_are_right(store, account)

    async def test_erase_emails(self, store: Store, account: AccountId) -> None:
        done = await self.fill(store, account, 3)
        await self.one(store, op.Copy(account, INBOX, (Uid(1),), MailboxId(2)))
        await self.one(store, op.Expunge(account, INBOX, (Uid(2),)))
        blob = (await self.message(store, account, INBOX, 1)).blob
        await self.one(store, op.EraseEmails(account, (done[0].email, done[1].email)))
        _, columns = await store.columns(account, INBOX)
        assert uids_of(columns) == [3]
        assert (await store.mailbox(account, MailboxId(2))).messages == 0
        assert await store.vault(account) == ()
        with pytest.raises(errors.NoSuchMessage):
            await store.octets(account, blob)
        await self.counters_are_right(store, account)

    async def test_changes_are_what_changed(self, store: Store, account: AccountId) -> None:
        await self.fill(store, account, 5)
        since = (await store.mailbox(account, INBOX)).modseq
        nothing = await store.changes(account, INBOX, since)
        assert (uids_of(nothing.changed), list(nothing.vanished)) == ([], [])
        await self.one(store, op.StoreFlags(account, INBOX, (Uid(2),), "+", SEEN))
        middle = (await store.mailbox(account, INBOX)).modseq
        await self.append(store, account)
        await self.one(store, op.StoreFlags(account, INBOX, (Uid(6), Uid(4)), "+", SEEN))
        await self.one(store, op.Expunge(account, INBOX, (Uid(1),)))
        late = await store.changes(account, INBOX, middle)
        assert (uids_of(late.changed), list(late.vanished)) == ([4, 6], [1])
        early = await store.changes(account, INBOX, since)
        assert (uids_of(early.changed), list(early.vanished)) == ([2, 4, 6], [1])
        assert bytes(early.changed.flags) == bytes([SEEN] * 3)
        whole = await store.changes(account, INBOX, ModSeq(0))
        assert uids_of(whole.changed) == [2, 3, 4, 5, 6]
        assert early.uid_next == 7

    async def test_keyword_limits(self, store: Store, account: AccountId) -> None:
        await self.append(store, account)
        many = tuple(f"k{n}" for n in range(1024))
        await self.one(store, op.StoreFlags(account, INBOX, (Uid(1),), "=", 0, many))
        with pytest.raises(errors.TooMany):
            await self.one(store, op.StoreFlags(account, INBOX, (Uid(1),), "+", 0, ("one-more",)))
