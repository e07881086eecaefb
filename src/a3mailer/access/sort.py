"""Sorting messages by what they say (RFC 5256 section 3): stable, by several criteria, in slices.

Sorting a list is one step of the interpreter, so long lists are sorted in pieces: cut at keys that a sample
shows to lie evenly, each piece sorted by itself.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final

from a3mailer.access.labour import Labour
from a3mailer.access.sortkeys import Criterion, Listed, SortKeys
from a3mailer.access.view import View

AT_ONCE: Final = 16_384
"""Messages sorted in one step: some milliseconds."""
SAMPLED: Final = 16
"""Keys looked at for each piece to cut."""

_INDEX: Final = "I"
Order = tuple[tuple[Criterion, bool], ...]
"""Criteria, the first decides first; whether each is reversed."""


async def sort(
    keys: SortKeys, listed: Listed, order: Order, labour: Labour, relevancy: Sequence[int] = ()
) -> list[int]:
    """Indexes of the messages in order; equal ones stay as they are listed. Errors: TooCostly.

    ``relevancy``: a score each, where Criterion.RELEVANCY is in the order."""
    found = list(range(len(listed.emails)))
    for criterion, reverse in reversed(order):
        if criterion is Criterion.RELEVANCY:
            column: Sequence[Any] = [-score for score in relevancy]
        else:
            column = await keys.column(listed, criterion, labour)
        found = await sorted_by(found, column, labour, reverse=reverse)
    return found


async def order_of(
    keys: SortKeys,
    view: View,
    places: Sequence[int],
    order: Order,
    labour: Labour,
    relevancy: Sequence[int] = (),
) -> list[int]:
    """As ``sort``, of messages of a view; the order of all of them is remembered. Errors: TooCostly."""
    whole = len(places) == view.count and not relevancy
    if whole and (known := view.recall(order)) is not None:
        return memoryview(known).cast(_INDEX).tolist()
    found = await sort(keys, listed(view, places), order, labour, relevancy)
    if whole:
        view.remember(order, array(_INDEX, found).tobytes())
    return found


def listed(view: View, places: Sequence[int]) -> Listed:
    """Messages of a view."""
    columns, mailbox = view.columns, view.mailbox

    async def received(indexes: Sequence[int]) -> Sequence[int | None]:
        uids = [columns.uids[places[at]] for at in indexes]
        return await mailbox.internal_dates(uids)

    if len(places) == view.count:
        return Listed(mailbox.account, columns.emails[: view.count], columns.sizes[: view.count], received)
    emails, sizes = columns.emails, columns.sizes
    return Listed(mailbox.account, [emails[at] for at in places], [sizes[at] for at in places], received)


async def sorted_by(
    numbers: list[int], column: Sequence[Any], labour: Labour, *, reverse: bool = False
) -> list[int]:
    """Numbers in the order of the values that ``column`` has for them; equal ones stay. Errors: TooCostly."""
    if len(numbers) <= AT_ONCE:
        numbers.sort(key=column.__getitem__, reverse=reverse)
        await labour.step(0)
        return numbers
    found: list[int] = []
    pieces = await _cut(numbers, column, labour)
    for piece, equal in reversed(pieces) if reverse else pieces:
        if not equal:
            piece.sort(key=column.__getitem__, reverse=reverse)
        found += piece
        await labour.step(0)
    return found


async def _cut(numbers: list[int], column: Sequence[Any], labour: Labour) -> list[tuple[list[int], bool]]:
    """Pieces of about AT_ONCE / 4, each below the next; and whether the values of a piece are all equal.

    What many have is in the sample, and makes a piece of its own."""
    pieces = 1 + len(numbers) * 4 // AT_ONCE
    sample = sorted(column[number] for number in numbers[:: max(1, len(numbers) // (pieces * SAMPLED))])
    bounds = sorted({sample[place] for place in range(SAMPLED, len(sample), SAMPLED)})
    await labour.step(0)
    between: list[list[int]] = [[] for _ in range(len(bounds) + 1)]
    at: list[list[int]] = [[] for _ in range(len(bounds) + 1)]
    last = len(bounds)
    for first in range(0, len(numbers), AT_ONCE):
        for number in numbers[first : first + AT_ONCE]:
            value = column[number]
            place = bisect_left(bounds, value)
            (at if place < last and bounds[place] == value else between)[place].append(number)
        await labour.step(0)
    return [one for two in zip(between, at, strict=True) for one in ((two[0], False), (two[1], True))]
