"""Searching the emails of an account, whatever their mailboxes (RFC 8621 section 4.4): filters and orders.

Where an index of texts names the few emails that may match, the others are not looked at; and no more is
looked at than somebody asks for (``Finding``).
A filter is a tree of conditions, each with a stage: 0 what the columns of ``AccountMail`` say, 1 fragments,
2 signatures (``signatures.py``), 3 the texts of the mail (``texts.py``: an index, where it reaches). A stage
asks only for the emails whose fate the stages before it left open. What a mailbox holds by date is kept in
order and is neither filtered nor sorted. Work is done in slices, under a budget.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from a3mailer.access.account_mail import EMAIL_BITS, EMAIL_MASK, AccountMail
from a3mailer.access.labour import Labour
from a3mailer.access.signatures import VERIFIED, Signature, Signatures
from a3mailer.access.sort import sorted_by
from a3mailer.access.sortkeys import Criterion, Listed, SortKeys
from a3mailer.access.texts import SearchReader, Texts, needles
from a3mailer.mail.ids import AccountId, EmailId
from a3mailer.mail.message.enveloped import addresses_text
from a3mailer.mail.message.searched import needle
from a3mailer.store.rows import Fragments
from a3mailer.store.texts import Sought, Where

SECONDS: Final = 60.0
"""What of the processor one search may cost."""
READ_EMAILS: Final = 128
"""Emails whose fragments are read at once."""
BLOCK: Final = 4096
"""Emails whose texts are asked for at once."""
FIRST: Final = 256
"""Emails that are looked at first: so many seldom hold less than a client shows of usual words."""
ASKED: Final = 256
"""Emails of an account from which on the index is asked which may match."""
COLUMNS: Final = 0
FRAGMENTS: Final = 1
SIGNATURES: Final = 2
TEXTS: Final = 3


@dataclass(slots=True)
class Look:
    """One email that is looked at, as far as it is known."""

    mail: AccountMail
    at: int
    row: Fragments | None = None
    signed: bool = False
    signature: Signature | None = None
    having: Mapping[Sought, set[int]] = field(default_factory=dict)
    """Emails that have these texts."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A condition; ``test`` is asked once its stage is reached."""

    stage: int
    test: Callable[[Look], bool]
    sought: Sought | None = None
    """What TEXTS asks for."""
    ruled: tuple[Sought, ...] = ()
    """Texts that all have to be in a mail that matches: what an index may rule it out by."""
    verified: bool = False
    """Whether SIGNATURES asks for more than that there is one."""


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


def is_signed(wanted: bool) -> Leaf:
    """Whether there is anything to say of a signature (RFC 9219 section 4.2)."""
    return Leaf(SIGNATURES, lambda look: look.signed is wanted)


def is_verified(wanted: bool) -> Leaf:
    """Whether the signature is good now."""

    def test(look: Look) -> bool:
        return (look.signature is not None and look.signature.status == VERIFIED) is wanted

    return Leaf(SIGNATURES, test, verified=True)


def was_verified(wanted: bool) -> Leaf:
    """Whether it was good when the email came."""

    def test(look: Look) -> bool:
        return (look.signature is not None and look.signature.status_then == VERIFIED) is wanted

    return Leaf(SIGNATURES, test, verified=True)


def addressed(place: str, text: str) -> Node:
    """``from``, ``to``, ``cc`` or ``bcc`` hold the text."""
    wanted = needles(text)

    def test(look: Look) -> bool:
        shown = "" if look.row is None else needle(addresses_text(look.row.envelope, place))
        return all(word in shown for word in wanted)

    return Leaf(FRAGMENTS, test, ruled=_enveloped(wanted))


def about(text: str) -> Leaf:
    """The subject holds the text."""
    wanted = needles(text)

    def test(look: Look) -> bool:
        shown = "" if look.row is None else needle(look.row.subject)
        return all(word in shown for word in wanted)

    return Leaf(FRAGMENTS, test, ruled=_enveloped(wanted))


def _enveloped(wanted: Iterable[str]) -> tuple[Sought, ...]:
    return tuple([Sought(Where.ENVELOPE, word) for word in wanted])


def _having(sought: Sought) -> Leaf:
    return Leaf(TEXTS, lambda look: look.mail.emails[look.at] in look.having[sought], sought, (sought,))


def said(text: str) -> Node:
    """The texts of the mail hold every word of the text."""
    return Joined(Join.ALL, tuple(_having(Sought(Where.BODY, word)) for word in needles(text)))


def anywhere(text: str) -> Node:
    """Header or texts hold every word of the text."""
    return Joined(Join.ALL, tuple(_having(Sought(Where.TEXT, word)) for word in needles(text)))


def header(name: str, text: str) -> Node:
    """Fields of this name hold every word of the text; without one there is such a field."""
    wanted = needles(text) or [""]
    return Joined(Join.ALL, tuple(_having(Sought(Where.HEADER, word, name.lower())) for word in wanted))


def leaves(node: Node) -> Iterator[Leaf]:
    """All conditions of a filter."""
    if isinstance(node, Leaf):
        yield node
    else:
        for each in node.of:
            yield from leaves(each)


def ruling(node: Node) -> Iterator[Sought]:
    """Texts by which emails may be ruled out, but for those of what must not match."""
    if isinstance(node, Leaf):
        yield from node.ruled
    elif node.join is not Join.NONE:
        for each in node.of:
            yield from ruling(each)


def may_match(node: Node, known: Mapping[Sought, set[int] | None]) -> set[int] | None:
    """The emails among which all that match are, given those that may have each text; None: any may."""
    if isinstance(node, Leaf):
        sets = [known.get(one) for one in node.ruled]
    elif node.join is Join.NONE:
        return None
    else:
        sets = [may_match(each, known) for each in node.of]
        if node.join is Join.ANY:
            every = [one for one in sets if one is not None]
            return set().union(*every) if len(every) == len(sets) else None
    some = [one for one in sets if one is not None]
    return set.intersection(*some) if some else None


# --- order -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Order:
    """One key of an order: a criterion, or (False before True) a test of keywords."""

    criterion: Criterion | None = None
    test: Leaf | None = None
    descending: bool = False


class Search:
    """One search in one account."""

    __slots__ = ("_account", "_keys", "_labour", "_mail", "_reader", "_signatures")

    def __init__(
        self,
        reader: SearchReader,
        keys: SortKeys,
        account: AccountId,
        mail: AccountMail,
        labour: Labour,
        signatures: Signatures,
    ) -> None:
        self._signatures = signatures
        self._reader = reader
        self._keys = keys
        self._account = account
        self._mail = mail
        self._labour = labour

    async def likely(self, node: Node) -> set[int] | None:
        """The emails among which all that match are; None: any may. Errors: TooCostly."""
        sought = list(dict.fromkeys(ruling(node)))
        if not sought or len(self._mail.emails) < ASKED:
            return None
        known = await Texts(self._reader, self._account, self._labour).likely(sought)
        return may_match(node, dict(zip(sought, known, strict=True)))

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
        for first in range(0, len(later), BLOCK):
            await self._look_into(later[first : first + BLOCK], looks, node)
        return list(looks)

    async def _look_into(self, numbers: Sequence[int], looks: dict[int, Look | None], node: Node) -> None:
        """Read what the columns have left open."""
        if any(leaf.stage in (FRAGMENTS, SIGNATURES) for leaf in leaves(node)):
            numbers = await self._by_fragments(numbers, looks, node)
        if any(leaf.stage == SIGNATURES for leaf in leaves(node)):
            numbers = await self._by_signatures(numbers, looks, node)
        sought = list(dict.fromkeys(leaf.sought for leaf in leaves(node) if leaf.sought is not None))
        if not numbers or not sought:
            return
        found = await Texts(self._reader, self._account, self._labour).matching(sought, numbers)
        having = dict(zip(sought, found, strict=True))
        for number in numbers:
            look = looks[number]
            assert look is not None
            look.having = having
            self._is_settled(number, look, TEXTS, node, looks)
            if self._labour.over:
                await self._labour.rest()

    async def _by_fragments(
        self, numbers: Sequence[int], looks: dict[int, Look | None], node: Node
    ) -> list[int]:
        """Those that are still open after it."""
        later: list[int] = []
        for first in range(0, len(numbers), READ_EMAILS):
            group = numbers[first : first + READ_EMAILS]
            rows = await self._reader.fragments(self._account, [EmailId(number) for number in group])
            by_email = {int(row.email): row for row in rows}
            for number in group:
                look = looks[number]
                assert look is not None
                look.row = by_email.get(number)
                if not self._is_settled(number, look, FRAGMENTS, node, looks):
                    later.append(number)
                await self._labour.step()
        return later

    async def _by_signatures(
        self, numbers: Sequence[int], looks: dict[int, Look | None], node: Node
    ) -> list[int]:
        """Those that are still open after it."""
        verified = any(leaf.verified for leaf in leaves(node))
        looking = await self._signatures.asked(self._labour)
        later: list[int] = []
        for number in numbers:
            look = looks[number]
            assert look is not None
            look.at = self._mail.place(number)
            if look.row is not None and look.at >= 0:
                found = self._account, look.row, self._mail.dates[look.at]
                if verified:
                    look.signature = await looking.of(*found)
                    look.signed = look.signature.status is not None
                else:
                    look.signed = await looking.is_signed(*found)
            if not self._is_settled(number, look, SIGNATURES, node, looks):
                later.append(number)
            await self._labour.step()
        return later

    def _is_settled(
        self, number: int, look: Look, stage: int, node: Node, looks: dict[int, Look | None]
    ) -> bool:
        """Whether it is decided now; emails come and go while others are looked at."""
        look.at = self._mail.place(number)
        found = matches(node, look, stage) if look.at >= 0 else False
        if found is None:
            return False
        if found:
            looks[number] = None
        else:
            del looks[number]
        return True

    async def ordered(self, numbers: Sequence[int], orders: Sequence[Order]) -> list[int]:
        """In an order; equals are as they were, and what went meanwhile is left out. Errors: TooCostly."""
        mail = self._mail
        numbers = [number for number in numbers if mail.place(number) >= 0]
        places = [mail.place(number) for number in numbers]
        received = [mail.dates[at] for at in places]

        async def dates(indexes: Sequence[int]) -> Sequence[int | None]:
            return [received[at] for at in indexes]

        listed = Listed(self._account, numbers, [mail.sizes[at] for at in places], dates)
        tests = {
            order: [int(order.test.test(Look(mail, at))) for at in places]
            for order in orders
            if order.test is not None
        }
        found = list(range(len(numbers)))
        for order in reversed(orders):
            if order.criterion is not None:
                column = await self._keys.column(listed, order.criterion, self._labour)
            else:
                column = tests[order]
            found = await sorted_by(found, column, self._labour, reverse=order.descending)
        return [numbers[at] for at in found]


class Finding:
    """The emails of ``keys`` (``by_date``) that match, found as far as somebody asks."""

    __slots__ = ("_at", "_keys", "_mail", "_node", "_search", "_seen", "_size", "numbers")

    def __init__(
        self, search: Search, mail: AccountMail, keys: Sequence[int], node: Node, *, collapse: bool
    ) -> None:
        self._search = search
        self._mail = mail
        self._keys = keys
        self._node = node
        self._seen: set[int] | None = set() if collapse else None
        self._at = 0
        self._size = FIRST
        self.numbers: list[int] = []
        """Found so far; of each thread the first only, where it is to be so (section 4.4.3)."""

    async def reach(self, count: int | None = None) -> list[int]:
        """``numbers``, so many of them if there are (None: all). Errors: TooCostly."""
        while self._at < len(self._keys) and (count is None or len(self.numbers) < count):
            part = self._keys[self._at : self._at + self._size]
            self._at += self._size
            self._size = min(2 * self._size, BLOCK)
            self._take(await self._search.matching([key & EMAIL_MASK for key in part], self._node))
        return self.numbers

    def _take(self, numbers: Sequence[int]) -> None:
        if self._seen is None:
            self.numbers += numbers
            return
        for number in numbers:
            at = self._mail.place(number)
            thread = self._mail.threads[at] if at >= 0 else number
            if thread not in self._seen:
                self._seen.add(thread)
                self.numbers.append(number)

    async def order(self, orders: Sequence[Order]) -> None:
        """Find all, and put them in an order. Errors: TooCostly."""
        collapse, self._seen = self._seen, None
        found = await self._search.ordered(await self.reach(), orders)
        self._seen, self.numbers = collapse, []
        self._take(found)

    async def place(self, number: int) -> int:
        """Where it stands; -1 where it does not. Errors: TooCostly."""
        looked = 0
        while len(numbers := await self.reach(looked + 1)) > looked:
            for at in range(looked, len(numbers)):
                if numbers[at] == number:
                    return at
            looked = len(numbers)
        return -1


def by_date(mail: AccountMail, mailbox: int, among: set[int] | None, *, descending: bool) -> Sequence[int]:
    """``Email.key`` of the emails of a mailbox (0: all), or of those that are ``among`` all, in order."""
    if among is None:
        order = mail.order(mailbox)
        return order[::-1] if descending else order[:]
    places = [(number, at) for number in among if (at := mail.place(number)) >= 0]
    return sorted([mail.dates[at] << EMAIL_BITS | number for number, at in places], reverse=descending)


def place_of_key(order: Sequence[int], key: int) -> int:
    """Where a key stands in an ascending order that holds it."""
    return bisect_left(order, key)
