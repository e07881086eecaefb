"""SEARCH and UID SEARCH (RFC 9051 section 6.4.4); RFC 4731 (ESEARCH), 5182 (SEARCHRES), 7162 (MODSEQ)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.access.search import Search as Searching
from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import DONE, Response
from a3mailer.edge.imap.session import Session
from a3mailer.mail.criteria import Numbers, Program
from a3mailer.mail.errors import MailError
from a3mailer.wire.imap.encode import string
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.search import InSet, SearchRequest, parse_search
from a3mailer.wire.imap.sequence import print_set


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
        request, view = self.request, session.view
        session.condstore |= request.modseq
        options = request.options
        if options is None and session.rev2:
            options = frozenset((b"ALL",))
        services = session.services
        try:
            program = resolved(session, request)
            labour = session.labour(view.count)
            places = await Searching(services.store, view, program, labour).places()
        except MailError:
            if options is not None and b"SAVE" in options:
                session.chosen.saved = frozenset()  # RFC 5182 section 2.1
            raise
        uids = view.uids
        numbers = [uids[at] for at in places] if self.uid else [at + 1 for at in places]
        if options is None:
            yield self._plain(session, places, numbers)
            return
        if b"SAVE" in options:
            session.chosen.saved = frozenset(uids[at] for at in _saved(places, options))
        if options == {b"SAVE"}:
            yield DONE
        else:
            yield self._extended(session, options, places, numbers)

    def _plain(self, session: Session, places: Sequence[int], numbers: Sequence[int]) -> bytes:
        text = "".join(f" {number}" for number in numbers).encode()
        if self.request.modseq and places:
            text += b" (MODSEQ %d)" % _highest(session, places)
        return b"* SEARCH%b\r\n" % text

    # esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)
    def _extended(
        self, session: Session, options: frozenset[bytes], places: Sequence[int], numbers: Sequence[int]
    ) -> bytes:
        words = [b"* ESEARCH (TAG %b)" % string(session.tag)]
        if self.uid:
            words.append(b"UID")
        if b"COUNT" in options:
            words.append(b"COUNT %d" % len(numbers))
        if numbers:
            if b"MIN" in options:
                words.append(b"MIN %d" % numbers[0])
            if b"MAX" in options:
                words.append(b"MAX %d" % numbers[-1])
            if b"ALL" in options:
                words.append(b"ALL %b" % print_set(numbers))
            if self.request.modseq:
                words.append(b"MODSEQ %d" % _highest(session, _told(places, options)))
        return b" ".join(words) + b"\r\n"


def resolved(session: Session, request: SearchRequest) -> Program:
    """The program with its sequence sets as places of the view. Errors: BadSyntax."""
    chosen = session.chosen
    return tuple(
        Numbers(tuple(chosen.spans(one.numbers, uid=one.uid))) if isinstance(one, InSet) else one
        for one in request.program
    )


def _saved(places: Sequence[int], options: frozenset[bytes]) -> Sequence[int]:
    """RFC 5182 section 2.4: with MIN or MAX but neither ALL nor COUNT, only those are saved."""
    if options & {b"ALL", b"COUNT"} or not options & {b"MIN", b"MAX"}:
        return places
    return _ends(places, options)


def _told(places: Sequence[int], options: frozenset[bytes]) -> Sequence[int]:
    """RFC 4731 section 3.2: whose mod-sequences the highest is of."""
    if options & {b"ALL", b"COUNT"}:
        return places
    return _ends(places, options)


def _ends(places: Sequence[int], options: frozenset[bytes]) -> Sequence[int]:
    ends: list[int] = []
    if places and b"MIN" in options:
        ends.append(places[0])
    if places and b"MAX" in options:
        ends.append(places[-1])
    return ends or places


def _highest(session: Session, places: Sequence[int]) -> int:
    return max(session.view.flags(at)[2] for at in places)
