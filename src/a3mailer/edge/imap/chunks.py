"""FETCH responses of many messages, piece by piece: whoever asked for them (FETCH, NOTIFY, UPDATE)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final

from a3mailer.access.view import View
from a3mailer.edge.imap import condstore, fetching, sections
from a3mailer.edge.imap.fetching import Chunk, Outcome, Places, Plan, make_plan
from a3mailer.edge.imap.selected import runs
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.fetch import FetchItems
from a3mailer.wire.imap.sequence import Span

CHUNK_MESSAGES: Final = 1000
"""Messages whose items are made at once."""
CHUNK_OCTETS: Final = 1024 * 1024
"""Octets of messages whose sections are read at once."""


async def fetched(
    session: Session,
    view: View,
    spans: list[Span],
    plan: Plan,
    outcome: Outcome,
    *,
    descending: bool = False,
) -> AsyncIterator[bytes]:
    """``* n FETCH (...)`` of some messages of the selected mailbox; ``descending``: the newest first."""
    pieces: Iterable[Places] = chunks(view, spans, by_octets=bool(plan.sections))
    if descending:
        pieces = [list(reversed(piece)) for piece in reversed(list(pieces))]
    for places in pieces:
        chunk = Chunk(view, places)
        if sections.plain(session, chunk, plan):
            octets = await sections.whole(session, chunk, plan, outcome)
            session.name_keywords()
            yield octets
            continue
        chunk = await fetching.with_rows(session, chunk, plan, outcome)
        if plan.sections:
            async for octets in sections.said(session, chunk, plan, outcome):
                yield octets
        else:
            octets = await fetching.lines(session, chunk, plan, outcome)
            session.name_keywords()
            yield octets


async def say_fetched(session: Session, view: View, places: Iterable[int], items: FetchItems) -> None:
    """Tell of messages (ascending places) nobody has asked for just now. Errors: ConnectionLost."""
    plan = make_plan(items, by_uid=session.uid_only)
    if plan.modseq:
        condstore.enable(session)
    async for octets in fetched(session, view, runs(places), plan, Outcome()):
        session.write(octets)
        if session.full:
            await session.flush()


def chunks(view: View, spans: list[Span], *, by_octets: bool) -> Iterator[Places]:
    """Places in pieces that are worked off at once: ranges where they are long, lists of scattered ones."""
    most = CHUNK_MESSAGES
    sizes = view.columns.sizes
    scattered: list[int] = []
    octets = 0
    for low, high in spans:
        if high - low > 8 and not by_octets:
            if scattered:
                yield scattered
                scattered = []
            for first in range(low, high, most):
                yield range(first, min(high, first + most))
            continue
        for at in range(low, high):
            scattered.append(at)
            octets += sizes[at]
            if len(scattered) >= most or (by_octets and octets >= CHUNK_OCTETS):
                yield scattered
                scattered = []
                octets = 0
    if scattered:
        yield scattered
