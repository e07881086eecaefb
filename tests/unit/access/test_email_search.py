"""Filters of JMAP over an index of texts that reaches some of the emails only, or none."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path

import pytest

from a3mailer.access import email_search as search
from a3mailer.access.account_mail import AllMail
from a3mailer.access.email_search import Join, Joined, Node
from a3mailer.access.labour import Labour
from a3mailer.access.signatures import Authorities, Signatures
from a3mailer.config.tree import Settings
from a3mailer.mail.ids import INBOX, AccountId, BlobId, EmailId
from a3mailer.mail.message import MessageIndex, index
from a3mailer.mail.message.searched import searched
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.operations import Append
from a3mailer.store.ports import Content, Transaction
from a3mailer.store.texts import Matches, Sought
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
