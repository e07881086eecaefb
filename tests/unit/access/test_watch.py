"""Mailboxes that nobody looks at are kept within bounds."""

import pytest

from a3mailer.access import watch
from a3mailer.access.watch import Views
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import INBOX, AccountId, MailboxId
from a3mailer.mail.message import index
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.operations import (
    Append,
    CreateMailbox,
    MailboxCreated,
)
from a3mailer.store.ports import Content, Transaction
from a3mailer.testing.store.case import settle_in

MAIL = b"Subject: x\r\n\r\nx\r\n"


async def make(messages: tuple[int, ...]) -> tuple[MemoryStore, AccountId, list[MailboxId]]:
    """A store with one account and mailboxes of so many messages."""
    store = MemoryStore()
    account = await settle_in(store)
    boxes = [INBOX]
    for number in range(1, len(messages)):
        (box,) = await store.commit(Transaction((CreateMailbox(account, f"box {number}"),)))
        assert isinstance(box, MailboxCreated)
        boxes.append(box.mailbox)
    for box_id, count in zip(boxes, messages, strict=True):
        for _ in range(count):
            append = Append(account, box_id, 0, SEEN)
            await store.commit(Transaction((append,), (Content(MAIL, index(MAIL)),)))
    return store, account, boxes


async def test_a_left_mailbox_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    store, account, (box,) = await make((3,))
    views = Views(store, store)
    (await views.open(account, box)).close()
    monkeypatch.delattr(MemoryStore, "columns")
    view = await views.open(account, box)
    assert view.count == 3


@pytest.mark.parametrize(("limit", "value"), [("LEFT_MESSAGES", 5), ("LEFT_MAILBOXES", 2)])
async def test_the_one_left_longest_ago_is_forgotten(
    limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, limit, value)
    store, account, boxes = await make((2, 2, 2))
    views = Views(store, store)
    for box in boxes:
        (await views.open(account, box)).close()
    assert [key[1] for key in views._open] == boxes[1:]
    assert views._left_messages == 4
    again = await views.open(account, boxes[1])
    assert views._left_messages == 2
    again.close()
    (await views.open(account, boxes[0])).close()
    assert [key[1] for key in views._left] == [boxes[1], boxes[0]]


async def test_one_larger_than_the_limit_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LEFT_MESSAGES", 2)
    store, account, (box,) = await make((3,))
    views = Views(store, store)
    (await views.open(account, box)).close()
    assert not views._open
    assert views._left_messages == 0
