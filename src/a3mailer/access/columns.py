"""Columns of an open mailbox: finding, changing and cutting them at the speed of arrays."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from a3mailer.mail.flags import SEEN
from a3mailer.store.rows import Columns, Message

LOOKED_THROUGH: Final = 4096
"""Messages looked at together for the first unseen one."""
_UNSEEN: Final = bytes(0 if bits & SEEN else 1 for bits in range(256))


def empty() -> Columns:
    """No messages."""
    return Columns(array("Q"), bytearray(), {}, array("Q"), array("Q"), array("Q"))


def fill(columns: Columns, new: Columns) -> None:
    """Make columns that were empty those of ``new``, for all who hold them."""
    columns.uids.extend(new.uids)
    columns.flags.extend(new.flags)
    columns.keywords.update(new.keywords)
    columns.modseqs.extend(new.modseqs)
    columns.emails.extend(new.emails)
    columns.sizes.extend(new.sizes)


def put_back(columns: Columns, uid_next: int, lost: Sequence[int], kept: Iterable[Message]) -> Columns:
    """Columns as they were: up to ``uid_next``, with messages that were ``lost`` since (ascending).

    Those of which no row is ``kept`` come without a content."""
    count = bisect_left(columns.uids, uid_next)
    missing = [uid for uid in lost if place_of(columns.uids, uid, count) < 0]
    uids, flags = columns.uids[:count], columns.flags[:count]
    modseqs, emails, sizes = columns.modseqs[:count], columns.emails[:count], columns.sizes[:count]
    keywords = dict(columns.keywords)
    if missing:
        rows = {int(row.uid): row for row in kept}
        table = list(zip(uids, flags, modseqs, emails, sizes, strict=True))
        for uid in missing:
            row = rows.get(uid)
            table.append((uid, row.flags, row.modseq, row.email, row.size) if row else (uid, 0, 0, 0, 0))
            if row and row.keywords:
                keywords[uid] = row.keywords
        table.sort()
        uids, marks, modseqs, emails, sizes = (array("Q", column) for column in zip(*table, strict=True))
        flags = bytearray(marks.tolist())  # an octet each, not the array's own
    return Columns(uids, flags, keywords, modseqs, emails, sizes)


def first_unseen(flags: bytearray, count: int) -> int:
    """The index of the first message without \\Seen among the first ``count``; -1 when there is none."""
    for start in range(0, count, LOOKED_THROUGH):
        at = flags[start : min(start + LOOKED_THROUGH, count)].translate(_UNSEEN).find(1)
        if at >= 0:
            return start + at
    return -1


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
