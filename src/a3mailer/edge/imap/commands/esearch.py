"""ESEARCH (RFC 7377): one search through several mailboxes, without selecting them.

A mailbox that is not there, or may not be read, is left out without a word, and so is one without a match.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import ClassVar

from a3mailer.access.labour import Labour
from a3mailer.access.view import View
from a3mailer.edge.imap import state
from a3mailer.edge.imap.filters import expanded
from a3mailer.edge.imap.response import Response
from a3mailer.edge.imap.searching import extended, places_in, relevancies, save, unsave
from a3mailer.edge.imap.session import Session
from a3mailer.edge.imap.updating import UPDATE, Wanted, begin, follow, refused
from a3mailer.mail.errors import BadName, MailError, NoSuchMailbox, NotAllowed
from a3mailer.mail.ids import SYSTEM_ACCOUNT
from a3mailer.mail.mailbox import SEPARATOR
from a3mailer.store.rows import Mailbox
from a3mailer.wire.imap.encode import mailbox as mailbox_name
from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.multisearch import MultiSearch, Source, parse_multisearch, returned, unnumbered
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.search import SearchRequest


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
        if session.selected is None and self.request.selected:
            raise BadSyntax("no mailbox is selected")
        request = await expanded(session, self.request.search)
        if not self.request.selected_only:
            unnumbered(request)
        request = replace(request, options=returned(request).options)
        wanted = _wanted(session, request)
        rows = await _rows(session, self.request.sources)
        labour = session.labour(sum(row.messages for row in rows))
        try:
            for row in rows:
                yield await _answer(session, request, row, labour, wanted)
        except MailError:
            unsave(session, request)
            raise
        if wanted is not None and session.chosen.key not in {(row.account, row.id) for row in rows}:
            yield refused(session.tag, b"the selected mailbox is not among those searched")


def _wanted(session: Session, request: SearchRequest) -> Wanted | None:
    """How the selected mailbox is to be followed, if it is (RFC 7377 section 2.2). Errors: BadSyntax."""
    if UPDATE in (request.options or ()) and session.selected is None:
        raise BadSyntax("UPDATE is for the selected mailbox, and there is none")
    return begin(session, request)


async def _answer(
    session: Session, request: SearchRequest, row: Mailbox, labour: Labour, wanted: Wanted | None
) -> bytes:
    """What is to be said of one mailbox. Errors: TooCostly and others."""
    chosen = session.selected
    if chosen is not None and chosen.key == (row.account, row.id):
        await session.load()
        return await _searched(session, request, session.view, row, labour, wanted)
    reader = SYSTEM_ACCOUNT if row.account == session.account else session.account
    try:
        view = await session.services.views.open(row.account, row.id, reader)
    except NoSuchMailbox:  # it is gone by now
        return b""
    try:
        await view.mailbox.load()
        return await _searched(session, request, view, row, labour, None)
    finally:
        view.close()


async def _searched(
    session: Session, request: SearchRequest, view: View, row: Mailbox, labour: Labour, wanted: Wanted | None
) -> bytes:
    options = request.options or frozenset()
    places = await places_in(session, view, request, labour)
    if b"SAVE" in options:
        save(session, request, options, places)
    place = b" MAILBOX %b UIDVALIDITY %d" % (mailbox_name(row.name, utf8=session.utf8), row.uid_validity)
    said = b""
    if places and options != {b"SAVE"}:
        scores: list[int] = []
        if b"RELEVANCY" in options:
            scores = await relevancies(session, view, request, places, labour)
        said = extended(session, request, places, uid=True, view=view, place=place, scores=scores)
    if wanted is not None:
        said += follow(session, wanted, places, uid=True, place=place)
    return said


async def _rows(session: Session, sources: tuple[Source, ...]) -> list[Mailbox]:
    """The mailboxes that may be read, each once."""
    found: dict[tuple[int, int], Mailbox] = {}
    for source in sources or (Source(b"SELECTED"),):
        for row in await _named(session, source):
            found.setdefault((row.account, row.id), row)
    return list(found.values())


async def _named(session: Session, source: Source) -> list[Mailbox]:
    """The mailboxes of a filter (RFC 5465 section 6). What Sieve delivers to is not known before it does, so
    ``inboxes`` are all personal ones (section 6.3)."""
    if source.filter == b"SELECTED":
        return [await _selected(session)] if session.selected is not None else []
    if source.filter == b"MAILBOXES":
        return [row for name in source.names for row in await _one(session, name)]
    rows = list(await session.services.store.mailboxes(session.account))
    if source.filter in (b"INBOXES", b"PERSONAL"):
        return rows
    rows += await _lent(session)
    if source.filter == b"SUBSCRIBED":
        return [row for row in rows if row.subscribed]
    deep = source.filter == b"SUBTREE"
    found: list[Mailbox] = []
    for name in source.names:
        found += await _one(session, name) if name else []
        found += [row for row in rows if _below(row.name, name, deep=deep)]
    return found


async def _lent(session: Session) -> list[Mailbox]:
    """Mailboxes of others that may be listed and read (RFC 7377 section 2.2)."""
    rights, who = session.services.rights, session.principal
    return [
        row for row in await rights.shared(who) if await rights.may(who, "message.read", row.account, row.id)
    ]


async def _selected(session: Session) -> Mailbox:
    chosen = session.chosen
    row = await session.services.store.mailbox(chosen.account, chosen.mailbox)
    return row if chosen.account == session.account else replace(row, name=chosen.name)


async def _one(session: Session, name: str) -> list[Mailbox]:
    """The mailbox of a name; none where it is not there, or may not be read."""
    try:
        return [await session.mailbox(name)]
    except (NoSuchMailbox, NotAllowed, BadName):
        return []


def _below(name: str, root: str, *, deep: bool) -> bool:
    """Whether it is the root or below it; without ``deep``: directly. The root "" is above all."""
    if not root:
        return deep or SEPARATOR not in name
    if name == root:
        return True
    head, _, rest = name.partition(root + SEPARATOR)
    return not head and bool(rest) and (deep or SEPARATOR not in rest)
