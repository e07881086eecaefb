"""SORT and UID SORT (RFC 5256 section 3) by all criteria of RFC 5957, with RETURN (RFC 5267)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Final

from a3mailer.access.sort import listed, sort
from a3mailer.access.sortkeys import Criterion
from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import DONE, Response
from a3mailer.edge.imap.searching import extended, highest, relevancies, save, searched
from a3mailer.edge.imap.session import Session
from a3mailer.edge.imap.updating import UPDATE, begin, follow
from a3mailer.wire.imap.parser import Parser
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
        request, view = self.request.search, session.view
        order = tuple((_CRITERIA[word], reverse) for word, reverse in self.request.order)
        labour = session.labour(view.count * (1 + len(order)))
        since = begin(session, request.options)
        places = await searched(session, request, labour)
        scores: list[int] = []
        if request.literal:
            scores = await relevancies(session, view, request, places, labour)
        keys = session.services.views.sort_keys
        sorted_ = await sort(keys, listed(view, places), order, labour, scores)
        places = [places[at] for at in sorted_]
        scores = [scores[at] for at in sorted_] if b"RELEVANCY" in (request.options or ()) else []
        if request.options is None:
            yield self._plain(session, places)
            return
        if b"SAVE" in request.options:
            save(session, request, request.options, places)
        if request.options == {b"SAVE"}:
            yield DONE
        else:
            yield extended(session, request, places, uid=self.uid, scores=scores)
        if UPDATE in request.options:
            yield follow(session, request, places, since, uid=self.uid, order=order)

    # sort-data = "SORT" *(SP nz-number) / "SORT" [1*(SP nz-number) SP search-sort-mod-seq]
    def _plain(self, session: Session, places: list[int]) -> bytes:
        uids = session.view.uids
        numbers = [uids[at] for at in places] if self.uid else [at + 1 for at in places]
        text = "".join([f" {number}" for number in numbers]).encode()
        if self.request.search.modseq and places:
            text += b" (MODSEQ %d)" % highest(session.view, places)
        return b"* SORT%b\r\n" % text
