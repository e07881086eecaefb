"""UID (RFC 9051 section 6.4.9): COPY, MOVE, FETCH, STORE, SEARCH, SORT, THREAD and EXPUNGE with uids."""

from __future__ import annotations

from typing import ClassVar, Final

from msgspec import Struct

from a3mailer.edge.imap import state
from a3mailer.edge.imap.commands.copy import Copy
from a3mailer.edge.imap.commands.expunge import Expunge
from a3mailer.edge.imap.commands.fetch import Fetch
from a3mailer.edge.imap.commands.move import Move
from a3mailer.edge.imap.commands.replace import Replace
from a3mailer.edge.imap.commands.search import Search
from a3mailer.edge.imap.commands.sort import Sort
from a3mailer.edge.imap.commands.store import Store
from a3mailer.edge.imap.commands.thread import Thread
from a3mailer.edge.imap.response import Answer
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.parser import Parser

Inner = Copy | Move | Fetch | Store | Search | Sort | Thread | Replace | Expunge
INNER: Final[dict[bytes, type[Inner]]] = {
    each.name: each for each in (Copy, Move, Fetch, Store, Search, Sort, Thread, Replace, Expunge)
}


class UidCommand(Struct, frozen=True):
    name: ClassVar = b"UID"
    states: ClassVar = state.SELECTED
    action: ClassVar = "message.read"
    """Of the table only: the inner command's own rule is what is asked."""
    inner: Inner

    # uid = "UID" SP (copy / move / fetch / search / sort / store / thread / replace / uid-expunge)
    @classmethod
    def parse(cls, p: Parser) -> Inner:
        p.space()
        return p.word_of(INNER, "UID command").parse(p, uid=True)

    @property
    def expunges(self) -> bool:
        return self.inner.expunges

    def run(self, session: Session) -> Answer:
        return self.inner.run(session)
