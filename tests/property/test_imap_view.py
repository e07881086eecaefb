"""Views of a mailbox: whoever applies what it is told knows what the store knows, in whatever order."""

import asyncio
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from a3mailer.access import view as access_view
from a3mailer.access.view import News, View
from a3mailer.access.watch import Views
from a3mailer.mail.flags import DELETED, SEEN
from a3mailer.mail.ids import INBOX, AccountId, Uid
from a3mailer.mail.message import index
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.operations import (
    Append,
    Expunge,
    Flagged,
    StoreFlags,
)
from a3mailer.store.ports import Content, Transaction
from a3mailer.store.rows import Columns
from a3mailer.testing.store.case import settle_in

MAIL = b"Subject: x\r\n\r\nx\r\n"
CONTENT = Content(MAIL, index(MAIL))

acts = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 3)),
        st.tuples(st.just("expunge"), st.integers(0, 9)),
        st.tuples(st.just("flag"), st.integers(0, 9)),
        st.tuples(st.just("own"), st.integers(0, 1), st.integers(0, 9)),
        st.tuples(st.just("news"), st.integers(0, 1), st.booleans()),
        st.tuples(st.just("hint"), st.integers(0, 40)),
        st.tuples(st.just("refresh")),
        st.tuples(st.just("away"), st.integers(0, 2), st.integers(1, 5)),
        st.tuples(st.just("glance"), st.integers(0, 1), st.integers(0, 40)),
        st.tuples(st.just("since"), st.integers(0, 1), st.integers(0, 40), st.booleans()),
    ),
    max_size=30,
)


class Client:
    """What a client knows from what it was told: uids in their order, and flags."""

    def __init__(self, view: View, known: Columns) -> None:
        self.view = view
        self.uids = list(known.uids)
        self.flags = dict(zip(known.uids, known.flags, strict=True))
        self.told: list[int] = []
        self.modseqs: dict[int, int] = {}
        assert view.count == len(self.uids)

    def look(self) -> None:
        """No message becomes again what it was before, not even one that is gone."""
        for at in range(self.view.count if self.view.mailbox.loaded else 0):
            uid, modseq = self.view.uids[at], self.view.flags(at)[2]
            assert modseq >= self.modseqs.get(uid, 0)
            self.modseqs[uid] = modseq

    def apply(self, news: News) -> None:
        view = self.view
        assert [self.uids[at] for at in news.places] == list(news.vanished)
        for at in reversed(news.places):
            del self.uids[at]
        if news.exists >= 0:
            assert news.exists > len(self.uids)
            for at in range(len(self.uids), news.exists):
                self.uids.append(view.uids[at])
                self.flags[view.uids[at]] = view.flags(at)[0]
        for at in news.changed:
            self.flags[self.uids[at]] = view.flags(at)[0]
        self.told += [self.uids[at] for at in news.changed]
        assert len(self.uids) == view.count
        if view.mailbox.loaded:
            assert self.uids == list(view.uids[: view.count])


class Stage:
    """A store with one mailbox and two clients that look at it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.views = Views(self.store, self.store)
        self.account = AccountId(0)
        self.clients: list[Client] = []

    async def begin(self) -> None:
        self.account = await settle_in(self.store)
        await self.act("append", 3)
        self.clients = [await self.client() for _ in range(2)]

    async def client(self) -> Client:
        """One that knows what is there now."""
        _row, columns = await self.store.columns(self.account, INBOX)
        return Client(await self.views.open(self.account, INBOX), columns)

    async def act(self, kind: str, *values: int) -> None:
        await getattr(self, kind)(*values)
        await asyncio.sleep(0)  # hints arrive
        for client in self.clients:
            client.look()

    async def append(self, count: int) -> None:
        for _ in range(count):
            await self.store.commit(Transaction((Append(self.account, INBOX, 0),), (CONTENT,)))

    async def expunge(self, uid: int) -> None:
        await self.store.commit(Transaction((Expunge(self.account, INBOX, (Uid(uid), Uid(uid + 2))),)))

    async def flag(self, uid: int) -> None:
        await self.store.commit(Transaction((StoreFlags(self.account, INBOX, (Uid(uid),), "+", uid % 16),)))

    async def own(self, who: int, at: int) -> None:
        """A client flags a message it knows and is answered; it must not be told again."""
        client = self.clients[who]
        view, mailbox = client.view, client.view.mailbox
        await mailbox.load()
        if at >= view.count:
            return
        uid = Uid(view.uids[at])
        alone = not mailbox.stale and not view.has_news()
        change = StoreFlags(self.account, INBOX, (uid,), "+", SEEN | DELETED)
        (result,) = await self.store.commit(Transaction((change,)))
        assert isinstance(result, Flagged)
        if result.changed:
            bits = SEEN | DELETED
            if not mailbox.flagged(result.changed, result.modseq, lambda had, words: (had | bits, words)):
                mailbox.hint(result.modseq)
                await mailbox.refresh()
            view.own(result.modseq)
            client.flags[uid] = view.flags(at)[0]
            client.told.clear()
            if not mailbox.stale:
                client.apply(view.news(expunges=False))
                assert uid not in client.told or not alone

    async def news(self, who: int, expunges: bool) -> None:
        client = self.clients[who]
        await client.view.mailbox.refresh()
        had = client.view.has_news()
        news = client.view.news(expunges=expunges)
        assert had or news == News()
        if news.exists >= 0:  # a client fetches what is new
            await client.view.mailbox.load()
        client.apply(news)

    async def refresh(self) -> None:
        """The mailbox is read, and nobody is told."""
        await self.clients[0].view.mailbox.refresh()

    async def hint(self, modseq: int) -> None:
        """A hint that is late, doubled or about nothing costs nothing."""
        self.clients[0].view.mailbox.hint(modseq)

    async def away(self, appended: int, uid: int) -> None:
        """Nobody looks; things happen; everybody is back: the mailbox that was left is read on, not anew."""
        left = self.clients[0].view.mailbox
        for client in self.clients:
            client.view.close()
        await self.append(appended)
        await self.expunge(uid)
        await self.flag(uid + 1)
        await asyncio.sleep(0)
        self.clients = [await self.client() for _ in range(2)]
        assert self.clients[0].view.mailbox is left

    async def glance(self, who: int, since: int) -> None:
        """What a mailbox says without its columns is what it says with them."""
        view = self.clients[who].view
        await view.mailbox.refresh()
        glance = None if view.mailbox.loaded else await view.mailbox.glance(since)
        await self.news(who, True)
        if glance is not None:
            await view.mailbox.load()
            places = [place for at, place in enumerate(glance.places) if glance.changed.modseqs[at] > since]
            assert places == (await view.since(since))[1]
            assert [view.uids[at] for at in glance.places] == list(glance.changed.uids)
            assert [view.flags(at)[0] for at in glance.places] == list(glance.changed.flags)

    async def since(self, who: int, modseq: int, behind: bool) -> None:
        """The store's index finds what looking at every message does; nothing that was not told is gone."""
        view = self.clients[who].view
        if not behind:
            await self.news(who, True)
        await view.mailbox.load()
        gone, changed = await view.since(modseq)
        assert changed == [at for at in range(view.count) if view.flags(at)[2] > modseq]
        assert not set(gone) & set(view.uids[: view.count])


@given(acts, st.booleans())
def test_a_client_that_applies_its_news_knows_the_mailbox(acts: list[tuple[str, int]], large: bool) -> None:
    async def play() -> None:
        stage = Stage()
        await stage.begin()
        for kind, *values in acts:
            await stage.act(kind, *values)
        _row, columns = await stage.store.columns(stage.account, INBOX)
        truth = dict(zip(columns.uids, columns.flags, strict=True))
        for number, client in enumerate(stage.clients):
            await stage.act("news", number, 1)
            assert client.uids == list(truth)
            assert {uid: client.flags[uid] for uid in client.uids} == truth
            assert not client.view.has_news()
            client.view.close()
        assert await stage.views.open(stage.account, INBOX)

    with mock.patch.object(access_view, "READ_AT_ONCE", -1 if large else 1000):
        asyncio.run(play())
