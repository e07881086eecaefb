"""Where messages stand in their mailbox, counted without reading its columns.

A mailbox that never lost a message needs no count: uids are given without gaps. Of one that lost few their
tombstones are counted, as long as all are kept. Else rows are counted from the nearer end.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from a3mailer.store.backends.sqlite.connection import Execute

FEW: Final = 20_000
"""Tombstones of a mailbox that are counted; they cost what rows cost."""
COUNTED_AT_ONCE: Final = 20_000
"""Uids whose rows are counted before giving way: below 1 ms."""
_TOMBSTONES: Final = (
    "SELECT count(*) FROM (SELECT 1 FROM expunged INDEXED BY expunged_uid"
    " WHERE account = ? AND mailbox = ? LIMIT ?)"
)
_GONE: Final = (
    "SELECT count(*) FROM expunged INDEXED BY expunged_uid"
    " WHERE account = ? AND mailbox = ? AND uid >= ? AND uid < ?"
)
_THERE: Final = "SELECT count(*) FROM messages WHERE account = ? AND mailbox = ? AND uid >= ? AND uid < ?"


async def read_preceding(
    execute: Execute, key: tuple[int, int], messages: int, uid_next: int, uids: Sequence[int]
) -> list[int]:
    """How many of the ``messages`` of a mailbox come before each of ``uids`` (ascending, below ``uid_next``).

    ``key``: account and mailbox; the connection sees one commit."""
    missing = uid_next - 1 - messages
    if not missing:
        return [uid - 1 for uid in uids]
    if missing <= FEW and execute(_TOMBSTONES, (*key, missing + 1)).fetchone()[0] == missing:
        gone = await _counts(execute, _GONE, key, 1, uids)
        return [uid - 1 - lost for uid, lost in zip(uids, gone, strict=True)]
    middle = bisect_left(uids, uid_next // 2)
    low = await _counts(execute, _THERE, key, 1, uids[:middle])
    high = await _counts(execute, _THERE, key, uid_next, reversed(uids[middle:]))
    return [*low, *(messages - behind for behind in reversed(high))]


async def _counts(
    execute: Execute, query: str, key: tuple[int, int], start: int, ends: Iterable[int]
) -> list[int]:
    """How many rows there are between ``start`` and each of the ``ends``, which lead away from it."""
    found: list[int] = []
    at, count = start, 0
    for end in ends:
        while at != end:
            step = min(at + COUNTED_AT_ONCE, end) if at < end else max(at - COUNTED_AT_ONCE, end)
            count += execute(query, (*key, min(at, step), max(at, step))).fetchone()[0]
            if abs(step - at) == COUNTED_AT_ONCE:
                await asyncio.sleep(0)
            at = step
        found.append(count)
    return found
