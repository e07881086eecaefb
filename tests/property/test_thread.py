"""Threads are those of RFC 5256, word by word; quick for hostile References; loops never come about."""

from __future__ import annotations

import asyncio
import random
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.access import ancestry
from a3mailer.access.ancestry import NOBODY, Ancestry
from a3mailer.access.labour import Labour
from a3mailer.access.sortkeys import Listed, SortKeys
from a3mailer.access.thread import Threads, _linked, by_references, by_subject
from a3mailer.edge.imap.commands.thread import printed
from a3mailer.mail.ids import AccountId
from a3mailer.mail.message.identifiers import lineage
from a3mailer.mail.message.subject import base_subject
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.testing.clock import FakeClock
from tests.transcripts.imap_world import BusyClock


@dataclass(frozen=True)
class Mail:
    name: str
    references: tuple[str, ...]
    subject: str
    date: int


class Reader(MemoryStore):
    """Mails that are made of what a thread is made of only; email 1 is the first."""

    def __init__(self, mails: Sequence[Mail]) -> None:
        super().__init__(FakeClock())
        self.mails = mails

    async def lineages(self, account: AccountId, emails: array[int]) -> list[bytes | None]:
        found = (self.mails[email - 1] for email in emails)
        return [
            lineage(one.name.encode(), tuple(name.encode() for name in one.references), ()) for one in found
        ]

    async def subjects(self, account: AccountId, emails: array[int]) -> list[str | None]:
        return [self.mails[email - 1].subject for email in emails]

    async def sent_dates(self, account: AccountId, emails: array[int]) -> list[int | None]:
        return [self.mails[email - 1].date for email in emails]


def messages(count: int) -> Listed:
    async def received(indexes: Sequence[int]) -> Sequence[int | None]:
        return [0] * len(indexes)

    return Listed(AccountId(1), range(1, count + 1), range(count), received)


async def threaded(mails: Sequence[Mail], labour: Labour | None = None) -> Threads:
    keys = SortKeys(Reader(mails))
    return await by_references(keys, messages(len(mails)), labour or Labour(FakeClock()))


# --- the words of the RFC, slowly ------------------------------------------------------------------------


@dataclass(eq=False)
class Node:
    number: int = -1
    """-1 for a dummy."""
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)

    def descends(self, other: Node) -> bool:
        at: Node | None = self
        while at is not None and at is not other:
            at = at.parent
        return at is other


def link(parent: Node, child: Node) -> None:
    if not parent.descends(child):
        child.parent = parent
        parent.children.append(child)


def slowly(mails: Sequence[Mail]) -> str:
    nodes = [Node(number) for number in range(len(mails))]
    table: dict[str, Node] = {}
    for mail, node in zip(mails, nodes, strict=True):
        if mail.name:
            table.setdefault(mail.name, node)
    everybody = list(nodes)
    for mail, node in zip(mails, nodes, strict=True):
        last = None
        for name in mail.references:
            if name not in table:
                table[name] = Node()
                everybody.append(table[name])
            one = table[name]
            if last is not None and one.parent is None:
                link(last, one)
            last = one
        if node.parent is not None:
            node.parent.children.remove(node)
            node.parent = None
        if last is not None:
            link(last, node)
    root = Node(-2)
    for node in everybody:
        if node.parent is None:
            root.children.append(node)
    for node in root.children:
        node.parent = root
    prune(root, root)

    def key(node: Node) -> tuple[int, int]:
        first = min(node.children, key=key) if node.number == -1 else node
        return mails[first.number].date, first.number

    root.children.sort(key=key)
    gather(root, mails, key)

    def order(node: Node) -> None:
        for child in node.children:
            order(child)
        node.children.sort(key=key)

    order(root)
    return "".join(f"({shown(one)})" for one in root.children)


def prune(node: Node, root: Node) -> None:
    for child in list(node.children):
        prune(child, root)
        if child.number != -1:
            continue
        if not child.children:
            node.children.remove(child)
        elif node is not root or len(child.children) == 1:
            at = node.children.index(child)
            node.children[at : at + 1] = child.children


def gather(root: Node, mails: Sequence[Mail], key: object) -> None:
    def subject(node: Node) -> tuple[str, bool]:
        first = min(node.children, key=key) if node.number == -1 else node  # type: ignore[type-var,arg-type]
        text, reply = base_subject(mails[first.number].subject)
        return text.upper(), reply

    subjects = {id(one): subject(one) for one in root.children}
    table: dict[str, Node] = {}
    for one in root.children:
        text, reply = subjects[id(one)]
        if not text:
            continue
        there = table.setdefault(text, one)
        if there.number != -1 and (one.number == -1 or (subjects[id(there)][1] and not reply)):
            table[text] = one
    for one in list(root.children):
        text, reply = subjects[id(one)]
        if not text or table[text] is one:
            continue
        there = table[text]
        root.children.remove(one)
        if there.number == -1 and one.number == -1:
            there.children += one.children
        elif there.number == -1 or (reply and not subjects[id(there)][1]):
            there.children.append(one)
        else:
            root.children.remove(there)
            table[text] = Node(-1, None, [there, one])
            root.children.append(table[text])


def shown(node: Node) -> str:
    number = "" if node.number == -1 else str(node.number + 1)
    if len(node.children) == 1:
        return f"{number} {shown(node.children[0])}" if number else shown(node.children[0])
    inner = "".join(f"({shown(child)})" for child in node.children)
    return f"{number} {inner}" if number and inner else number or inner


# --- the same --------------------------------------------------------------------------------------------

names = st.sampled_from(("", *"abcdefgh"))
mails = st.builds(
    Mail,
    names,
    st.lists(st.sampled_from("abcdefgh"), max_size=5).map(tuple),
    st.sampled_from(("", "lunch", "Re: lunch", "LUNCH (fwd)", "dinner", "Re: dinner", "[x] tea")),
    st.integers(1, 6),
)


async def answer(found: Sequence[Mail]) -> str:
    labour = Labour(FakeClock())
    octets = await printed(await threaded(found, labour), range(1, len(found) + 1), labour)
    return octets.decode().removeprefix("* THREAD").strip()


@given(st.lists(mails, max_size=14), st.integers(0, 2))
def test_threads_are_those_of_the_rfc(found: list[Mail], steps: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ancestry, "STEPS", 0 if steps == 0 else 32)  # with and without link/cut trees
        assert asyncio.run(answer(found)) == slowly(found)


@given(st.lists(mails, max_size=14))
def test_by_subject_the_first_is_the_root(found: list[Mail]) -> None:
    keys = SortKeys(Reader(found))
    threads = asyncio.run(by_subject(keys, messages(len(found)), Labour(FakeClock())))

    def sent(number: int) -> tuple[int, int]:
        return found[number].date, number

    groups: dict[str, list[int]] = {}
    for number in sorted(range(len(found)), key=sent):
        groups.setdefault(base_subject(found[number].subject)[0].upper(), []).append(number)
    wanted = sorted(groups.values(), key=lambda group: sent(group[0]))
    assert [[root, *threads.of(root)] for root in threads.roots] == wanted


def test_parents_never_make_a_loop(seed: int) -> None:
    rng = random.Random(seed)
    climbing, trees = Ancestry(), Ancestry()
    trees._climbed = 10**9  # its first question makes link/cut trees
    for each in (climbing, trees):
        for _ in range(60):
            each.add()
    refused = 0
    for _ in range(3000):
        one, other = rng.randrange(60), rng.randrange(60)
        if rng.random() < 0.3:
            climbing.cut(one)
            trees.cut(one)
        if climbing.parents[one] == NOBODY:
            linked = climbing.link(other, one)
            assert trees.link(other, one) is linked
            refused += not linked
    assert trees._trees is not None
    assert climbing.parents == trees.parents
    assert refused > 10


# --- row 34: nobody makes it slow -------------------------------------------------------------------------


def chain(count: int) -> list[Mail]:
    return [Mail(f"m{n}", (f"m{n - 1}",) if n else (), f"s{n}", n + 1) for n in range(count)]


def backwards(count: int) -> list[Mail]:
    return chain(count)[::-1]


def deep(count: int) -> list[Mail]:
    """A chain, and then as many that ask whether its top stands below its end, and are cut out in between."""
    half = count // 2
    asks = [
        Mail(f"x{n}", (f"m{half - 1}", "m0", f"y{n}"), f"t{n}", n + 1) if n % 2 else
        Mail(f"z{n}", (f"m{half - 1 - n % 7}", f"x{n + 1}"), f"u{n}", n + 1)
        for n in range(half)
    ]  # fmt: skip
    return chain(half) + asks


def missing(count: int) -> list[Mail]:
    """Nobody of a long line of ancestors is here, and many are born at its end."""
    line = tuple(f"g{n}" for n in range(count // 2))
    steps = [Mail(f"a{n}", line[50 * n : 50 * n + 51], "", 1) for n in range(count // 100)]
    return steps + [Mail(f"c{n}", line[-2:], "", n + 1) for n in range(count // 2)]


def one_subject(count: int) -> list[Mail]:
    return [Mail(f"m{n}", (f"d{n // 2}",), "Re: all" if n % 3 else "all", n + 1) for n in range(count)]


@pytest.mark.parametrize("make", [chain, backwards, deep, missing, one_subject])
def test_hostile_references_cost_no_more_than_their_number(make: object) -> None:
    def cost(count: int) -> float:
        made = make(count)  # type: ignore[operator]
        best = 1e9
        for _ in range(2):
            before = time.process_time()
            labour = Labour(FakeClock())
            threads = asyncio.run(threaded(made, labour))
            assert asyncio.run(printed(threads, range(1, count + 1), labour))
            best = min(best, time.process_time() - before)
        return best

    assert min(cost(8000) / cost(2000) for _ in range(3)) < 8  # four times as many; 16 if it were quadratic


async def test_a_long_thread_gives_way_often() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(other())
        await threaded(chain(20_000), Labour(BusyClock(0.0)))
        task.cancel()
    assert turns > 20_000


def conversation(draw: random.Random) -> list[bytes]:
    """Lineages of mails that follow each other; some forget whom, or name others, or twice the same."""
    names: list[str] = []
    references: list[tuple[str, ...]] = []
    for number in range(draw.randrange(2, 25)):
        named: tuple[str, ...] = ()
        if names and draw.randrange(5):
            at = draw.randrange(len(names))
            named = (*references[at], names[at])
            if not draw.randrange(6):
                named = tuple(draw.choices((*names, "nobody", f"{number}"), k=draw.randrange(4)))
        names.append(draw.choice(names) if names and not draw.randrange(12) else f"{number}")
        references.append(named)
    mails = [
        lineage(name.encode(), tuple(one.encode() for one in named), ())
        for name, named in zip(names, references, strict=True)
    ]
    if draw.randrange(2):
        draw.shuffle(mails)
    return mails


async def test_who_names_the_same_as_the_one_it_follows_is_linked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    draw = random.Random(seed)
    adopted = 0
    adopt = Ancestry.adopt

    def counted(self: Ancestry, parent: int, child: int) -> bool:
        nonlocal adopted
        done = adopt(self, parent, child)
        adopted += done
        return done

    for _ in range(1500):
        mails = conversation(draw)
        monkeypatch.setattr(Ancestry, "adopt", counted)
        quick = await _linked(mails, Labour(FakeClock()))
        monkeypatch.setattr(Ancestry, "adopt", lambda self, parent, child: False)
        assert quick == await _linked(mails, Labour(FakeClock()))
    assert adopted > 1500
