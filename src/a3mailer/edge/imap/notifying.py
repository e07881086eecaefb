"""NOTIFY and unsolicited METADATA (RFC 5465, RFC 5464 section 4.4.2): what happens, as it is said.

Of the selected mailbox is told what SELECTED or SELECTED-DELAYED asks for, of others what ``access.notify``
finds; as it happens, also between commands, where NOTIFY was used. A client that does not read what it is
sent is told all that came together once it does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from a3mailer.access.notify import (
    OF_MESSAGES,
    Annotated,
    Barred,
    Counted,
    Group,
    Happening,
    Key,
    Kind,
    Kinds,
    Named,
    Watch,
)
from a3mailer.access.tree import Node
from a3mailer.access.view import View
from a3mailer.edge.imap.chunks import say_fetched
from a3mailer.edge.imap.mailboxes import attributes, counters
from a3mailer.edge.imap.selected import Selected, news_lines
from a3mailer.edge.imap.session import Session
from a3mailer.mail.changes import EVERYTHING
from a3mailer.mail.errors import MailError, TooMany
from a3mailer.mail.ids import AccountId
from a3mailer.mail.mailbox import parents
from a3mailer.store.operations import Append, Appended, Copied, Copy, Expunge, Operation, Result
from a3mailer.wire.imap import notify
from a3mailer.wire.imap.encode import mailbox as mailbox_name
from a3mailer.wire.imap.encode import string
from a3mailer.wire.imap.fetch import FetchItems
from a3mailer.wire.imap.listing import ListRequest
from a3mailer.wire.imap.metadata import entry
from a3mailer.wire.imap.notify import SELECTED, NotifyRequest

MAX_AT_ONCE: Final = 1_000
"""Lines that are told at once; a client for whom there are more is to look for itself."""
TOLD: Final = ListRequest("", (), returns=frozenset((b"SUBSCRIBED",)), extended=True)
"""Which attributes a name has that is told without being asked for."""
KINDS: Final = {
    notify.NEW: Kind.NEW,
    notify.EXPUNGE: Kind.EXPUNGE,
    notify.FLAGS: Kind.FLAGS,
    notify.NAME: Kind.NAME,
    notify.SUBSCRIPTION: Kind.SUBSCRIPTION,
    notify.METADATA: Kind.METADATA,
    notify.SERVER: Kind.SERVER,
}
_WHICH: Final = {
    b"INBOXES": "personal",  # a script may deliver into any of them (section 6.3)
    b"PERSONAL": "personal",
    b"SUBSCRIBED": "subscribed",
    b"SUBTREE": "subtree",
    b"MAILBOXES": "mailboxes",
}
ANNOTATIONS: Final = Group("all", frozenset(), frozenset((Kind.METADATA, Kind.SERVER)))
"""What ENABLE METADATA asks for."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is told of the selected mailbox."""

    kinds: Kinds = frozenset()
    delayed: bool = False
    items: FetchItems | None = None


class Notifying:
    """The ``Notifier`` of a session. ``chosen`` None: of the selected mailbox is told as without NOTIFY."""

    __slots__ = ("_followed", "_own", "_session", "_stirred", "_touched", "chosen", "topics", "watch")

    def __init__(self, session: Session, groups: Iterable[Group], chosen: Chosen | None) -> None:
        services = session.services
        self._session = session
        self.watch = Watch(services.store, services.rights, session.principal, groups)
        self.chosen = chosen
        self.topics: tuple[Key, ...] = ()
        self._followed = frozenset[AccountId]()
        self._own: set[int] = set()
        """Uids that the client itself put into the selected mailbox."""
        self._touched = False
        """It changed the selected mailbox itself: what came of that is told in any case."""
        self._stirred = False

    @classmethod
    def asked(cls, session: Session, request: NotifyRequest) -> Notifying:
        """As a NOTIFY wants it."""
        chosen = Chosen()
        groups: list[Group] = []
        for one in request.groups:
            kinds = frozenset(KINDS[event] for event in one.events)
            if one.which in SELECTED:
                chosen = Chosen(kinds, one.which != b"SELECTED", one.items and one.items.unseen)
            else:
                groups.append(Group(_WHICH[one.which], frozenset(one.names), kinds))
        return cls(session, groups, chosen)

    async def begin(self) -> None:
        """From now on. Errors: TooMany."""
        self._follow()
        try:
            await self.watch.begin()
        except MailError:
            self.close()
            raise
        self._follow()
        self._session.quiet()
        self._session.notifier = self

    def close(self) -> None:
        """No more."""
        self._session.services.views.leave(self._followed, self.watch.heard)
        self._followed = frozenset()

    def _follow(self) -> None:
        """Hear of all accounts there are mailboxes of; of what happened before that nobody has told us."""
        accounts, views = self.watch.accounts, self._session.services.views
        views.leave(self._followed - accounts, self.watch.heard)
        views.follow(accounts - self._followed, self.watch.heard)
        if self._followed and accounts - self._followed:
            self.watch.heard(EVERYTHING)
        self._followed = accounts

    # --- waiting -----------------------------------------------------------------------------------

    @property
    def restless(self) -> bool:
        selected = self._session.selected
        if selected is not None and selected.view.has_news() and self._tells(selected):
            return True
        return self.watch.restless

    @property
    def follows_rights(self) -> bool:
        return self.watch.reaches_others

    def rest(self) -> None:
        self.topics = self.watch.topics

    def listen(self, nudge: Callable[[], None] | None) -> None:
        self.watch.nudge = nudge

    def _stir(self) -> None:
        self._stirred = True
        self._session.connection.nudge()

    async def wait(self) -> None:
        session = self._session
        connection = session.connection
        listeners = [session.services.views.listeners]
        if session.selected is not None:
            listeners.append(session.view.mailbox.listeners)
        for one in listeners:
            one.add(self._stir)
        self.listen(self._stir)
        try:
            while not session.inflates:
                self._stirred = False
                if self.chosen is not None:
                    with contextlib.suppress(MailError):  # at the next look, then
                        await session.tell_news(expunges=False)
                if not session.rest():
                    await session.flush()
                if not self._stirred and await connection.readable():
                    break
        finally:
            self.listen(None)
            for one in listeners:
                one.discard(self._stir)
        await session.receive()

    # --- telling -----------------------------------------------------------------------------------

    async def tell(self, *, expunges: bool) -> None:
        selected = self._session.selected
        if selected is not None and selected.view.has_news():
            await self._tell_selected(selected, expunges=expunges)
        self._touched = False
        while self.watch.restless:
            await self._tell_others(None if selected is None else selected.key)

    def _tells(self, selected: Selected) -> bool:
        """Whether something is told of the selected mailbox: who follows a search has to know its numbers."""
        return bool(self.chosen is None or self.chosen.kinds or self._touched or selected.updates is not None)

    async def _tell_selected(self, selected: Selected, *, expunges: bool) -> None:
        session, view, chosen = self._session, selected.view, self.chosen
        if chosen is None:
            session.say_news(view, expunges=expunges)
            return
        if not self._tells(selected):
            return
        if chosen.items is not None and not view.mailbox.loaded:
            await session.load()
        known = view.count
        immediate = bool(chosen.kinds) and not chosen.delayed
        news = view.news(expunges=expunges or immediate)
        if Kind.FLAGS not in chosen.kinds:
            news = replace(news, changed=())
        if news.changed:
            session.name_keywords()
        session.write(
            news_lines(
                view,
                news,
                qresync=session.qresync,
                condstore=session.condstore,
                recent=-1 if session.rev2 else selected.recent,
                uid_only=session.uid_only,
                uid=True,
            )
        )
        if chosen.items is not None and news.exists >= 0:
            await self._fetch(view, range(known - len(news.vanished), view.count), chosen.items)
        self._own.clear()

    async def _fetch(self, view: View, places: range, items: FetchItems) -> None:
        """What is asked for of new messages; of those that are the client's own it knows enough."""
        await say_fetched(self._session, view, [at for at in places if view.uids[at] not in self._own], items)

    async def _tell_others(self, selected: Key | None) -> None:
        try:
            found = await self.watch.news(selected)
        except TooMany:
            self._overflow()
            return
        if len(found) > MAX_AT_ONCE:
            self._overflow()
            return
        self._follow()
        for octets in self._lines(found):
            self._session.write(octets)

    def _overflow(self) -> None:
        """As if NOTIFY NONE had been said (section 5.8)."""
        session = self._session
        session.write(b"* OK [NOTIFICATIONOVERFLOW] too much happens: nothing is told any more\r\n")
        services = session.services
        self.close()
        self.watch = Watch(services.store, services.rights, session.principal, ())
        self.chosen = Chosen()

    # --- lines -------------------------------------------------------------------------------------

    def opening(self, *, status: bool) -> Iterator[bytes]:
        """What a NOTIFY SET answers: what may not be read, and how full the others are (section 3.1)."""
        session, watch = self._session, self.watch
        selected = session.selected
        for key, known in watch.known.items():
            row = known.row
            kinds = watch.asked(known)
            if kinds and not known.readable:
                yield self._barred(row.name, again=False)
            elif status and kinds & OF_MESSAGES and (selected is None or key != selected.key):
                items = [b"MESSAGES", b"UIDNEXT", b"UIDVALIDITY"]
                items += [b"HIGHESTMODSEQ"] if Kind.FLAGS in kinds else []
                yield counters(session, row, items)

    def _lines(self, found: Iterable[Happening]) -> Iterator[bytes]:
        rows = {known.row.name: known for known in self.watch.known.values()}
        above = {parent for name in rows for parent in parents(name)}
        for one in found:
            if isinstance(one, Counted):
                items = self._items(one)
                yield counters(self._session, one.row, items) if items else b""
            elif isinstance(one, Annotated):
                entries = b" ".join(entry(each.encode()) for each in one.entries)
                where = self._name(one.name) if one.name else string(b"")
                yield b"* METADATA %b %b\r\n" % (where, entries)
            elif isinstance(one, Barred):
                yield self._barred(one.name, again=one.again)
            else:
                known = rows.get(one.name)
                row = known.row if known is not None else None
                marked = one.name in self.watch.names or (row is not None and row.subscribed)
                node = Node(one.name, row, one.name in above, marked)
                words = b" ".join(attributes(node, TOLD, readable=known is not None and known.readable))
                old = b""
                if isinstance(one, Named) and one.old:
                    old = b' ("OLDNAME" (%b))' % self._name(one.old)
                yield b'* LIST (%b) "/" %b%b\r\n' % (words, self._name(one.name), old)

    def _items(self, one: Counted) -> list[bytes]:
        """What of a mailbox is told: nothing, where nothing that counts is another (section 5.1)."""
        session, before = self._session, one.before
        items = [b"MESSAGES", b"UIDNEXT"] if one.numbers else []
        if before is None or before.uid_validity != one.row.uid_validity or not one.numbers:
            items.append(b"UIDVALIDITY")
        seen = one.seen and Kind.FLAGS in one.kinds
        if seen:
            items.append(b"UNSEEN")
        if session.condstore:
            items.append(b"HIGHESTMODSEQ")
        return items if one.numbers or seen or session.condstore else []

    def _barred(self, name: str, *, again: bool) -> bytes:
        return b'* LIST (%b) "/" %b\r\n' % (b"" if again else b"\\NoAccess", self._name(name))

    def _name(self, name: str) -> bytes:
        return mailbox_name(name, utf8=self._session.utf8)

    # --- its own changes ---------------------------------------------------------------------------

    async def absorb(self, operations: Iterable[Operation], results: Iterable[Result]) -> None:
        pairs = list(zip(operations, results, strict=False))
        selected = self._session.selected
        if selected is not None:
            for operation, result in pairs:
                self._touch(selected.key, operation, result)
        await self.watch.absorb(pairs)

    def _touch(self, key: Key, operation: Operation, result: Result) -> None:
        if isinstance(operation, Append) and isinstance(result, Appended):
            if (operation.account, operation.mailbox) == key:
                self._touched = True
                self._own.add(result.uid)
        elif isinstance(operation, Copy) and isinstance(result, Copied):
            if (operation.account, operation.target) == key:
                self._touched = True
                self._own.update(target for _source, target in result.pairs)
            self._touched |= operation.move and (operation.account, operation.source) == key
        elif isinstance(operation, Expunge):
            self._touched |= (operation.account, operation.mailbox) == key
