"""Filters of JMAP over an index of texts that reaches some of the emails only, or none."""

from array import array
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from pathlib import Path

import pytest

from a3mailer.access import email_search as search
from a3mailer.access.account_mail import AccountMail, AllMail
from a3mailer.access.email_search import Join, Joined, Node
from a3mailer.access.labour import Labour
from a3mailer.access.signatures import Authorities, Signatures
from a3mailer.access.sortkeys import Criterion
from a3mailer.config.tree import Settings
from a3mailer.mail.ids import INBOX, AccountId, BlobId, EmailId
from a3mailer.mail.message import MessageIndex, index
from a3mailer.mail.message.searched import searched
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.operations import Append, DestroyEmails
from a3mailer.store.ports import Content, Transaction
from a3mailer.store.rows import Fragments
from a3mailer.store.texts import Likely, Matches, Sought
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.store.case import settle_in

MAILS = (
    b"Subject: apples\r\nX-Note: one\r\n\r\nred fruit\r\n",
    b"Subject: pears\r\nX-Note: two\r\nX-Note: three\r\n\r\ngreen fruit\r\n",
    b"Subject: soup\r\n\r\nred and green\r\n",
    b"Subject: red\r\n\r\nnothing\r\n",
)


class Indexed(MemoryStore):
    """An index that holds the emails up to ``upto``, and how many mails were read."""

    upto = 0
    read = 0
    asked = 0

    async def texts_with(
        self,
        account: AccountId,
        sought: Sequence[Sought],
        emails: Collection[int],
        turn: Callable[[], Awaitable[None]],
    ) -> Matches:
        await turn()
        self.asked += 1
        found: tuple[set[int], ...] = tuple(set() for _ in sought)
        for row in await self.fragments(account, [EmailId(each) for each in emails if each <= self.upto]):
            octets = await super().octets(account, row.blob)
            text = searched(octets, MessageIndex.unpack(row.index))
            for one, into in zip(sought, found, strict=True):
                if one.is_in(text):
                    into.add(row.email)
        return Matches(found, self.upto)

    async def many_octets(self, account: AccountId, blobs: Sequence[BlobId]) -> Sequence[bytes | None]:
        self.read += len(blobs)
        return await super().many_octets(account, blobs)


@pytest.mark.parametrize("upto", range(len(MAILS) + 1))
@pytest.mark.parametrize(
    ("node", "found", "texts"),
    [
        (search.anywhere("RED"), [1, 3, 4], True),
        (search.said("red"), [1, 3], True),
        (search.said("red green"), [3], True),
        (search.said("'red and'"), [3], True),
        (search.said(""), [1, 2, 3, 4], False),
        (search.header("X-Note", ""), [1, 2], True),
        (search.header("x-note", "three two"), [2], True),
        (Joined(Join.NONE, (search.anywhere("fruit"),)), [3, 4], True),
        (Joined(Join.ANY, (search.about("soup"), search.said("green"))), [2, 3], True),
        (Joined(Join.ALL, (search.about("soup"), search.sized(0, 1), search.said("red"))), [], False),
        (Joined(Join.ALL, (search.about("none"), search.said("red"))), [], False),
        (search.about("soup"), [3], False),
    ],
)
async def test_what_is_found_does_not_depend_on_the_index(
    upto: int, node: Node, found: list[int], texts: bool
) -> None:
    clock = FakeClock()
    store = Indexed(clock)
    account = await settle_in(store)
    for octets in MAILS:
        append = Append(account, INBOX, 0)
        await store.commit(Transaction((append,), (Content(octets, index(octets)),)))
    store.upto = upto
    every = AllMail(store)
    mail = await every.of(account)
    signatures = Signatures(store, clock, Authorities(Path("/nowhere"), Settings))
    one = search.Search(store, every.keys, account, mail, Labour(clock, 60.0), signatures)
    assert await one.matching([1, 2, 3, 4], node) == found
    assert store.asked == texts, "one question for all emails and texts"
    assert store.read <= len(MAILS) - upto, "what the index holds is not read"


class Ruling(MemoryStore):
    """An index that rules emails out, and which emails were looked at."""

    nobody_knows = False

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.looked: list[int] = []

    async def texts_likely(
        self, account: AccountId, sought: Sequence[Sought], turn: Callable[[], Awaitable[None]]
    ) -> Likely:
        await turn()
        numbers = [EmailId(number) for number in range(1, 4 * len(MAILS) + 1)]
        texts: dict[int, str] = {}
        for row in await super().fragments(account, numbers):
            texts[row.email] = (await super().octets(account, row.blob)).decode().lower()
        told = [{number for number, text in texts.items() if one.text in text} for one in sought]
        return tuple(
            None if self.nobody_knows or one.text == "red" else may
            for one, may in zip(sought, told, strict=True)
        )

    async def fragments(self, account: AccountId, emails: Iterable[EmailId]) -> tuple[Fragments, ...]:
        wanted = list(emails)
        self.looked += wanted
        return await super().fragments(account, wanted)


async def ruled(nobody_knows: bool) -> tuple[Ruling, search.Search, AccountMail]:
    """Sixteen emails of four kinds."""
    clock = FakeClock()
    store = Ruling(clock)
    store.nobody_knows = nobody_knows
    account = await settle_in(store)
    for octets in MAILS * 4:
        append = Append(account, INBOX, 0)
        await store.commit(Transaction((append,), (Content(octets, index(octets)),)))
    every = AllMail(store)
    mail = await every.of(account)
    signatures = Signatures(store, clock, Authorities(Path("/nowhere"), Settings))
    return store, search.Search(store, every.keys, account, mail, Labour(clock, 60.0), signatures), mail


GREEN_SOUP = Joined(Join.ANY, (search.said("green"), search.about("soup")))


@pytest.mark.parametrize("nobody_knows", [False, True])
@pytest.mark.parametrize(
    ("node", "kinds", "looks"),
    [
        (search.about("soup"), {3}, {3}),
        (search.about("red soup"), set[int](), {3}),
        (GREEN_SOUP, {2, 3}, {2, 3}),
        (Joined(Join.NONE, (search.about("soup"),)), {1, 2, 4}, {1, 2, 3, 4}),
        (Joined(Join.ALL, (GREEN_SOUP, Joined(Join.NONE, (search.about("soup"),)))), {2}, {2, 3}),
        (Joined(Join.ANY, ()), set[int](), set[int]()),
        (Joined(Join.ANY, (search.about("red"), search.about("soup"))), {3, 4}, {1, 2, 3, 4}),
    ],
)
async def test_what_the_index_rules_out_is_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, node: Node, kinds: set[int], looks: set[int], nobody_knows: bool
) -> None:
    monkeypatch.setattr(search, "ASKED", 1)
    store, one, mail = await ruled(nobody_knows)
    may = await one.likely(node)
    finding = search.Finding(one, mail, search.by_date(mail, 0, may, descending=False), node, collapse=False)
    assert {(number - 1) % 4 + 1 for number in await finding.reach()} == kinds
    assert len(finding.numbers) == 4 * len(kinds)
    assert finding.numbers == sorted(finding.numbers)
    looked = {(number - 1) % 4 + 1 for number in store.looked}
    assert looked <= ({1, 2, 3, 4} if nobody_knows else looks)


async def test_no_more_is_looked_at_than_somebody_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "FIRST", 2)
    monkeypatch.setattr(search, "BLOCK", 4)
    store, one, mail = await ruled(nobody_knows=True)
    keys = search.by_date(mail, 0, None, descending=True)
    finding = search.Finding(one, mail, keys, search.about("soup"), collapse=False)
    assert await finding.reach(1) == [15]
    assert store.looked == [16, 15]
    assert await finding.place(11) == 1
    assert len(store.looked) == 6
    assert await finding.place(16) == -1
    assert await finding.reach() == [15, 11, 7, 3]
    assert len(store.looked) == 16


async def test_of_each_thread_the_first_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "FIRST", 2)
    _store, one, mail = await ruled(nobody_knows=True)
    mail.threads[:] = array("Q", [1, 1, 3, 1, 3, *mail.emails[5:]])
    for orders, found in (((), [1, 3, 6]), ((search.Order(Criterion.SIZE, descending=True),), [2, 5, 6])):
        keys = search.by_date(mail, 0, None, descending=False)
        finding = search.Finding(one, mail, keys[:6], search.EVERYTHING, collapse=True)
        if orders:
            await finding.order(orders)
        assert sorted(await finding.reach()) == found


class Leaving(Indexed):
    """The first email goes while fragments are read, and somebody else sees that."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.every = AllMail(self)

    async def fragments(self, account: AccountId, emails: Iterable[EmailId]) -> tuple[Fragments, ...]:
        found = await super().fragments(account, emails)
        await self.commit(Transaction((DestroyEmails(account, (EmailId(1),)),)))
        await self.every.of(account)
        return found


async def test_emails_that_go_while_others_are_looked_at() -> None:
    clock = FakeClock()
    store = Leaving(clock)
    account = await settle_in(store)
    for octets in MAILS:
        append = Append(account, INBOX, 0)
        await store.commit(Transaction((append,), (Content(octets, index(octets)),)))
    mail = await store.every.of(account)
    signatures = Signatures(store, clock, Authorities(Path("/nowhere"), Settings))
    one = search.Search(store, store.every.keys, account, mail, Labour(clock), signatures)
    node = Joined(Join.ALL, (search.received(None, 1 << 40), search.has_attachment(False)))
    assert await one.matching([1, 2, 3, 4], node) == [2, 3, 4]
    orders = [search.Order(Criterion.SUBJECT), search.Order(Criterion.SIZE)]
    assert await one.ordered([1, 2, 3, 4], orders) == [2, 4, 3]
