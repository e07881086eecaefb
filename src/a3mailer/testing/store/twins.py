"""The rules of twins: what tells messages of one email in INBOX from each other (RFC 1939 section 7)."""

from __future__ import annotations

from a3mailer.mail.ids import INBOX, MailboxId
from a3mailer.store import operations as op
from a3mailer.testing.store.case import StoreCase, World


class TwinRules(StoreCase):
    """It stays as long as the message is there, and goes with it."""

    async def _twins(self, world: World, mailbox: MailboxId = INBOX) -> dict[int, int]:
        return await world.store.twins(world.alice, mailbox)

    async def test_a_copy_in_inbox_is_told_by_its_uid(self, world: World) -> None:
        await world.fill(world.alice, 2)
        await world.copy(world.alice, (1, 2), INBOX)
        await world.copy(world.alice, (2, 3), INBOX)
        assert await self._twins(world) == {3: 3, 4: 4, 5: 5, 6: 6}

    async def test_what_tells_a_copy_stays_when_the_first_goes(self, world: World) -> None:
        await world.fill(world.alice, 1)
        await world.copy(world.alice, (1,), INBOX)
        await world.expunge(world.alice, 1)
        assert await self._twins(world) == {2: 2}
        await world.copy(world.alice, (2,), INBOX)
        assert await self._twins(world) == {2: 2, 3: 3}, "2 is taken"

    async def test_it_goes_with_the_message(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        await world.fill(world.alice, 1)
        await world.copy(world.alice, (1,), INBOX)
        await world.copy(world.alice, (1, 2), sent, move=True)
        assert (await self._twins(world), await self._twins(world, sent)) == ({}, {2: 2})
        await world.copy(world.alice, (2, 1), INBOX, source=sent)
        assert await self._twins(world) == {4: 2}, "by COPY, too"
        await world.copy(world.alice, (4, 3), INBOX, move=True)
        assert await self._twins(world) == {6: 2}, "and where it was"

    async def test_who_comes_back_has_what_is_free(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        added = await world.append(world.alice)
        await world.copy(world.alice, (1, 1), sent)
        await world.copy(world.alice, (1,), INBOX, source=sent)
        await world.expunge(world.alice, 1)
        await world.copy(world.alice, (1,), INBOX, source=sent)
        assert await self._twins(world) == {2: 2}
        await world.one(op.Copied, op.Undelete(world.alice, (added.email,), INBOX))
        assert await self._twins(world) == {2: 2, 4: 4}

    async def test_an_email_that_jmap_moves_keeps_it(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        added = await world.append(world.alice)
        await world.copy(world.alice, (1,), INBOX)
        await world.expunge(world.alice, 1)
        for mailbox in (sent, INBOX):
            await world.do(op.ChangeEmail(world.alice, added.email, mailboxes=(mailbox,)))
        assert await self._twins(world) == {3: 2}
