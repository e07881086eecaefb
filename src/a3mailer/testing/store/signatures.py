"""The rules of what is remembered of an email's signature."""

from __future__ import annotations

from a3mailer.mail.errors import NoSuchAccount, NoSuchMessage
from a3mailer.mail.flags import DELETED
from a3mailer.mail.ids import INBOX, AccountId, EmailId, ModSeq, Uid
from a3mailer.store import operations as op
from a3mailer.testing.store.case import Ear, StoreCase, World

NOBODY = AccountId(987_654)


class SignatureRules(StoreCase):
    """It is kept with the email and changes it only where clients were told otherwise."""

    async def _kept(self, world: World, email: EmailId) -> bytes:
        (found,) = await world.store.fragments(world.alice, [email])
        return found.smime

    async def test_nothing_is_remembered_of_a_new_email(self, world: World) -> None:
        done = await world.append(world.alice)
        assert await self._kept(world, done.email) == b""

    async def test_what_is_remembered_changes_no_email(self, world: World) -> None:
        done, other = await world.append(world.alice), await world.append(world.alice)
        before = await world.account(world.alice)
        kept = await world.one(op.Done, op.RememberSignature(world.alice, done.email, b"first"))
        assert kept.modseq == before.modseq
        assert await world.account(world.alice) == before
        assert (await self._kept(world, done.email), await self._kept(world, other.email)) == (b"first", b"")
        await world.one(op.Done, op.RememberSignature(world.alice, done.email, b"second"))
        assert await self._kept(world, done.email) == b"second"

    async def test_who_was_told_otherwise_is_told(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        done = await world.append(world.alice)
        await world.append(world.alice)
        await world.copy(world.alice, (1,), sent)
        before = (await world.account(world.alice)).modseq
        ear = Ear(world.store)
        told = await world.one(op.Done, op.RememberSignature(world.alice, done.email, b"x", told=True))
        assert told.modseq == before + 1 == (await world.account(world.alice)).modseq
        await ear.hears_of(world.alice, INBOX)
        ear.stop()
        changes = await world.store.account_changes(world.alice, ModSeq(before))
        assert [(row.mailbox, row.uid, row.email) for row in changes.changed] == [
            (INBOX, 1, done.email), (sent, 1, done.email),
        ]  # fmt: skip
        assert (await world.box(world.alice, sent)).modseq == told.modseq
        row = await world.message(world.alice, Uid(1))
        assert (row.modseq, row.flags, row.keywords) == (told.modseq, 0, "")

    async def test_it_goes_where_the_email_goes(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        done = await world.append(world.alice, flags=DELETED)
        await world.do(op.RememberSignature(world.alice, done.email, b"x", told=True))
        await world.copy(world.alice, (1,), sent, move=True)
        assert await self._kept(world, done.email) == b"x"
        await world.expunge(world.alice, 1, mailbox=sent)
        await world.fails(NoSuchMessage, op.RememberSignature(world.alice, done.email, b"y"))
        await world.one(op.Copied, op.Undelete(world.alice, (done.email,), INBOX))
        assert await self._kept(world, done.email) == b"x"

    async def test_errors_of_signatures(self, world: World) -> None:
        done = await world.append(world.alice)
        await world.fails(NoSuchMessage, op.RememberSignature(world.bob, done.email, b"x"))
        await world.fails(NoSuchMessage, op.RememberSignature(world.alice, EmailId(987), b"x"))
        await world.fails(NoSuchAccount, op.RememberSignature(NOBODY, done.email, b"x"))
