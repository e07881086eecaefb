"""A mailbox whose columns nobody has read is followed without them, as long as that can be done."""

import asyncio

import pytest

from a3mailer.access import view as access_view
from a3mailer.access.view import News
from a3mailer.access.watch import Views
from a3mailer.mail.flags import FLAGGED, SEEN
from a3mailer.mail.ids import INBOX, Uid
from a3mailer.mail.message import index
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.operations import Append, Expunge, Operation, StoreFlags
from a3mailer.store.ports import Content, Transaction
from tests.unit.access.test_watch import MAIL, make


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_view, "READ_AT_ONCE", -1)


async def do(store: MemoryStore, *operations: Operation) -> None:
    await store.commit(Transaction(operations, (Content(MAIL, index(MAIL)),)))
    await asyncio.sleep(0)  # the hint arrives


async def test_new_mail_is_told_of_without_reading_the_mailbox(monkeypatch: pytest.MonkeyPatch) -> None:
    store, account, (box,) = await make((3,))
    view = await Views(store, store).open(account, box)
    with monkeypatch.context() as patch:
        patch.delattr(MemoryStore, "columns")
        for count in (4, 5):
            await do(store, Append(account, INBOX, 0, 0, ("word",)))
            await view.mailbox.refresh()
            assert view.news() == News(exists=count)
        await do(store, Append(account, INBOX, 0, 0))  # comes and goes
        await do(store, Expunge(account, INBOX, (Uid(6),)))
        await view.mailbox.refresh()
        assert not view.mailbox.loaded
        assert view.news() == News()
    assert view.mailbox.uid_next == 7
    assert list(view.mailbox.keywords) == ["word"]
    await view.mailbox.load()
    assert list(view.uids) == [1, 2, 3, 4, 5]
    assert not view.has_news()


async def test_what_became_of_old_mail_is_read_with_the_mailbox() -> None:
    store, account, (box,) = await make((3,))
    view = await Views(store, store).open(account, box)
    await do(store, StoreFlags(account, INBOX, (Uid(2),), "+", FLAGGED))
    await do(store, Append(account, INBOX, 0, 0))
    await view.mailbox.refresh()
    assert view.mailbox.loaded
    assert view.news() == News(changed=(1,), exists=4)


async def test_a_glance_is_as_of_what_the_mailbox_knows() -> None:
    store, account, (box,) = await make((4,))
    known = (await store.mailbox(account, box)).modseq
    await do(store, Expunge(account, INBOX, (Uid(2),)))
    await do(store, StoreFlags(account, INBOX, (Uid(3),), "-", SEEN))
    view = await Views(store, store).open(account, box)
    glance = await view.mailbox.glance(known)
    assert glance is not None
    assert (list(glance.vanished), list(glance.changed.uids), glance.places) == ([2], [3], [1])
    assert not view.mailbox.loaded
    await do(store, StoreFlags(account, INBOX, (Uid(4),), "-", SEEN))
    assert await view.mailbox.glance(known) is None, "it knows more than the client was told"


async def test_emails_that_ascend_do_so_without_some_of_them() -> None:
    store, account, (box,) = await make((4,))
    view = await Views(store, store).open(account, box)
    await view.mailbox.load()
    view.mailbox.ascending = 4
    await do(store, Expunge(account, INBOX, (Uid(2),)))
    await do(store, Append(account, INBOX, 0, 0))
    await view.mailbox.refresh()
    assert view.mailbox.ascending == 3
    view.mailbox.ascending = -1
    await do(store, Expunge(account, INBOX, (Uid(1),)))
    await view.mailbox.refresh()
    assert view.mailbox.ascending == -1
