"""What goes from one account to another is there once, whoever else takes it at the same time."""

from __future__ import annotations

import pytest

from a3mailer.access.crossing import cross
from a3mailer.mail.errors import NoSuchMessage
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, AccountId, Uid
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.ports import Transaction
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.store.case import content, mail, settle_in


async def test_a_message_that_two_move_at_once_is_moved_by_one() -> None:
    store = MemoryStore(FakeClock())
    alice = await settle_in(store)
    made = await store.commit(Transaction((op.CreateAccount(DEFAULT_TENANT, "team@a.test", "group"),)))
    assert isinstance(made[0], op.AccountCreated)
    team: AccountId = made[0].account
    await store.commit(
        Transaction(
            (op.Append(alice, INBOX, 0), op.Append(alice, INBOX, 1)), (content(mail("1")), content(mail("2")))
        )
    )
    target = await store.mailbox(team, INBOX)
    await store.commit(Transaction((op.Expunge(alice, INBOX, (Uid(1),)),)))  # the vault has it still
    both = {Uid(1): (0, ()), Uid(2): (0, ())}
    with pytest.raises(NoSuchMessage):
        await cross(store, alice, DEFAULT_TENANT, (alice, INBOX), target, both, move=True)
    assert (await store.mailbox(team, INBOX)).messages == 0
    assert (await store.mailbox(alice, INBOX)).messages == 1
    left = {Uid(2): (0, ())}
    moved = await cross(store, alice, DEFAULT_TENANT, (alice, INBOX), target, left, move=True)
    assert [one for one, _ in moved.pairs] == [2]
    assert (await store.mailbox(team, INBOX)).messages == 1
    assert (await store.mailbox(alice, INBOX)).messages == 0
