"""Open mailboxes: columns shared by all sessions of a process, a sequence map for each session.

An ``OpenMailbox`` knows a mailbox as of one modseq and reads what changed since from the store when a hint
says so. New messages are appended in place; an expunge makes new columns, and who was not told of it keeps
the old ones, in which the message still stands (RFC 9051 section 7.5.1: EXPUNGE is not sent at any time).
A ``View`` is one session's: which columns it was told, how many messages, and up to which modseq.

Of a large mailbox nobody has looked into, only the row is read, and again when messages come; what else
changed since a modseq is read with its places (``glance``). The columns are filled when somebody needs them
(``OpenMailbox.load``), as they were when that was last told, and from there on they are kept up.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from collections.abc import Awaitable, Callable, Container, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from a3mailer.access.columns import empty, extend, fill, first_unseen, overwrite, place_of, put_back, without
from a3mailer.access.recents import Spans, holds, places
from a3mailer.access.seen import MailboxReader
from a3mailer.mail.errors import NoSuchMailbox
from a3mailer.mail.flags import RECENT
from a3mailer.mail.ids import SYSTEM_ACCOUNT, AccountId, MailboxId, ModSeq, Uid
from a3mailer.store.rows import Changes, Columns, Mailbox

REMEMBERED_CHANGES: Final = 64
"""Rounds of changes kept for views that were not told yet; who is further behind scans the modseqs."""
OWN_CHANGES: Final = 256
"""Own modseqs a view remembers so as not to be told of what it did itself."""
READ_AT_ONCE: Final = 1000
"""Messages of a mailbox whose columns are read when it is opened."""
ANSWERS: Final = 4
"""Orders and threads of all its messages that an open mailbox remembers."""
ANSWERED: Final = 1000
"""Messages from which on they are remembered."""
ATTEMPTS: Final = 3
"""Readings of what came to a mailbox that is not loaded, while others change it; then it is loaded."""


@dataclass(frozen=True, slots=True)
class Round:
    """One reading of changes: messages that were known and changed, in (since, modseq]."""

    since: int
    modseq: int
    uids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class News:
    """What a session is to be told now, in this order."""

    vanished: tuple[int, ...] = ()
    """Uids expunged, ascending."""
    places: tuple[int, ...] = ()
    """Their indexes in the sequence map as it was before, ascending."""
    exists: int = -1
    """The new number of messages; -1 when it did not grow."""
    changed: tuple[int, ...] = ()
    """Indexes (in the map as it is now) of messages whose flags changed."""


NOTHING: Final = News()


@dataclass(frozen=True, slots=True)
class Glance:
    """What changed since a modseq, without the columns."""

    vanished: Sequence[int]
    """Uids expunged, ascending."""
    changed: Columns
    """New and changed messages."""
    places: Sequence[int]
    """Where those stand."""


class OpenMailbox:
    """One mailbox as this process knows it. ``heard`` is the highest modseq a hint named."""

    __slots__ = (
        "_reader",
        "_reading",
        "_rounds_since",
        "account",
        "answers",
        "ascending",
        "columns",
        "gone",
        "heard",
        "id",
        "keywords",
        "listeners",
        "loaded",
        "modseq",
        "noticed",
        "reader",
        "rounds",
        "row",
        "uid_next",
        "viewers",
        "views",
    )  # fmt: skip

    def __init__(
        self,
        store: MailboxReader,
        account: AccountId,
        mailbox: MailboxId,
        reader: AccountId = SYSTEM_ACCOUNT,
    ) -> None:
        self._reader = store
        self.reader = reader
        """Who sees it so; SYSTEM_ACCOUNT: its owner."""
        self._reading: asyncio.Event | None = None
        self.account = account
        self.id = mailbox
        self.row: Mailbox | None = None
        self.columns = empty()
        self.loaded = True
        """Whether ``columns`` hold the messages; else the row alone is known."""
        self.modseq = -1
        self.heard = 0
        self.uid_next = 1
        self.noticed = 1
        """Somebody was told of the messages below, as far as sessions of this process know."""
        self.keywords: dict[str, None] = {}
        """Keywords in use, in the order they were met."""
        self.rounds: deque[Round] = deque()
        self._rounds_since = 0
        """``rounds`` tells of everything after this modseq."""
        self.answers: dict[Hashable, tuple[int, bytes]] = {}
        """What was made of the first so many of ``columns`` and depends on uids and contents alone."""
        self.ascending = 0
        """So many emails of ``columns``, from the first on, are known to ascend; -1: not all of them do."""
        self.viewers = 0
        """Those of ``views``, and who is about to be one."""
        self.views: list[View] = []
        self.gone = False
        self.listeners: set[Callable[[], None]] = set()
        """Called when there may be news: sessions in IDLE."""

    def hint(self, modseq: int) -> None:
        """A change of this mailbox was announced."""
        if modseq > self.heard:
            self.heard = modseq
            if modseq > self.modseq:
                self._wake()

    def _wake(self) -> None:
        for listener in tuple(self.listeners):
            listener()

    @property
    def stale(self) -> bool:
        """Whether the store knows more."""
        return self.heard > self.modseq or self.gone

    @property
    def exists(self) -> int:
        """How many messages there are."""
        return len(self.columns.uids) if self.loaded or self.row is None else self.row.messages

    async def refresh(self, *, opening: bool = False) -> None:
        """Read what changed, if anything did. ``gone`` is set when it was deleted or is beyond following.

        Who is ``opening`` it has no view yet: while nobody has one, the row is enough of a large mailbox."""
        while self.heard > self.modseq and not self.gone:
            heard = self.heard
            if not await self._turn(self._open if opening and self.viewers == 1 else self._catch_up):
                continue
            if self.modseq < heard == self.heard:  # the hint named another mailbox's counter
                self.heard = self.modseq

    async def load(self) -> None:
        """Fill the columns, if they are not."""
        while not (self.loaded or self.gone):
            await self._turn(self._fill)

    async def _turn(self, read: Callable[[], Awaitable[None]]) -> bool:
        """One reader at a time: False when another one was at it and has finished."""
        if self._reading is not None:
            await self._reading.wait()
            return False
        reading = self._reading = asyncio.Event()
        try:
            await read()
        except NoSuchMailbox:
            self.gone = True
        finally:
            self._reading = None
            reading.set()
        return True

    async def _open(self) -> None:
        """Nobody depends on what was known: a large mailbox of which little is here begins with its row."""
        row = await self._reader.mailbox(self.account, self.id)
        known = max(len(self.columns.uids), READ_AT_ONCE)
        if self.loaded and self.modseq >= 0 and row.uid_next - self.uid_next <= known:
            return await self._catch_up()
        if row.messages <= READ_AT_ONCE:
            return await self._load()
        self._begin(row, empty())
        self.loaded = False
        return None

    async def _load(self) -> None:
        self._begin(*await self._reader.columns(self.account, self.id))

    def _begin(self, row: Mailbox, columns: Columns) -> None:
        self.row = row
        self.columns = columns
        self.answers.clear()
        self.ascending = 0
        self.loaded = True
        self.keywords = dict.fromkeys(row.keywords)
        self.uid_next = row.uid_next
        self.modseq = row.modseq
        self.rounds.clear()
        self._rounds_since = row.modseq

    async def _fill(self) -> None:
        """The columns as they were at ``modseq``, under the views that were told so; then what came since."""
        assert self.row is not None
        row, columns = await self._reader.columns(self.account, self.id)
        changes = None
        if row.modseq != self.modseq:
            changes = await self.changes(self.modseq)
            lost = [uid for uid in changes.vanished if uid < self.uid_next]
            kept = await self._reader.messages(self.account, self.id, [Uid(uid) for uid in lost])
            columns = put_back(columns, self.uid_next, lost, kept)
        if len(columns.uids) != self.row.messages or not (changes is None or changes.complete):
            self.gone = True  # who was told of it has to begin anew
            return
        fill(self.columns, columns)
        self.loaded = True
        if changes is not None:
            self.apply(changes)

    async def internal_dates(self, uids: Sequence[int]) -> list[int | None]:
        """When messages (ascending uids) were received; of expunged ones as long as their rows are kept."""
        dates = await self._reader.internal_dates(self.account, self.id, uids)
        if None in dates:
            gone = [Uid(uid) for uid, date in zip(uids, dates, strict=True) if date is None]
            kept = {
                row.uid: row.internal_date for row in await self._reader.messages(self.account, self.id, gone)
            }
            return [
                kept.get(Uid(uid)) if date is None else date for uid, date in zip(uids, dates, strict=True)
            ]
        return dates

    async def first_unseen(self) -> int:
        """The place of the first message without \\Seen; -1 when there is none, or it is not near either end
        of a mailbox that is not loaded."""
        if self.loaded:
            return first_unseen(self.columns.flags, len(self.columns.uids))
        modseq, place = await self._reader.first_unseen(self.account, self.id)
        return place if modseq == self.modseq else -1

    async def changes(self, since: int) -> Changes:
        """What the store says happened since a modseq. Errors: NoSuchMailbox."""
        return await self._reader.changes(self.account, self.id, ModSeq(since))

    async def glance(self, since: int) -> Glance | None:
        """What changed since, as of ``modseq``; None when that is not to be had without the columns.

        Errors: NoSuchMailbox."""
        changes = await self.changes(since)
        modseq, places = await self._reader.preceding(self.account, self.id, changes.changed.uids)
        if not changes.complete or not self.modseq == changes.modseq == modseq:
            return None
        return Glance(changes.vanished, changes.changed, places)

    async def count(self, spans: Spans) -> int:
        """How many messages have uids in these spans. Errors: NoSuchMailbox."""
        if not spans:
            return 0
        if self.loaded:
            found = places(spans, self.columns.uids, len(self.columns.uids))
            return sum(high - low for low, high in found)
        bounds = [bound for span in spans for bound in span]
        _, before = await self._reader.preceding(self.account, self.id, bounds)
        return sum(before[1::2]) - sum(before[::2])

    async def _catch_up(self) -> None:
        if self.modseq < 0:
            return await self._load()
        if not self.loaded:
            return None if await self._grow() else await self._fill()
        changes = await self.changes(self.modseq)
        if changes.complete:
            self.apply(changes)
        else:
            await self._load()
        return None

    async def _grow(self) -> bool:
        """Follow a mailbox that is not loaded, as long as all that happens is that messages come."""
        for _ in range(ATTEMPTS):
            row = await self._reader.mailbox(self.account, self.id)
            if row.modseq == self.modseq:
                return True
            changes = await self.changes(self.modseq)
            if not changes.complete or any(
                uids and uids[0] < self.uid_next for uids in (changes.changed.uids, changes.vanished)
            ):
                return False
            if changes.modseq == row.modseq:
                self._begin(row, self.columns)
                self.loaded = False
                return True
        return False

    def apply(self, changes: Changes) -> None:
        """Take what the store says happened since ``modseq``."""
        if changes.modseq < self.modseq:
            return
        since, count = self.modseq, len(self.columns.uids)
        new = changes.changed
        last = self.columns.uids[count - 1] if count else 0
        changed: list[int] = []
        place = 0
        for place, uid in enumerate(new.uids):
            if uid > last:
                break
            at = place_of(self.columns.uids, uid, count)
            if at >= 0:
                overwrite(self.columns, at, new, place)
                changed.append(uid)
        else:
            place = len(new.uids)
        if place < len(new.uids):
            extend(self.columns, new, place)
        for words in set(new.keywords.values()):
            self.keywords.update(dict.fromkeys(words.split(" ")))
        if changes.vanished:
            self._expunge(changes.vanished)
        self.modseq = changes.modseq
        self.uid_next = max(self.uid_next, changes.uid_next)
        if changed:
            self._remember(Round(since, self.modseq, tuple(changed)))

    def _remember(self, one: Round) -> None:
        self.rounds.append(one)
        if len(self.rounds) > REMEMBERED_CHANGES:
            self._rounds_since = self.rounds.popleft().modseq

    def _expunge(self, uids: Iterable[int]) -> None:
        count = len(self.columns.uids)
        places = [at for uid in uids if (at := place_of(self.columns.uids, uid, count)) >= 0]
        if places:
            for view in self.views:
                view.part(self.columns, places)
            self.columns = without(self.columns, places)
            self.answers.clear()
            if self.ascending > 0:
                self.ascending = max(0, self.ascending - len(places))

    def flagged(self, uids: Sequence[int], modseq: int, flags: Callable[[int, str], tuple[int, str]]) -> bool:
        """Take a change of flags that this process made itself, without reading it back.

        Only when nothing else can have happened in between; else False and nothing is done. ``flags``
        makes the new flags and keywords of the old ones."""
        if modseq != self.modseq + 1 or self.heard > modseq or self._reading is not None:
            return False
        columns = self.columns
        count = len(columns.uids)
        for uid in uids:
            at = place_of(columns.uids, uid, count)
            if at < 0:
                return False
            bits, words = flags(columns.flags[at], columns.keywords.get(uid, ""))
            columns.flags[at] = bits
            columns.modseqs[at] = modseq
            if words:
                columns.keywords[uid] = words
                self.keywords.update(dict.fromkeys(words.split(" ")))
            else:
                columns.keywords.pop(uid, None)
        self._remember(Round(self.modseq, modseq, tuple(uids)))
        self.modseq = modseq
        self.heard = max(self.heard, modseq)
        self._wake()  # the hint will say nothing new
        return True

    def foresee(
        self, uids: Iterable[int], flags: Callable[[int, str], tuple[int, str]]
    ) -> dict[int, tuple[int, str]]:
        """What the flags of these will be when nobody else changes them."""
        columns = self.columns
        count = len(columns.uids)
        places = {uid: at for uid in uids if (at := place_of(columns.uids, uid, count)) >= 0}
        return {uid: flags(columns.flags[at], columns.keywords.get(uid, "")) for uid, at in places.items()}

    def changed_since(self, modseq: int, own: Container[int] = ()) -> Iterable[int]:
        """Uids of messages that changed after ``modseq``, other than by changes of ``own`` modseqs alone.

        With new ones, and own ones too, where they must be scanned for."""
        columns = self.columns
        if modseq < self._rounds_since:
            pairs = zip(columns.uids, columns.modseqs, strict=True)
            return [uid for uid, changed in pairs if changed > modseq]
        count = len(columns.uids)
        found: dict[int, None] = {}
        for one in self.rounds:
            if one.modseq > modseq and one.modseq not in own:
                found.update(dict.fromkeys(one.uids))
            elif one.modseq > modseq:
                places = ((uid, place_of(columns.uids, uid, count)) for uid in one.uids)
                found.update((uid, None) for uid, at in places if at >= 0 and columns.modseqs[at] not in own)
        return found


class View:
    """One session's sequence map over an open mailbox. ``columns`` are those it was told."""

    __slots__ = ("_close", "_own", "columns", "count", "mailbox", "recents", "told")

    def __init__(self, mailbox: OpenMailbox, close: Callable[[OpenMailbox], None]) -> None:
        self.mailbox = mailbox
        self._close = close
        self.columns = mailbox.columns
        self.count = mailbox.exists
        self.told = mailbox.modseq
        self.recents: Spans = ()
        """Uids that this session was the first to be told of."""
        self._own: deque[int] | None = None
        mailbox.viewers += 1
        mailbox.views.append(self)

    def close(self) -> None:
        """The session leaves the mailbox."""
        self.mailbox.views.remove(self)
        self._close(self.mailbox)

    # --- the map -----------------------------------------------------------------------------------

    @property
    def uids(self) -> array[int]:
        """Uids by sequence number less one; only the first ``count`` are known to the session."""
        return self.columns.uids

    def place(self, uid: int) -> int:
        """Sequence number less one; -1 when the session knows no such message."""
        return place_of(self.columns.uids, uid, self.count)

    @property
    def current(self) -> bool:
        """Whether the map's columns are the living ones: nothing was expunged behind the session's back."""
        return self.columns is self.mailbox.columns

    def flags(self, place: int) -> tuple[int, str, int]:
        """Flags, keywords and modseq of a message as they are now; of an expunged one as they were."""
        columns = self.columns
        uid = columns.uids[place]
        if not self.current:
            living = self.mailbox.columns
            at = place_of(living.uids, uid, len(living.uids))
            if at >= 0:
                columns, place = living, at
        return columns.flags[place], columns.keywords.get(uid, ""), columns.modseqs[place]

    @property
    def recent(self) -> Spans:
        """Places of what is recent."""
        return places(self.recents, self.columns.uids, self.count) if self.recents else ()

    def shown(self, place: int) -> tuple[int, str, int]:
        """As ``flags``, with \\Recent."""
        bits, words, modseq = self.flags(place)
        if self.recents and holds(self.recents, self.columns.uids[place]):
            bits |= RECENT
        return bits, words, modseq

    def part(self, living: Columns, places: Iterable[int]) -> None:
        """Messages at ``places`` of the living columns leave these; here they may still stand for a while,
        and are what they were when they left."""
        if self.columns is not living:
            for place in places:
                at = self.place(living.uids[place])
                if at >= 0:
                    overwrite(self.columns, at, living, place)

    def recall(self, name: Hashable) -> bytes | None:
        """What was remembered of all messages of the view, as long as they are the same."""
        count, made = self.mailbox.answers.get(name, (-1, None))
        return made if count == self.count and self.current else None

    def remember(self, name: Hashable, made: bytes) -> None:
        """Something that depends on nothing but which messages there are, uids and contents."""
        answers = self.mailbox.answers
        if self.current and self.count >= ANSWERED:
            answers.pop(name, None)
            answers[name] = self.count, made
            if len(answers) > ANSWERS:
                del answers[next(iter(answers))]

    async def since(self, modseq: int) -> tuple[Iterable[int], list[int]]:
        """Uids expunged since a modseq, and places of the messages changed since, both ascending.

        Of what the session was told to be there nothing is gone, even if it is: that it hears as news.
        All uids that are missing are gone where tombstones that old are. Costs what changed, not what is
        there. Errors: NoSuchMailbox."""
        changes = await self.mailbox.changes(modseq)
        places = [at for at in map(self.place, (*changes.changed.uids, *changes.vanished)) if at >= 0]
        changed = sorted(at for at in places if self.flags(at)[2] > modseq)
        if changes.complete:
            return [uid for uid in changes.vanished if self.place(uid) < 0], changed
        there = set(self.uids[: self.count])
        return (uid for uid in range(1, self.mailbox.uid_next) if uid not in there), changed

    # --- news --------------------------------------------------------------------------------------

    def own(self, modseq: int) -> None:
        """The session made this change and has told its client."""
        if self.told == modseq - 1 and self.mailbox.modseq == modseq:  # nothing else has happened
            self.told = modseq
            return
        if self._own is None:
            self._own = deque(maxlen=OWN_CHANGES)
        self._own.append(modseq)

    def has_news(self) -> bool:
        """Whether ``news`` may have something, cheaply."""
        mailbox = self.mailbox
        return (
            self.told != mailbox.modseq
            or self.columns is not mailbox.columns
            or (self.count != len(self.columns.uids) and mailbox.loaded)
        )

    def news(self, *, expunges: bool = True) -> News:
        """What the client is to be told, which is then taken as told.

        Without ``expunges`` (while sequence numbers are in use) nothing is said as long as any is due."""
        mailbox = self.mailbox
        vanished: tuple[int, ...] = ()
        places: tuple[int, ...] = ()
        if self.columns is not mailbox.columns:
            if not expunges:
                return NOTHING
            vanished, places = self._vanished(mailbox.columns)
            self.columns = mailbox.columns
            self.count -= len(vanished)
        changed = self._changed() if self.told != mailbox.modseq else ()
        exists = mailbox.exists
        if exists == self.count:
            exists = -1
        else:
            self.count = exists
        self.told = mailbox.modseq
        return News(vanished, places, exists, changed)

    def _vanished(self, living: Columns) -> tuple[tuple[int, ...], tuple[int, ...]]:
        known = self.columns.uids[: self.count]
        gone = sorted(set(known).difference(living.uids))
        return tuple(gone), tuple(place_of(known, uid, self.count) for uid in gone)

    def _changed(self) -> tuple[int, ...]:
        places = map(self.place, self.mailbox.changed_since(self.told, self._own or ()))
        return tuple(sorted(at for at in places if at >= 0))
