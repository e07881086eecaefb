"""What every operation on a store is, and the results that several of them have (``operations.py``)."""

from __future__ import annotations

import msgspec


class Operation(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """One change."""


class Result(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What one operation did."""


class Done(Result, frozen=True):
    """Nothing to say but that it is done; ``modseq`` is the account's after it (0 where it has none)."""

    modseq: int = 0


class Purged(Result, frozen=True):
    count: int
