"""Searching the emails of an account, whatever their mailboxes (RFC 8621 section 4.4): filters and orders.

A filter is a tree of conditions, each with a stage: 0 what the columns of ``AccountMail`` say, 1 fragments,
2 the texts of the mail. A stage reads only the emails whose fate the stages before it left open. What a
mailbox holds by date is kept in order and is neither filtered nor sorted. Work is done in slices, under a
budget.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from a3mailer.access.account_mail import EMAIL_MASK, AccountMail
from a3mailer.access.found import addresses_text
from a3mailer.access.labour import Labour
from a3mailer.access.sort import sorted_by
from a3mailer.access.sortkeys import Criterion, Listed, SortKeys
from a3mailer.mail.errors import DamagedContent, NoSuchMessage
from a3mailer.mail.ids import AccountId, EmailId
from a3mailer.mail.message import MessageIndex, limits
from a3mailer.mail.message.searched import Searched, needle, searched, values
from a3mailer.store.ports import MailReader
from a3mailer.store.rows import Fragments

SECONDS: Final = 60.0
"""What of the processor one search may cost."""
READ_EMAILS: Final = 128
"""Emails whose fragments are read at once."""
COLUMNS: Final = 0
FRAGMENTS: Final = 1
TEXTS: Final = 2


@dataclass(slots=True)
class Look:
    """One email that is looked at, as far as it is known."""

    mail: AccountMail
    at: int
    row: Fragments | None = None
    text: Searched | None = None


@dataclass(frozen=True, slots=True)
class Leaf:
    """A condition; ``test`` is asked once its stage is reached."""

    stage: int
    test: Callable[[Look], bool]


class Join(Enum):
    """How conditions are joined."""

    ALL = 1
    ANY = 2
    NONE = 3


@dataclass(frozen=True, slots=True)
class Joined:
    """Conditions joined; none of them is ALL, and not ANY."""

    join: Join
    of: tuple[Node, ...]


Node = Leaf | Joined
EVERYTHING: Final = Joined(Join.ALL, ())


def matches(node: Node, look: Look, stage: int) -> bool | None:
    """Whether an email matches; None while a later stage has to say. As deep as the filter is."""
    if isinstance(node, Leaf):
        return node.test(look) if node.stage <= stage else None
    decided = node.join is Join.ALL
    result: bool | None = decided
    for each in node.of:
        found = matches(each, look, stage)
        if found is None:
            result = None
        elif found is not decided:
            return node.join is Join.ANY
    return (not result if result is not None else None) if node.join is Join.NONE else result


# --- conditions --------------------------------------------------------------------------------------


def in_mailbox(number: int) -> Leaf:
    """In this mailbox."""
    return Leaf(COLUMNS, lambda look: number in look.mail.mailboxes(look.at))


def in_other_than(numbers: frozenset[int]) -> Leaf:
    """In a mailbox that is none of these."""
    return Leaf(COLUMNS, lambda look: not numbers.issuperset(look.mail.mailboxes(look.at)))


def received(first: int | None, end: int | None) -> Leaf:
    """At ``first`` or later and before ``end``, seconds."""
    return Leaf(
        COLUMNS,
        lambda look: (
            (first is None or look.mail.dates[look.at] >= first)
            and (end is None or look.mail.dates[look.at] < end)
        ),
    )


def sized(least: int | None, below: int | None) -> Leaf:
    """At least so many octets, and fewer than so many."""
    return Leaf(
        COLUMNS,
        lambda look: (
            (least is None or look.mail.sizes[look.at] >= least)
            and (below is None or look.mail.sizes[look.at] < below)
        ),
    )


def has_keyword(keyword: str, bit: int) -> Callable[[AccountMail, int], bool]:
    """Whether the email at a place has a keyword (lower case) or, where ``bit`` is set, that flag."""
    if bit:
        return lambda mail, at: bool(mail.flags[at] & bit)
    return lambda mail, at: keyword in mail.keywords.get(mail.emails[at], "").split(" ")


def keyword(word: str, bit: int) -> Leaf:
    """The email has it."""
    has = has_keyword(word, bit)
    return Leaf(COLUMNS, lambda look: has(look.mail, look.at))


def in_thread(word: str, bit: int, of: Callable[[Iterable[bool]], bool]) -> Leaf:
    """``of`` (all, any) the emails of its thread have it."""
    has = has_keyword(word, bit)
    return Leaf(
        COLUMNS,
        lambda look: of(has(look.mail, at) for at in look.mail.members(look.mail.threads[look.at])),
    )


def has_attachment(wanted: bool) -> Leaf:
    """Whether there is something to save."""
    return Leaf(FRAGMENTS, lambda look: look.row is not None and look.row.has_attachment is wanted)


def addressed(place: str, text: str) -> Node:
    """``from``, ``to``, ``cc`` or ``bcc`` hold the text."""
    wanted = words_of(text)

    def test(look: Look) -> bool:
        shown = "" if look.row is None else needle(addresses_text(look.row.envelope, place))
        return all(word in shown for word in wanted)

    return Leaf(FRAGMENTS, test)


def about(text: str) -> Leaf:
    """The subject holds the text."""
    wanted = words_of(text)

    def test(look: Look) -> bool:
        shown = "" if look.row is None else needle(look.row.subject)
        return all(word in shown for word in wanted)

    return Leaf(FRAGMENTS, test)


def said(text: str) -> Leaf:
    """The texts of the mail hold the text."""
    wanted = words_of(text)
    return Leaf(TEXTS, lambda look: look.text is not None and all(word in look.text.body for word in wanted))


def anywhere(text: str) -> Leaf:
    """Header or texts hold every word of the text."""
    wanted = words_of(text)
    return Leaf(
        TEXTS,
        lambda look: (
            look.text is not None
            and all(word in look.text.body or word in look.text.header for word in wanted)
        ),
    )


def header(name: str, text: str) -> Leaf:
    """A field of this name holds the text; without one there is such a field."""
    wanted = words_of(text) if text else ()
    lower = name.lower()

    def test(look: Look) -> bool:
        found = [] if look.text is None else values(look.text.header, lower)
        return any(all(word in value for word in wanted) for value in found)

    return Leaf(TEXTS, test)


def words_of(text: str) -> tuple[str, ...]:
    """What of a text has to be there: its words, and phrases in quotes; in the form of what is searched.

    Within quotes a backslash stands before a quote or a backslash (section 4.4.1)."""
    found: list[str] = []
    word = ""
    quote = ""
    characters = iter(text)
    for each in characters:
        if quote and each == "\\":
            word += next(characters, "\\")
        elif quote and each == quote:
            found.append(word)
            word = quote = ""
        elif not quote and not word and each in "'\"" and text.count(each) > 1:
            quote = each
        elif not quote and each.isspace():
            found.append(word)
            word = ""
        else:
            word += each
    found.append(word)
    return tuple(needle(each) for each in found if each.strip())


# --- order -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Order:
    """One key of an order: a criterion, or (False before True) a test of keywords."""

    criterion: Criterion | None = None
    test: Leaf | None = None
    descending: bool = False


class Search:
    """One search in one account."""

    __slots__ = ("_account", "_keys", "_labour", "_mail", "_reader")

    def __init__(
        self, reader: MailReader, keys: SortKeys, account: AccountId, mail: AccountMail, labour: Labour
    ) -> None:
        self._reader = reader
        self._keys = keys
        self._account = account
        self._mail = mail
        self._labour = labour

    async def matching(self, candidates: Sequence[int], node: Node) -> list[int]:
        """Those of the emails that match, in their order. Errors: TooCostly."""
        looks: dict[int, Look | None] = {}
        later: list[int] = []
        for number in candidates:
            at = self._mail.place(number)
            look = Look(self._mail, at)
            found = matches(node, look, COLUMNS) if at >= 0 else False
            if found is None:
                later.append(number)
            if found is not False:
                looks[number] = None if found else look
            if self._labour.over:
                await self._labour.rest()
        for first in range(0, len(later), READ_EMAILS):
            await self._look_into(later[first : first + READ_EMAILS], looks, node)
        return list(looks)

    async def _look_into(self, numbers: Sequence[int], looks: dict[int, Look | None], node: Node) -> None:
        rows = await self._reader.fragments(self._account, [EmailId(number) for number in numbers])
        by_email = {int(row.email): row for row in rows}
        for number in numbers:
            look = looks[number]
            assert look is not None
            look.row = by_email.get(number)
            found = matches(node, look, FRAGMENTS)
            if found is None:
                look.text = await self._text(look.row)
                found = matches(node, look, TEXTS)
                look.text = None
            if found:
                looks[number] = None
            else:
                del looks[number]
            await self._labour.step()

    async def _text(self, row: Fragments | None) -> Searched | None:
        if row is None:
            return None
        try:
            octets = await self._reader.octets(self._account, row.blob, 0, limits.SEARCHED)
        except (DamagedContent, NoSuchMessage):
            return None
        return searched(octets, MessageIndex.unpack(row.index))

    async def ordered(self, numbers: Sequence[int], orders: Sequence[Order]) -> list[int]:
        """In an order; equals are as they were. Errors: TooCostly."""
        places = [self._mail.place(number) for number in numbers]
        mail = self._mail

        async def dates(indexes: Sequence[int]) -> Sequence[int | None]:
            return [mail.dates[places[at]] for at in indexes]

        listed = Listed(self._account, list(numbers), [mail.sizes[at] for at in places], dates)
        found = list(range(len(numbers)))
        for order in reversed(orders):
            if order.criterion is not None:
                column = await self._keys.column(listed, order.criterion, self._labour)
            else:
                assert order.test is not None
                column = [int(order.test.test(Look(mail, at))) for at in places]
            found = await sorted_by(found, column, self._labour, reverse=order.descending)
        return [numbers[at] for at in found]


def by_date(mail: AccountMail, mailbox: int, *, descending: bool) -> Sequence[int]:
    """Emails of a mailbox (0: all) by the date they were received, of equal dates by number."""
    order = mail.order(mailbox)
    return [key & EMAIL_MASK for key in (reversed(order) if descending else order)]


def collapsed(mail: AccountMail, numbers: Iterable[int]) -> list[int]:
    """The first email of each thread only (section 4.4.3)."""
    seen: set[int] = set()
    found: list[int] = []
    for number in numbers:
        thread = mail.threads[mail.place(number)]
        if thread not in seen:
            seen.add(thread)
            found.append(number)
    return found


def place_of_key(order: Sequence[int], key: int) -> int:
    """Where a key stands in an ascending order that holds it."""
    return bisect_left(order, key)
