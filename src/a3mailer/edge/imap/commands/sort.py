"""SORT and UID SORT (RFC 5256 section 3) by all criteria of RFC 5957, with RETURN (RFC 5267)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Final

from a3mailer.access.sort import Order, order_of
from a3mailer.access.sortkeys import Criterion
from a3mailer.edge.imap import state
from a3mailer.edge.imap.filters import expanded
from a3mailer.edge.imap.response import DONE, Response
from a3mailer.edge.imap.searching import extended, highest, numbers_of, relevancies, save, searched, unsave
from a3mailer.edge.imap.session import Session
from a3mailer.edge.imap.updating import begin, follow
from a3mailer.mail.errors import MailError
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.search import SearchRequest, no_relevancy
from a3mailer.wire.imap.sort import SortRequest, parse_sort

_CRITERIA: Final = {
    b"ARRIVAL": Criterion.ARRIVAL,
    b"CC": Criterion.CC,
    b"DATE": Criterion.DATE,
    b"FROM": Criterion.FROM,
    b"SIZE": Criterion.SIZE,
    b"SUBJECT": Criterion.SUBJECT,
    b"TO": Criterion.TO,
    b"DISPLAYFROM": Criterion.DISPLAY_FROM,
    b"DISPLAYTO": Criterion.DISPLAY_TO,
    b"RELEVANCY": Criterion.RELEVANCY,
}


@dataclass(frozen=True, slots=True)
class Sort:
    name: ClassVar = b"SORT"
    action: ClassVar = "message.read"
    states: ClassVar = state.SELECTED
    request: SortRequest
    uid: bool

    @classmethod
    def parse(cls, p: Parser, *, uid: bool = False) -> Sort:
        request = parse_sort(p)
        p.end()
        return cls(request, uid)

    @property
    def expunges(self) -> bool:
        return self.uid

    async def run(self, session: Session) -> AsyncIterator[Response]:
        request = await expanded(session, self.request.search)
        order = tuple((_CRITERIA[word], reverse) for word, reverse in self.request.order)
        if not request.literal and any(criterion is Criterion.RELEVANCY for criterion, _ in order):
            raise no_relevancy()
        wanted = begin(session, request)
        places, scores = await self._found(session, request, order)
        options = request.options
        if options is None:
            yield self._plain(session, order, places, modseq=request.modseq)
            return
        if b"SAVE" in options:
            save(session, request, options, places)
        if options == {b"SAVE"}:
            yield DONE
        else:
            told = scores if b"RELEVANCY" in options else []
            yield extended(session, request, places, uid=self.uid, scores=told)
        if wanted is not None:
            yield follow(session, wanted, places, uid=self.uid, order=order)

    async def _found(
        self, session: Session, request: SearchRequest, order: Order
    ) -> tuple[list[int], list[int]]:
        """Places in their order, and their scores where there are any. Errors: TooCostly and others."""
        view = session.view
        labour = session.labour(view.count * (1 + len(order)))
        places = await searched(session, request, labour)
        scores: list[int] = []
        if request.literal:
            scores = await relevancies(session, view, request, places, labour)
        try:
            found = await order_of(session.services.views.sort_keys, view, places, order, labour, scores)
        except MailError:
            unsave(session, request)
            raise
        return [places[at] for at in found], [scores[at] for at in found] if scores else []

    # sort-data = "SORT" *(SP nz-number) / "SORT" [1*(SP nz-number) SP search-sort-mod-seq]
    def _plain(self, session: Session, order: Order, places: list[int], *, modseq: bool) -> bytes:
        view, name = session.view, (order, self.uid)
        whole = len(places) == view.count and all(one is not Criterion.RELEVANCY for one, _ in order)
        text = view.recall(name) if whole else None
        if text is None:
            numbers = numbers_of(view, places, uid=self.uid)
            text = "".join([f" {number}" for number in numbers]).encode()
            if whole:
                view.remember(name, text)
        if modseq and places:
            text += b" (MODSEQ %d)" % highest(view, places)
        return b"* SORT%b\r\n" % text
