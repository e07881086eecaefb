"""Searching by stages, blocks and bits finds what asking every message every question finds."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from a3mailer.access import search
from a3mailer.access.labour import Labour
from a3mailer.access.search import Search, bounds, mask_of, members
from a3mailer.access.watch import Views
from a3mailer.mail.criteria import (
    Clock,
    Comparison,
    Contains,
    Dated,
    Everything,
    HasFlag,
    HasKeyword,
    Header,
    Leaf,
    Nothing,
    Numbers,
    Operator,
    Place,
    Size,
)
from a3mailer.mail.flags import FLAGGED, SEEN
from a3mailer.mail.ids import INBOX
from a3mailer.mail.message import index
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.operations import Append
from a3mailer.store.ports import Content, Transaction
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.store.case import settle_in

WORDS = ("apple", "Pear", "grün", "x")
DAY = 86400
messages = st.lists(
    st.tuples(
        st.sampled_from(WORDS),  # subject
        st.sampled_from(WORDS),  # body
        st.sampled_from(("bob", "Ann")),  # from
        st.integers(0, 3),  # flags
        st.booleans(),  # keyword
        st.integers(1, 5),  # day
    ),
    min_size=1,
    max_size=12,
)
leaves = st.one_of(
    st.just(Everything()),
    st.just(Nothing()),
    st.sampled_from([HasFlag(SEEN), HasFlag(FLAGGED), HasKeyword("$junk")]),
    st.builds(
        Contains,
        st.sampled_from([Place.SUBJECT, Place.BODY, Place.TEXT]),
        st.sampled_from(("APPLE", "ear", "GRÜ")),
    ),
    st.builds(Contains, st.just(Place.FROM), st.sampled_from(("BOB", "ann@e", "nobody"))),
    st.builds(Header, st.sampled_from(("subject", "x-none")), st.sampled_from(("", "apple"))),
    st.builds(Dated, st.just(Clock.INTERNAL), st.integers(0, 4), st.integers(2, 6)),
    st.builds(Size, st.sampled_from(Comparison), st.integers(80, 120)),
    st.builds(lambda a, b: Numbers(((a, a + b),)), st.integers(0, 6), st.integers(1, 5)),
)


@st.composite
def programs(draw: st.DrawFn) -> tuple[Leaf | Operator, ...]:
    out: list[Leaf | Operator] = [draw(leaves)]
    depth = 1
    for _ in range(draw(st.integers(0, 8))):
        if depth > 1 and draw(st.booleans()):
            out.append(draw(st.sampled_from((Operator.AND, Operator.OR))))
            depth -= 1
        elif draw(st.integers(0, 3)) == 0:
            out.append(Operator.NOT)
        else:
            out.append(draw(leaves))
            depth += 1
    return (*out, *[Operator.AND] * (depth - 1))


def matches(leaf: Leaf, number: int, message: tuple[str, str, str, int, bool, int], size: int) -> bool:
    """The question to one message, asked plainly."""
    subject, body, sender, bits, keyword, day = message
    match leaf:
        case Everything():
            return True
        case HasFlag(bit):
            return bool((bits & 1 and bit == SEEN) or (bits & 2 and bit == FLAGGED))
        case HasKeyword():
            return keyword
        case Contains(Place.SUBJECT, text):
            return text.casefold() in subject.casefold()
        case Contains(Place.BODY, text):
            return text.casefold() in body.casefold()
        case Contains(Place.TEXT, text):
            return text.casefold() in f"{subject} {body}".casefold()
        case Contains(Place.FROM, text):
            return text.casefold() in f"{sender}@example.test".casefold()
        case Header("subject", text):
            return text in subject.casefold()
        case Dated(_clock, first, end):
            return first <= day < end
        case Size(comparison, octets):
            return size > octets if comparison is Comparison.ABOVE else size < octets
        case Numbers(spans):
            return any(low <= number < high for low, high in spans)
        case _:
            return False


def plainly(
    program: tuple[Leaf | Operator, ...],
    number: int,
    message: tuple[str, str, str, int, bool, int],
    size: int,
) -> bool:
    stack: list[bool] = []
    for one in program:
        if one is Operator.NOT:
            stack.append(not stack.pop())
        elif isinstance(one, Operator):
            b, a = stack.pop(), stack.pop()
            stack.append(a and b if one is Operator.AND else a or b)
        else:
            stack.append(matches(one, number, message, size))
    return stack.pop()


@given(messages, programs(), st.sampled_from((1, 3, 4096)))
def test_search_finds_what_asking_everyone_finds(
    given_messages: list[tuple[str, str, str, int, bool, int]],
    program: tuple[Leaf | Operator, ...],
    block: int,
) -> None:
    async def play() -> None:
        store = MemoryStore()
        account = await settle_in(store)
        sizes = []
        for subject, body, sender, bits, keyword, day in given_messages:
            text = f"From: {sender}@example.test\r\nSubject: {subject}\r\n\r\n{body}\r\n".encode()
            sizes.append(len(text))
            flags = (SEEN if bits & 1 else 0) | (FLAGGED if bits & 2 else 0)
            append = Append(account, INBOX, 0, flags, ("$Junk",) if keyword else (), day * DAY + 5)
            await store.commit(Transaction((append,), (Content(text, index(text)),)))
        view = await Views(store, store).open(account, INBOX)
        expected = [
            number
            for number, message in enumerate(given_messages)
            if plainly(program, number, message, sizes[number])
        ]
        whole, search.BLOCK = search.BLOCK, block  # type: ignore[misc]
        try:
            found = await Search(store, view, program, Labour(FakeClock())).places()
        finally:
            search.BLOCK = whole  # type: ignore[misc]
        assert found == expected

    asyncio.run(play())


@given(st.lists(st.booleans(), max_size=80))
def test_masks_and_members(bits: list[bool]) -> None:
    mask = mask_of(bytes(49 if bit else 48 for bit in bits))
    assert members(mask) == [at for at, bit in enumerate(bits) if bit]


def test_what_is_not_known_yet_is_bounded() -> None:
    seen, junk = HasFlag(SEEN), HasKeyword("x")
    program = (seen, junk, Operator.NOT, Operator.OR)
    assert bounds(program, {}, 0b11) == (0, 0b11)
    assert bounds(program, {seen: 0b01}, 0b11) == (0b01, 0b11)
    assert bounds(program, {seen: 0b01, junk: 0b10}, 0b11) == (0b01, 0b01)
