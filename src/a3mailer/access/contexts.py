"""Contexts: results of searches that are kept up to date, and what each change does to one (RFC 5267).

The uids of a result are kept, four octets each, in mailbox order or in the order of a SORT. A change is told
in steps: at a position of the result as it then is, these uids come or go. Position 0 means wherever they are
in mailbox order, and is for results in that order only (sections 4.3.3 and 4.3.4). To tell a change costs
what changed, but for expunges and what comes into a sorted result: those go through the result once.
"""

from __future__ import annotations

from array import array
from bisect import insort
from collections.abc import Iterable, Sequence, Set
from itertools import filterfalse

from a3mailer.access.columns import place_of
from a3mailer.access.view import View

Step = tuple[int, tuple[int, ...]]
"""A position, from 1 (or 0), and the uids that come or go there, in their order."""


class Context:
    """One result. ``modseq`` and ``last``: up to which change, and which uid, it was looked after."""

    __slots__ = ("last", "modseq", "ordered", "uids")

    def __init__(self, uids: Iterable[int], modseq: int, last: int, *, ordered: bool) -> None:
        self.uids = array("I", uids)
        self.modseq = modseq
        self.last = last
        self.ordered = ordered
        """The result is in an order of its own."""

    def due(self, view: View) -> list[int]:
        """Places of the messages that changed or came since, ascending; they are then taken as looked at."""
        mailbox, uids, count = view.mailbox, view.uids, view.count
        known = self.last
        changed = mailbox.changed_since(self.modseq) if self.modseq != mailbox.modseq else ()
        places = {at for uid in changed if uid <= known and (at := view.place(uid)) >= 0}
        at = count
        while at and uids[at - 1] > known:
            at -= 1
        places.update(range(at, count))
        self.modseq = mailbox.modseq
        if at < count:
            self.last = uids[count - 1]
        return sorted(places)

    def having(self, uids: Set[int]) -> Set[int]:
        """Those of some uids that are in the result."""
        if self.ordered:
            return uids & set(self.uids)
        return {uid for uid in uids if place_of(self.uids, uid, len(self.uids)) >= 0}

    def expunged(self, living: Iterable[int]) -> set[int]:
        """Those of the result that are not among the living."""
        return set(self.uids).difference(living)

    def remove(self, gone: Set[int]) -> list[Step]:
        """Take these out; the steps that tell so."""
        if not gone:
            return []
        if not self.ordered:
            self.uids = array("I", filterfalse(gone.__contains__, self.uids))
            return [(0, tuple(sorted(gone)))]
        steps: list[Step] = []
        for low, high in reversed(_runs(self.uids, gone)):
            steps.append((low + 1, tuple(self.uids[low:high])))
            del self.uids[low:high]
        return steps

    def add(self, new: Set[int], order: Sequence[int] = ()) -> list[Step]:
        """Put these in; the steps that tell so. ``order``: of an ordered result, all of it with the new."""
        if not new:
            return []
        if not self.ordered:
            for uid in sorted(new):
                insort(self.uids, uid)
            return [(0, tuple(sorted(new)))]
        self.uids = array("I", order)
        return [(low + 1, tuple(self.uids[low:high])) for low, high in _runs(self.uids, new)]


def _runs(uids: Sequence[int], wanted: Set[int]) -> list[tuple[int, int]]:
    """Half-open spans of the places of ``wanted``, ascending."""
    spans: list[tuple[int, int]] = []
    for at, uid in enumerate(uids):
        if uid in wanted:
            if spans and spans[-1][1] == at:
                spans[-1] = (spans[-1][0], at + 1)
            else:
                spans.append((at, at + 1))
    return spans
