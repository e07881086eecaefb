"""The operations on reports: counts for those we will send, and those that were received."""

from __future__ import annotations

from typing import Final

import msgspec

from a3mailer.store.operation import Operation, Result

MOST_TALLIES: Final = 500_000
"""Rows of tallies a store keeps: beyond, only those that exist count on."""


class Tally(msgspec.Struct, frozen=True, array_like=True):
    """How often one thing was seen: the ingredients of a report that is still to be made."""

    period: int
    """When the report's time begins, seconds since the epoch."""
    domain: str
    """Whom the report will be for."""
    key: str
    """What is counted apart: JSON, as the kind of report writes it."""
    count: int


class AddTallies(Operation, frozen=True):
    """Add counts to those that are kept. ``kind`` is that of the report (``dmarc``, ``tls``).

    Result: Tallied."""

    kind: str
    tallies: tuple[Tally, ...]
    most: int = MOST_TALLIES
    """Rows of all kinds together above which none is begun."""


class Tallied(Result, frozen=True):
    left_out: int
    """New rows that were not begun, because there were ``most``."""


class DropTallies(Operation, frozen=True):
    """Forget the tallies of periods from ``first`` to before ``last``; ``domain`` empty: of all domains.

    In one transaction with the Enqueue of the report made of them it is sent once. Result: Purged."""

    kind: str
    domain: str
    first: int
    last: int


class PutReport(Operation, frozen=True):
    """Keep a report that was received. One that is known (by kind, domain, source and identity) stays."""

    kind: str
    domain: str
    """Of ours: what it is about."""
    source: str
    """Who sent it, as far as that was proved: a domain."""
    identity: str
    """The name its maker gave it."""
    begins: int
    ends: int
    """Its time, seconds since the epoch."""
    content: str
    """JSON, as its kind writes it."""
    now: int = 0


class DropReports(Operation, frozen=True):
    """Forget reports received before ``before``, and the oldest beyond ``most``. Result: Purged."""

    before: int
    most: int
    limit: int = 1000
