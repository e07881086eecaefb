"""Sorting in pieces, by keys that are kept, gives what sorting everything by everything gives."""

from __future__ import annotations

import asyncio
import unicodedata
from array import array
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.access import sort as sorting
from a3mailer.access import sortkeys
from a3mailer.access.casemap import casemap
from a3mailer.access.labour import Labour
from a3mailer.access.sort import Order, listed, sort, sorted_by
from a3mailer.access.sortkeys import Criterion, Listed, SortKeys, address_key
from a3mailer.access.watch import Views
from a3mailer.mail.ids import INBOX, AccountId
from a3mailer.mail.message import index
from a3mailer.mail.message.enveloped import envelope_fields
from a3mailer.mail.message.subject import base_subject
from a3mailer.mail.message.words import decode_words
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.operations import Append
from a3mailer.store.ports import Content, Transaction
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.store.case import settle_in
from tests.transcripts.imap_world import BusyClock

SUBJECTS = ("Apples", "Re: apples", "budget", "BUDGET (fwd)", "", "=?utf-8?q?=C3=84pfel?=", "[x] budget")
PEOPLE = ("bob@a.test", '"Zoe" <amy@b.test>', "=?utf-8?q?=C3=9Cmit?= <u@c.test>", "Team: x@d.test;", "")
DATES = ("", "Tue, 1 Feb 2022 00:00:00 +0000", "Tue, 1 Feb 2022 02:00:00 +0300", "never")
mails = st.tuples(
    st.sampled_from(SUBJECTS), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), st.sampled_from(DATES),
    st.integers(0, 3),
)  # fmt: skip
NO_KEYS = (Criterion.IS_REPLY, Criterion.RELEVANCY)
orders = st.lists(
    st.tuples(st.sampled_from([one for one in Criterion if one not in NO_KEYS]), st.booleans()),
    min_size=1,
    max_size=3,
)


def octets(mail: tuple[str, str, str, str, int]) -> bytes:
    subject, author, recipient, date, more = mail
    fields = (("Subject", subject), ("From", author), ("To", recipient), ("Date", date))
    lines = [f"{name}: {value}" for name, value in fields if value]
    return "\r\n".join((*lines, "", "x" * more)).encode()


def person(envelope: bytes, field: int, *, shown: bool) -> str:
    """The slow way: everything is taken apart."""
    element = envelope_fields(envelope)[field]
    if element == b"NIL":
        return ""
    strings = envelope_fields(b"(" + element[2 : element.index(b")") + 1])
    name, _route, mailbox, host = ("" if one == b"NIL" else one[1:-1].decode() for one in strings)
    if shown and name:
        return casemap(decode_words(name.encode()))
    return casemap(f"{mailbox}@{host}" if shown and host else mailbox)


def naive(found: Sequence[tuple[bytes, int]], criterion: Criterion) -> list[object]:
    keys: list[object] = []
    for mail, received in found:
        made = index(mail)
        match criterion:
            case Criterion.ARRIVAL:
                keys.append(received)
            case Criterion.DATE:
                keys.append(made.date or received)
            case Criterion.SIZE:
                keys.append(len(mail))
            case Criterion.SUBJECT:
                keys.append(casemap(base_subject(made.subject)[0]))
            case Criterion.FROM | Criterion.DISPLAY_FROM:
                keys.append(person(made.envelope, 2, shown=criterion is Criterion.DISPLAY_FROM))
            case Criterion.TO | Criterion.DISPLAY_TO:
                keys.append(person(made.envelope, 5, shown=criterion is Criterion.DISPLAY_TO))
            case _:
                keys.append("")
    return keys


@given(st.lists(mails, min_size=1, max_size=25), orders)
def test_messages_are_sorted_as_their_keys_say(
    drawn: list[tuple[str, str, str, str, int]], order: list[tuple[Criterion, bool]]
) -> None:
    async def play() -> None:
        clock = FakeClock()
        store = MemoryStore(clock)
        alice = await settle_in(store)
        found = [(octets(mail), 1_600_000_000 - 60 * (7 * number % 11)) for number, mail in enumerate(drawn)]
        for mail, received in found:
            append = Append(alice, INBOX, 0, internal_date=received)
            await store.commit(Transaction((append,), (Content(mail, index(mail)),)))
        views = Views(store, store)
        view = await views.open(alice, INBOX)
        for _ in range(2):  # the second time the keys are known
            got = await sort(views.sort_keys, listed(view, range(view.count)), tuple(order), Labour(clock))
            wanted = list(range(len(found)))
            for criterion, reverse in reversed(order):
                wanted.sort(key=naive(found, criterion).__getitem__, reverse=reverse)  # type: ignore[arg-type]
            assert got == wanted
        view.close()

    asyncio.run(play())


@given(st.lists(st.integers(0, 30), max_size=300), st.booleans(), st.integers(1, 40))
def test_pieces_are_sorted_like_the_whole(values: list[int], reverse: bool, at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "AT_ONCE", at_once)
        found = asyncio.run(sorted_by(list(range(len(values))), values, Labour(FakeClock()), reverse=reverse))
    assert found == sorted(range(len(values)), key=values.__getitem__, reverse=reverse)


@given(st.text())
def test_casemap_is_stable_and_blind_to_case_and_composition(text: str) -> None:
    once = casemap(text)
    assert casemap(once).casefold() == once.casefold()
    composed, apart = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)
    assert casemap(composed) == casemap(unicodedata.normalize("NFC", apart))


def test_casemap_is_that_of_rfc_5051() -> None:
    assert casemap("\u01c4") == "Dz\u030c"  # the example of section 2
    assert casemap("stra\u00dfe") == "STRA\u00dfE"  # no special casing
    assert casemap("\ufb01x") == "fiX"
    assert casemap("\u00e4") == "A\u0308" == casemap("\u00c4")


def test_the_first_address_is_found_behind_strings_of_any_form() -> None:
    long = "x" * 5000
    mail = f'Subject: {long} \\" (("\r\nFrom: "a \\" )) b" <q@x.test>\r\nTo: g: ;\r\nCc: c@x.test\r\n\r\n'
    envelope = index(mail.encode()).envelope
    assert b"{50" in envelope
    assert address_key(envelope, 2, shown=False) == "Q"
    assert address_key(envelope, 2, shown=True) == 'A " )) B'
    assert address_key(envelope, 5, shown=False) == "G"
    assert address_key(envelope, 6, shown=True) == "C@X.TEST"
    assert address_key(b"", 2, shown=False) == ""


# --- bounds ----------------------------------------------------------------------------------------------


class Reader(MemoryStore):
    """Every email has a subject of its own."""

    async def subjects(self, account: AccountId, emails: array[int]) -> list[str | None]:
        self.asked = getattr(self, "asked", 0) + len(emails)
        return [f"s{email % 1000:03} {'x' * 40}" for email in emails]


def messages(account: int, count: int) -> Listed:
    async def received(indexes: Sequence[int]) -> Sequence[int | None]:
        return [0] * len(indexes)

    return Listed(AccountId(account), range(1, count + 1), range(count), received)


SUBJECT: Order = ((Criterion.SUBJECT, False),)


async def test_keys_are_made_once_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(FakeClock())
    keys = SortKeys(reader)
    await sort(keys, messages(1, 10_000), SUBJECT, Labour(FakeClock()))
    await sort(keys, messages(1, 10_010), SUBJECT, Labour(FakeClock()))
    assert reader.asked == 10_010
    assert 0 < keys.octets < 500_000  # equal ones are one string
    monkeypatch.setattr(sortkeys, "KEPT_OCTETS", 2 * keys.octets)
    for account in range(2, 6):
        await sort(keys, messages(account, 10_000), SUBJECT, Labour(FakeClock()))
        assert keys.octets <= sortkeys.KEPT_OCTETS
    for _ in range(sortkeys.KEPT_SWEEPS + 1):
        keys.sweep()
    assert keys.octets == 0


async def test_a_long_sort_gives_way_often() -> None:
    count, turns = 200_000, 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(other())
        labour = Labour(BusyClock(0.0))
        found = await sort(SortKeys(Reader(FakeClock())), messages(1, count), SUBJECT, labour)
        task.cancel()
    assert len(found) == count
    assert turns > count // sortkeys.READ + 2 * count // sorting.AT_ONCE
