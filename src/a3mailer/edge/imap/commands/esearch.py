"""ESEARCH (RFC 7377): one search through several mailboxes, without selecting them.

A mailbox that is not there, or may not be read, is left out without a word, and so is one without a match.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.access.labour import Labour
from a3mailer.access.view import View
from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import DONE, Response
from a3mailer.edge.imap.searching import extended, places_in, relevancies, save
from a3mailer.edge.imap.session import Session
from a3mailer.edge.imap.updating import UPDATE, begin, follow, refused
from a3mailer.mail.errors import NoSuchMailbox
from a3mailer.mail.mailbox import INBOX_NAME, SEPARATOR
from a3mailer.store.rows import Mailbox
from a3mailer.wire.imap.encode import mailbox as mailbox_name
from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.multisearch import MultiSearch, Source, parse_multisearch, returned
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class ESearch:
    name: ClassVar = b"ESEARCH"
    action: ClassVar = "message.read"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    request: MultiSearch

    @classmethod
    def parse(cls, p: Parser) -> ESearch:
        request = parse_multisearch(p)
        p.end()
        return cls(request)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        request = self.request.search
        options = returned(request).options
        if session.selected is None and self.request.selected_only:
            raise BadSyntax("no mailbox is selected")
        if UPDATE in options and session.selected is None:  # RFC 7377 section 2.2
            raise BadSyntax("UPDATE is for the selected mailbox, and there is none")
        since = begin(session, options) if UPDATE in options else 0
        followed = UPDATE not in options
        rows = await _rows(session, self.request.sources)
        labour = session.labour(sum(row.messages for row in rows))
        for row in rows:
            places, view, close = await self._places(session, row, labour)
            place = b" MAILBOX %b UIDVALIDITY %d" % (
                mailbox_name(row.name, utf8=session.rev2),
                row.uid_validity,
            )
            try:
                if b"SAVE" in options:
                    save(session, request, options, places)
                if places and options != {b"SAVE"}:
                    scores: list[int] = []
                    if b"RELEVANCY" in options:
                        scores = await relevancies(session, view, request, places, labour)
                    yield extended(
                        session,
                        request,
                        places,
                        uid=True,
                        options=options,
                        view=view,
                        place=place,
                        scores=scores,
                    )
                else:
                    yield DONE
                if not close and UPDATE in options:
                    followed = True
                    yield follow(session, request, places, since, uid=True, place=place)
            finally:
                if close:
                    view.close()
        if not followed:
            yield refused(session.tag, b"the selected mailbox is not among those searched")

    async def _places(self, session: Session, row: Mailbox, labour: Labour) -> tuple[list[int], View, bool]:
        """Places of the matches, the view they are of, and whether that has to be closed."""
        chosen = session.selected
        if chosen is not None and (chosen.account, chosen.mailbox) == (row.account, row.id):
            await session.load()
            return await places_in(session, session.view, self.request.search, labour), session.view, False
        view = await session.services.views.open(row.account, row.id)
        try:
            await view.mailbox.load()
            return await places_in(session, view, self.request.search, labour), view, True
        except BaseException:
            view.close()
            raise


async def _rows(session: Session, sources: tuple[Source, ...]) -> list[Mailbox]:
    """The mailboxes, each once."""
    found: dict[tuple[int, int], Mailbox] = {}
    for source in sources or (Source(b"SELECTED"),):
        for row in await _named(session, source):
            found.setdefault((row.account, row.id), row)
    return list(found.values())


async def _named(session: Session, source: Source) -> list[Mailbox]:
    if source.filter == b"SELECTED":
        return [await _selected(session)] if session.selected is not None else []
    if source.filter == b"MAILBOXES":
        return [row for name in source.names for row in await _one(session, name)]
    rows = await session.services.store.mailboxes(session.account)
    if source.filter == b"INBOXES":
        return [row for row in rows if row.name == INBOX_NAME]
    if source.filter == b"PERSONAL":
        return list(rows)
    if source.filter == b"SUBSCRIBED":
        return [row for row in rows if row.subscribed]
    deep = source.filter == b"SUBTREE"
    return [row for name in source.names for row in rows if _below(row.name, name, deep=deep)]


async def _selected(session: Session) -> Mailbox:
    return await session.services.store.mailbox(session.chosen.account, session.chosen.mailbox)


async def _one(session: Session, name: str) -> list[Mailbox]:
    try:
        return [await session.mailbox(name)]
    except NoSuchMailbox:
        return []


def _below(name: str, root: str, *, deep: bool) -> bool:
    """Whether it is the root or below it; without ``deep``: directly. The root "" is above all."""
    if not root:
        return deep or SEPARATOR not in name
    if name == root:
        return True
    head, _, rest = name.partition(root + SEPARATOR)
    return not head and bool(rest) and (deep or SEPARATOR not in rest)
