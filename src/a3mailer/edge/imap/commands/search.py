"""SEARCH and UID SEARCH (RFC 9051 section 6.4.4).

ESEARCH is RFC 4731, WITHIN RFC 5032, SEARCHRES RFC 5182, CONTEXT RFC 5267, MODSEQ RFC 7162, PARTIAL RFC 9394.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.filters import expanded
from a3mailer.edge.imap.limiting import ended, narrowed
from a3mailer.edge.imap.response import Response
from a3mailer.edge.imap.searching import extended, highest, numbers_of, relevancies, save, searched
from a3mailer.edge.imap.session import Session
from a3mailer.edge.imap.updating import begin, follow, refused
from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.search import SearchRequest, parse_search


@dataclass(frozen=True, slots=True)
class Search:
    name: ClassVar = b"SEARCH"
    action: ClassVar = "message.read"
    states: ClassVar = state.SELECTED
    request: SearchRequest
    uid: bool

    @classmethod
    def parse(cls, p: Parser, *, uid: bool = False) -> Search:
        request = parse_search(p)
        p.end()
        return cls(request, uid)

    @property
    def expunges(self) -> bool:
        return self.uid

    async def run(self, session: Session) -> AsyncIterator[Response]:
        request = await expanded(session, self.request)
        if request.charset and session.utf8_mail:  # RFC 6855 section 3
            raise BadSyntax("strings are UTF-8 once UTF8=ACCEPT is enabled, no charset is named")
        options = request.options
        if options is None and session.rev2:
            options = frozenset((b"ALL",))
        labour = session.labour(session.view.count)
        wanted = begin(session, request)
        request, limit = narrowed(session, request)
        places = await searched(session, request, labour)
        if options is None:
            yield self._plain(session, places, modseq=request.modseq)
            yield ended(session, limit)
            return
        if b"SAVE" in options:
            save(session, request, options, places)
        if options != {b"SAVE"}:
            scores: list[int] = []
            if b"RELEVANCY" in options:
                scores = await relevancies(session, session.view, request, places, labour)
            yield extended(session, request, places, uid=self.uid, options=options, scores=scores)
        if wanted is not None and limit:
            yield refused(session.tag, b"that was not all of the result")
        elif wanted is not None:
            yield follow(session, wanted, places, uid=self.uid)
        yield ended(session, limit)

    def _plain(self, session: Session, places: list[int], *, modseq: bool) -> bytes:
        numbers = numbers_of(session.view, places, uid=self.uid)
        text = "".join([f" {number}" for number in numbers]).encode()
        if modseq and places:
            text += b" (MODSEQ %d)" % highest(session.view, places)
        return b"* SEARCH%b\r\n" % text
