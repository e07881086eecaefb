"""Columns of an open mailbox: finding, changing and cutting them at the speed of arrays."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from a3mailer.store.rows import Columns


def place_of(uids: Sequence[int], uid: int, count: int) -> int:
    """The index of ``uid`` among the first ``count``; -1 when it is not there."""
    at = bisect_left(uids, uid, 0, count)
    return at if at < count and uids[at] == uid else -1


def places_of(uids: Sequence[int], wanted: Iterable[int], count: int) -> list[int]:
    """Indexes of those of ``wanted`` that are there, in their order."""
    return [at for at in (place_of(uids, uid, count) for uid in wanted) if at >= 0]


def without(columns: Columns, places: Sequence[int]) -> Columns:
    """A copy that lacks ``places`` (ascending); the old one stays as it is for those who still use it."""
    gone = [columns.uids[at] for at in places]
    keywords = dict(columns.keywords)
    for uid in gone:
        keywords.pop(uid, None)
    return Columns(
        _array_without(columns.uids, places),
        _octets_without(columns.flags, places),
        keywords,
        _array_without(columns.modseqs, places),
        _array_without(columns.emails, places),
        _array_without(columns.sizes, places),
    )


def _array_without(column: array[int], places: Sequence[int]) -> array[int]:
    kept = array(column.typecode)
    at = 0
    for place in places:
        kept += column[at:place]
        at = place + 1
    kept += column[at:]
    return kept


def _octets_without(column: bytearray, places: Sequence[int]) -> bytearray:
    kept = bytearray()
    at = 0
    for place in places:
        kept += column[at:place]
        at = place + 1
    kept += column[at:]
    return kept


def extend(columns: Columns, new: Columns, first: int) -> None:
    """Append the messages of ``new`` from index ``first`` on; their uids are above all that are there."""
    columns.uids.extend(new.uids[first:].tolist())
    columns.flags.extend(new.flags[first:])
    columns.modseqs.extend(new.modseqs[first:].tolist())
    columns.emails.extend(new.emails[first:].tolist())
    columns.sizes.extend(new.sizes[first:].tolist())
    if new.keywords:
        for uid in new.uids[first:]:
            if uid in new.keywords:
                columns.keywords[uid] = new.keywords[uid]


def overwrite(columns: Columns, at: int, new: Columns, place: int) -> None:
    """Take flags, keywords and modseq of one message from ``new``."""
    uid = columns.uids[at]
    columns.flags[at] = new.flags[place]
    columns.modseqs[at] = new.modseqs[place]
    words = new.keywords.get(uid, "")
    if words:
        columns.keywords[uid] = words
    else:
        columns.keywords.pop(uid, None)
