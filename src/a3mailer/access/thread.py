"""Threads (RFC 5256 section 3): REFERENCES, by whom messages follow, and ORDEREDSUBJECT, by base subject.

A message is the index it has among those listed. A dummy, which stands for a message that is not there,
has a number above them all. Everything is made of columns that were computed at delivery, in steps of a
few microseconds a message, and gives way between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from a3mailer.access.ancestry import NOBODY, Ancestry
from a3mailer.access.labour import Labour
from a3mailer.access.sort import AT_ONCE, sorted_by
from a3mailer.access.sortkeys import Criterion, Listed, SortKeys
from a3mailer.mail.message.identifiers import KEY

STEP: Final = 512
"""Messages linked between two looks at the clock."""
_NOBODY: Final = bytes(KEY)
_NONE: Final[list[int]] = []


@dataclass(frozen=True, slots=True)
class Threads:
    """``roots`` in order; ``children`` of those who have any, in order. Numbers from ``count`` on are
    dummies, which are roots with two children at least."""

    count: int
    roots: list[int]
    children: dict[int, list[int]]

    def of(self, one: int) -> list[int]:
        """The children of one."""
        return self.children.get(one, _NONE)


async def by_subject(keys: SortKeys, listed: Listed, labour: Labour) -> Threads:
    """ORDEREDSUBJECT: messages of a base subject are children of the first of them. Errors: TooCostly."""
    subjects = await keys.column(listed, Criterion.SUBJECT, labour)
    order = await _by_date(keys, listed, labour)
    first: dict[str, int] = {}
    children: dict[int, list[int]] = {}
    for place, number in enumerate(order):
        root = first.setdefault(subjects[number], number)
        if root != number:
            children.setdefault(root, []).append(number)
        if place % STEP == 0:
            await labour.step(0)
    return Threads(len(order), list(first.values()), children)


async def by_references(keys: SortKeys, listed: Listed, labour: Labour) -> Threads:
    """REFERENCES, its six steps. Errors: TooCostly."""
    lineages = await keys.column(listed, Criterion.LINEAGE, labour)
    subjects = await keys.column(listed, Criterion.SUBJECT, labour)
    replies = await keys.column(listed, Criterion.IS_REPLY, labour)
    order = await _by_date(keys, listed, labour)
    rank = [0] * len(order)
    """When each was sent, as a place in line."""
    for place, number in enumerate(order):
        rank[number] = place
        if place % STEP == 0:
            await labour.step(0)
    forest = await _pruned(len(order), await _linked(lineages, labour), labour)
    gathering = _Gathering(forest, rank, subjects, replies)
    await gathering.merge(labour)
    return await gathering.sorted(labour)


async def _by_date(keys: SortKeys, listed: Listed, labour: Labour) -> list[int]:
    dates = await keys.column(listed, Criterion.DATE, labour)
    return await sorted_by(list(range(len(dates))), dates, labour)


# --- step 1 ----------------------------------------------------------------------------------------------


async def _linked(lineages: Sequence[bytes], labour: Labour) -> list[int]:
    """The parent of each message, and of each dummy after them; NOBODY for those without.

    Who names the same as the one it follows, and that one, finds all these linked: unless a link was refused
    or lost since (``doubts`` tells), nothing is left to do but to link it."""
    count = len(lineages)
    ancestry = Ancestry(count)
    known = await _named(lineages, labour)
    doubts = 0
    sure = [NOBODY] * count
    """How many doubts there were when a message was linked, with all that it names."""
    for number, lineage in enumerate(lineages):
        if number % STEP == 0:
            await labour.step(0)
        above = known.get(lineage[-KEY:], count) if len(lineage) > KEY else count
        if (
            above < number
            and sure[above] == doubts
            and lineages[above][KEY:] == lineage[KEY:-KEY]
            and ancestry.adopt(above, number)
        ):
            sure[number] = doubts
            continue
        if _follow(ancestry, known, number, lineage):
            doubts += 1
        else:
            sure[number] = doubts
        if labour.over:
            await labour.rest()
    await labour.step(count)
    return ancestry.parents


async def _named(lineages: Sequence[bytes], labour: Labour) -> dict[bytes, int]:
    """Messages by their own names; a name that somebody has already is not that of a later one."""
    known: dict[bytes, int] = {}
    for number, lineage in enumerate(lineages):
        own = lineage[:KEY]
        if own != _NOBODY:
            known.setdefault(own, number)
        if number % STEP == 0:
            await labour.step(0)
    return known


def _follow(ancestry: Ancestry, known: dict[bytes, int], number: int, lineage: bytes) -> bool:
    """Link a message and all that it names, each below the one before; whether a link was refused or lost."""
    above, doubtful = NOBODY, False
    for at in range(KEY, len(lineage), KEY):
        name = lineage[at : at + KEY]
        one = known.get(name, NOBODY)
        if one == NOBODY:
            one = known[name] = ancestry.add()
        if above != NOBODY and ancestry.parents[one] == NOBODY:
            doubtful |= not ancestry.link(above, one)
        above = one
    had = ancestry.parents[number] != NOBODY
    ancestry.cut(number)
    linked = above != NOBODY and ancestry.link(above, number)
    return doubtful or (not linked and (had or above != NOBODY))


# --- steps 2 and 3 ---------------------------------------------------------------------------------------


async def _pruned(count: int, parents: Sequence[int], labour: Labour) -> Threads:
    """Threads without dummies, but for those at the root that hold several together."""
    children: dict[int, list[int]] = {}
    roots: list[int] = []
    for number, parent in enumerate(parents):
        (roots if parent == NOBODY else children.setdefault(parent, [])).append(number)
        if number % STEP == 0:
            await labour.step(0)
    for number, one in enumerate(reversed(await _downwards(roots, children, labour))):
        if parents[one] != NOBODY or one < count:
            below = children.get(one)
            if below is not None and any(child >= count for child in below):
                children[one] = _without_dummies(below, children, count)
        if number % STEP == 0:
            await labour.step(0)
    kept: list[int] = []
    for root in roots:
        if root < count:
            kept.append(root)
            continue
        below = _without_dummies(children.pop(root, []), children, count)
        if len(below) > 1:
            children[root] = below
            kept.append(root)
        else:
            kept += below
    return Threads(count, kept, children)


async def _downwards(roots: Sequence[int], children: dict[int, list[int]], labour: Labour) -> list[int]:
    """Everybody, parents before their children."""
    found = list(roots)
    at = 0
    while at < len(found):
        some = found[at : at + STEP]
        for one in some:
            found += children.get(one, _NONE)
        at += len(some)
        await labour.step(0)
    return found


def _without_dummies(below: list[int], children: dict[int, list[int]], count: int) -> list[int]:
    """Children with those of dummies in the place of these; the longest list is taken as it is."""
    lists = [children.pop(one, []) for one in below if one >= count]
    lists.append([one for one in below if one < count])
    lists.sort(key=len)
    found = lists.pop()
    for one in lists:
        found += one
    return found


# --- steps 4 to 6 ----------------------------------------------------------------------------------------


class _Gathering:
    """Threads of the same subject become one."""

    __slots__ = ("_children", "_count", "_next", "_rank", "_replies", "_roots", "_subjects")

    def __init__(
        self, forest: Threads, rank: Sequence[int], subjects: Sequence[str], replies: Sequence[bool]
    ) -> None:
        self._count = forest.count
        self._children = forest.children
        self._rank = rank
        self._subjects = subjects
        self._replies = replies
        self._roots = dict.fromkeys(forest.roots)
        self._next = max((forest.count, *(root + 1 for root in forest.roots)))
        """The number of the next new dummy."""

    def _is_dummy(self, one: int) -> bool:
        return one >= self._count

    def _first(self, one: int) -> int:
        """The message itself; for a dummy the first of its children by date."""
        return min(self._children[one], key=self._rank.__getitem__) if self._is_dummy(one) else one

    async def _in_order(self, labour: Labour) -> list[int]:
        """The roots by date, dummies by that of their first child."""
        roots = list(self._roots)
        ranks: list[int] = []
        for number, root in enumerate(roots):
            ranks.append(self._rank[self._first(root)])
            if number % STEP == 0:
                await labour.step(0)
        return [roots[at] for at in await sorted_by(list(range(len(roots))), ranks, labour)]

    async def merge(self, labour: Labour) -> None:
        """Step 5: a table of subjects, then each thread joins the one its subject has there."""
        threads: list[tuple[int, str]] = []
        table: dict[str, int] = {}
        for number, root in enumerate(await self._in_order(labour)):
            subject = self._subjects[self._first(root)]
            if subject:
                threads.append((root, subject))
                found = table.setdefault(subject, root)
                if found != root and self._better(root, found):
                    table[subject] = root
            if number % STEP == 0:
                await labour.step(0)
        for number, (root, subject) in enumerate(threads):
            if table[subject] != root:
                table[subject] = self._joined(table[subject], root)
            if number % STEP == 0:
                await labour.step(0)

    def _better(self, root: int, found: int) -> bool:
        """Whether a thread is to stand in the table instead of the one that does."""
        if self._is_dummy(found):
            return False
        return self._is_dummy(root) or (self._replies[found] and not self._replies[root])

    def _joined(self, found: int, root: int) -> int:
        """Put a thread under the one in the table, or both under a dummy; who then stands in the table."""
        children = self._children
        del self._roots[root]
        if self._is_dummy(root):  # so is the other: it would have made way
            children[found] += children.pop(root)
        elif self._is_dummy(found) or (self._replies[root] and not self._replies[found]):
            children.setdefault(found, []).append(root)
        else:
            del self._roots[found]
            dummy = self._next
            self._next += 1
            children[dummy] = [found, root]
            self._roots[dummy] = None
            return dummy
        return found

    async def sorted(self, labour: Labour) -> Threads:
        """Step 6: siblings by date, grandchildren first, so that a dummy is as old as its first child."""
        for number, (one, below) in enumerate(self._children.items()):
            if len(below) > AT_ONCE:
                self._children[one] = await sorted_by(below, self._rank, labour)
            elif len(below) > 1:
                below.sort(key=self._rank.__getitem__)
            if number % STEP == 0 or len(below) > STEP:
                await labour.step(0)
        return Threads(self._count, await self._in_order(labour), self._children)


# --- reading them ----------------------------------------------------------------------------------------


def walk(threads: Threads, root: int, say: Callable[[int], None], open_: Callable[[], None],
         close: Callable[[], None]) -> None:  # fmt: skip
    """Read one thread from its root down: ``say`` a message; ``open_`` and ``close`` around each of several
    siblings, and around the whole. However deep it is, nothing recurses."""
    open_()
    stack = [-2, root]
    while stack:
        one = stack.pop()
        if one == -2:
            close()
            continue
        if one == -1:
            open_()
            continue
        if one < threads.count:
            say(one)
        below = threads.of(one)
        if len(below) == 1:
            stack.append(below[0])
        else:
            for child in reversed(below):
                stack += (-2, child, -1)
