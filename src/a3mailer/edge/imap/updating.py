"""UPDATE (RFC 5267 section 4.3, RFC 5465 section 7): results of searches, told of as they change.

REMOVEFROM of what is expunged goes before EXPUNGE, even while that has to wait; then come the news of the
mailbox; then REMOVEFROM and ADDTO of what changed or came, so that sequence numbers are valid at all times.
Between them messages that came to a result are told of as UPDATE asks for it (RFC 5465 section 7).
A session without such searches has no object of this module. A search that cannot be followed any more
(the store failed, or it costs too much) is given up with ``* NO [NOUPDATE tag]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from a3mailer.access.contexts import Context, Step
from a3mailer.access.labour import Labour
from a3mailer.access.search import Search
from a3mailer.access.sort import Order, listed, sort
from a3mailer.access.sortkeys import Criterion
from a3mailer.edge.imap.chunks import say_fetched
from a3mailer.edge.imap.searching import resolved
from a3mailer.edge.imap.session import Session
from a3mailer.mail.errors import MailError
from a3mailer.wire.imap.encode import string
from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.search import InSet, Key, SearchRequest
from a3mailer.wire.imap.sequence import SequenceSet, print_set

SEARCHES: Final = 16
"""Searches that one session is told of."""
RESULTS: Final = 1_000_000
"""Messages in the results of all of them; the first may have any number (section 4.3.1)."""
SORTED: Final = 50_000
"""Messages in a sorted result: it is sorted anew for each that comes."""
RANGES: Final = 10_000
"""Ranges of uids that stand for the sequence numbers, or the ``$``, of one search."""
UPDATE: Final = b"UPDATE"


@dataclass(frozen=True, slots=True)
class Update:
    """One search that is followed."""

    tag: bytes
    uid: bool
    request: SearchRequest
    order: Order
    place: bytes
    """More correlators (RFC 7377 section 2.1)."""
    context: Context


class Updates:
    """Those of one session and its selected mailbox, by their tags."""

    __slots__ = ("_living", "_session", "by_tag")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._living = session.view.columns
        self.by_tag: dict[bytes, Update] = {}

    def refuses(self, update: Update) -> bytes:
        """Why a search cannot be followed; empty when it can."""
        results = sum(len(one.context.uids) for one in self.by_tag.values())
        if len(self.by_tag) >= SEARCHES:
            return b"too many contexts"
        if self.by_tag and results + len(update.context.uids) > RESULTS:
            return b"too many results"
        if update.order and len(update.context.uids) > SORTED:
            return b"too many results to keep sorted"
        if any(criterion is Criterion.RELEVANCY for criterion, _ in update.order):
            return b"the relevancy of others changes with each message"
        if sum(len(one.numbers.ranges) for one in update.request.program if isinstance(one, InSet)) > RANGES:
            return b"too many messages are named"
        return b""

    def removed(self) -> None:
        """Write what of the results was expunged: before the client hears EXPUNGE."""
        living = self._session.view.mailbox.columns
        if living is not self._living:
            self._living = living
            for update in self.by_tag.values():
                gone = update.context.remove(update.context.expunged(living.uids))
                self._session.write(self._line(update, gone, []))

    async def changed(self) -> None:
        """Write what became of the results, after the news of the mailbox."""
        if not self._session.view.current:  # EXPUNGE has to wait, and so has all behind it
            return
        for update in tuple(self.by_tag.values()):
            try:
                await self._look(update)
            except MailError:
                del self.by_tag[update.tag]
                self._session.write(refused(update.tag, b"the search cannot be followed any more"))

    async def _look(self, update: Update) -> None:
        """Find out what became of the messages that changed or came, and tell it. Errors: MailError."""
        session, view, context = self._session, self._session.view, update.context
        known = context.last
        places = context.due(view)
        if not places:
            return
        services = session.services
        labour = Labour(services.clock, services.settings.imap.command_cpu_seconds)
        program = resolved(session, view, update.request)
        uids = view.uids
        matching = {uids[at] for at in await Search(services.store, view, program, labour).among(places)}
        had = context.having({uids[at] for at in places})
        gone = context.remove(had - matching)
        new = matching - had
        if update.request.items is not None:
            arrived = [at for at in places if uids[at] > known and uids[at] in new]
            await say_fetched(session, view, arrived, update.request.items)
        order: Sequence[int] = ()
        if new and context.ordered:
            order = await self._sorted(update, [*context.uids, *new], labour)
        session.write(self._line(update, gone, context.add(new, order)))

    async def _sorted(self, update: Update, uids: list[int], labour: Labour) -> list[int]:
        view = self._session.view
        places = [at for at in map(view.place, sorted(uids)) if at >= 0]
        found = await sort(self._session.services.views.sort_keys, listed(view, places), update.order, labour)
        return [view.uids[places[at]] for at in found]

    # search-return-data =/ ret-data-addto / ret-data-removefrom
    # ret-data-addto = "ADDTO" SP "(" position-set *(SP position-set) ")"
    # position-set = context-position SP sequence-set
    def _line(self, update: Update, gone: list[Step], new: list[Step]) -> bytes:
        """The ESEARCH response; nothing when there is nothing to tell."""
        if not (gone or new):
            return b""
        view = self._session.view
        uid = update.uid or self._session.uid_only
        words = [b"* ESEARCH (TAG %b%b)" % (string(update.tag), update.place)]
        if uid:
            words.append(b"UID")
        for name, steps in ((b"REMOVEFROM", gone), (b"ADDTO", new)):
            if steps:
                sets = [(at, uids if uid else [view.place(one) + 1 for one in uids]) for at, uids in steps]
                words.append(
                    b"%b (%b)" % (name, b" ".join([b"%d %b" % (at, print_set(one)) for at, one in sets]))
                )
        return b" ".join(words) + b"\r\n"


def refused(tag: bytes, why: bytes) -> bytes:
    """``* NO [NOUPDATE "tag"]`` (section 4.3.1)."""
    return b"* NO [NOUPDATE %b] %b\r\n" % (string(tag), why)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be followed, as of the beginning of its command."""

    request: SearchRequest
    since: int
    """The change from which on it is to be followed."""


def begin(session: Session, request: SearchRequest) -> Wanted | None:
    """Called before the search of a command; None when it is not to be followed.

    Errors: BadSyntax where the tag is that of another search that is followed (section 4.3)."""
    if request.options is None or UPDATE not in request.options:
        return None
    updates = session.chosen.updates
    if isinstance(updates, Updates) and session.tag in updates.by_tag:
        raise BadSyntax("that tag is in use by a search that is followed")
    program = tuple([_kept(session, key) for key in request.program])
    return Wanted(replace(request, program=program, literal=()), session.view.mailbox.modseq)


def follow(
    session: Session,
    wanted: Wanted,
    places: Sequence[int],
    *,
    uid: bool,
    order: Order = (),
    place: bytes = b"",
) -> bytes:
    """Follow a search whose result is ``places``; what is to be said about it, when it is refused."""
    view = session.view
    uids = view.uids
    last = uids[view.count - 1] if view.count else 0
    context = Context([uids[at] for at in places], wanted.since, last, ordered=bool(order))
    update = Update(session.tag, uid, wanted.request, order, place, context)
    updates = session.chosen.updates
    if not isinstance(updates, Updates):
        updates = Updates(session)
    if why := updates.refuses(update):
        return refused(update.tag, why)
    updates.by_tag[update.tag] = update
    session.chosen.updates = updates
    return b""


def _kept(session: Session, key: Key) -> Key:
    """Sequence numbers and ``$`` are those of the moment of the command (section 4.3)."""
    if not isinstance(key, InSet) or (key.uid and not key.numbers.saved):
        return key
    uids = session.view.uids
    spans = session.chosen.named(key.numbers, uid=key.uid)
    return InSet(SequenceSet(tuple((uids[low], uids[end - 1]) for low, end in spans)), uid=True)


def cancel(session: Session, tags: Sequence[bytes]) -> None:
    """Follow these no more. Errors: BadSyntax when one is not followed: then all stay."""
    updates = session.chosen.updates
    known = updates.by_tag if isinstance(updates, Updates) else {}
    if not known.keys() >= set(tags):
        raise BadSyntax("no search with that tag is followed")
    for tag in set(tags):
        del known[tag]
    if not known:
        session.chosen.updates = None
