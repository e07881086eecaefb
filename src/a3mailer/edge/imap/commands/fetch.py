"""FETCH and UID FETCH (RFC 9051 section 6.4.5); CHANGEDSINCE, VANISHED (RFC 7162), PARTIAL (RFC 9394)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final

from msgspec import Struct

from a3mailer.access.view import View
from a3mailer.edge.imap import condstore, single, state
from a3mailer.edge.imap.chunks import fetched
from a3mailer.edge.imap.fetching import DAMAGED, MISSING, Outcome, Plan, make_plan
from a3mailer.edge.imap.limiting import code, ended, failed, most, newest, refused
from a3mailer.edge.imap.opening import among
from a3mailer.edge.imap.response import Answer, Response
from a3mailer.edge.imap.selected import runs
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.fetch import FetchItems, Item, parse_fetch_items
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.search import Partial, parse_partial
from a3mailer.wire.imap.sequence import SequenceSet, Span, parse_sequence_set, print_set

REMEMBERED: Final = 256
"""Spellings of items whose plan is kept."""
REMEMBERED_OCTETS: Final = 256
"""Longer ones are read anew."""


@dataclass(slots=True)
class Modifiers:
    """FETCH modifiers; ``changed_since`` -1 without one."""

    changed_since: int = -1
    vanished: bool = False
    partial: Partial | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What follows the sequence set."""

    plan: Plan
    items: FetchItems
    """As the client named them, and MODSEQ where it is implied: UID is not (RFC 9586 section 3.3)."""
    changed_since: int
    vanished: bool
    partial: Partial | None = None


class Fetch(Struct, frozen=True):
    name: ClassVar = b"FETCH"
    action: ClassVar = "message.read"
    states: ClassVar = state.SELECTED
    messages: SequenceSet
    wanted: Wanted
    uid: bool

    # fetch = "FETCH" SP sequence-set SP (...) [fetch-modifiers]
    # fetch-modifier =/ "CHANGEDSINCE" SP mod-sequence-value / "VANISHED" / modifier-partial
    @classmethod
    def parse(cls, p: Parser, *, uid: bool = False) -> Fetch:
        p.space()
        messages = parse_sequence_set(p)
        p.space()
        rest = p.octets[p.at :]
        return cls(
            messages, remembered(rest, uid) if len(rest) <= REMEMBERED_OCTETS else read(rest, uid), uid
        )

    @property
    def expunges(self) -> bool:
        return self.uid

    def run(self, session: Session) -> Answer:
        plan = self._plan(session)
        if plan.modseq:
            condstore.enable(session)
        spans = session.chosen.spans(self.messages, uid=self.uid)
        limit = b""
        partial = self.wanted.partial
        if partial is None:
            spans, limit = newest(session, session.view, spans)
        elif partial.high - partial.low >= most(session):
            return refused(code(most(session)))
        else:
            spans = cut(spans, partial)
        if len(spans) == 1 and self.wanted.changed_since < 0:
            low, high = spans[0]
            if high - low == 1 and plan.alone and single.possible(session, plan, low):
                return single.fetch(session, plan, low)
        return self._run(session, spans, limit)

    def _plan(self, session: Session) -> Plan:
        return uids_only(self.wanted.items) if session.uid_only else self.wanted.plan

    async def _run(self, session: Session, spans: list[Span], limit: bytes) -> AsyncIterator[Response]:
        wanted, view, plan = self.wanted, session.view, self._plan(session)
        if wanted.vanished and not session.qresync:
            raise BadSyntax("ENABLE QRESYNC first")
        if wanted.changed_since >= 0:
            gone, changed = await view.since(wanted.changed_since)
            if wanted.vanished:
                yield self._vanished(view, gone)
            spans = runs(among(changed, [(low, high - 1) for low, high in spans]))
        outcome = Outcome()
        async for octets in fetched(session, view, spans, plan, outcome, descending=bool(limit)):
            yield octets
        if outcome.damaged or outcome.missing:
            yield failed(session, limit, DAMAGED if outcome.damaged else MISSING)
        else:
            yield ended(session, limit)

    def _vanished(self, view: View, gone: Iterable[int]) -> bytes:
        printed = print_set(among(gone, self.messages.bounds(view.mailbox.uid_next)))
        return b"* VANISHED (EARLIER) %b\r\n" % printed if printed else b""


def read(rest: bytes, uid: bool) -> Wanted:
    """Items and modifiers. Errors: BadSyntax."""
    p = Parser(rest)
    wanted = parse_fetch_items(p)
    modifiers = Modifiers()
    if not p.done():
        p.space()
        modifiers = _modifiers(p)
    p.end()
    since = modifiers.changed_since
    if modifiers.vanished and not (uid and since >= 0):
        raise p.fail("VANISHED needs UID FETCH and CHANGEDSINCE")
    if modifiers.partial is not None and not uid:
        raise p.fail("PARTIAL needs UID FETCH")
    items = wanted.items
    if since >= 0 and Item.MODSEQ not in items:
        items = (*items, Item.MODSEQ)
    named = FetchItems(items, wanted.sections)
    if uid and Item.UID not in items:
        items = (Item.UID, *items)
    plan = make_plan(FetchItems(items, wanted.sections))
    return Wanted(plan, named, since, modifiers.vanished, modifiers.partial)


@lru_cache(REMEMBERED)
def uids_only(items: FetchItems) -> Plan:
    """The plan of a client that wants to hear of uids only (RFC 9586)."""
    return make_plan(items, by_uid=True)


remembered = lru_cache(REMEMBERED)(read)
"""Clients ask for the same items again and again."""


def _modifiers(p: Parser) -> Modifiers:
    found = Modifiers()
    p.expect(b"(")
    while True:
        word = p.keyword()
        if word == b"CHANGEDSINCE":
            p.space()
            found.changed_since = p.number64()
        elif word == b"VANISHED":
            found.vanished = True
        elif word == b"PARTIAL" and found.partial is None:
            p.space()
            found.partial = parse_partial(p)
        else:
            raise p.fail("unknown FETCH modifier")
        if p.take(b")"):
            return found
        p.space()


def cut(spans: list[Span], partial: Partial) -> list[Span]:
    """Of the messages of some spans those in a range (RFC 9394 section 3.3)."""
    low, high = partial.span(sum(end - first for first, end in spans))
    kept: list[Span] = []
    before = 0
    for first, end in spans:
        a, b = max(first, first + low - before), min(end, first + high - before)
        if a < b:
            kept.append((a, b))
        before += end - first
    return kept
