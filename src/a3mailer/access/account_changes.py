"""What was created, changed and destroyed in an account since a state (RFC 8620 section 5.2).

A state is a point in the order of events, (modseq, number): everything up to it is known. Between two acts
the number is ``WHOLE``; where the changes of one act are told in several answers, it is that of the last
record told. A record that was created and changed is told as created once its creation is, then as changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from a3mailer.access.account_view import AccountView
from a3mailer.mail.errors import NoSuchThing
from a3mailer.mail.flags import DELETED
from a3mailer.mail.ids import AccountId, EmailId, MailboxId, ModSeq, ThreadId
from a3mailer.mail.mailbox import parents
from a3mailer.store.rows import AccountChanges, Mailbox, Message

WHOLE: Final = 1 << 62
"""The number of a state that stands between two acts."""
Kind = Literal["created", "updated", "destroyed"]


class State(NamedTuple):
    """A point in the order of events."""

    modseq: int
    number: int = WHOLE


class Event(NamedTuple):
    """What became of a record, and when it is to be told."""

    modseq: int
    number: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Told:
    """Some events, in order."""

    events: tuple[Event, ...]
    state: State
    more: bool

    def of(self, kind: Kind) -> list[int]:
        """The numbers of those of a kind."""
        return [event.number for event in self.events if event.kind == kind]


# state = modseq ["." number]
def read_state(text: str) -> State | None:
    """A state as a client gives it back; None where it is none of ours."""
    modseq, dot, number = text.partition(".")
    if len(text) > 40 or not all(each.isascii() and each.isdigit() for each in (modseq, number or "0")):
        return None
    return State(int(modseq), int(number)) if dot and number else State(int(modseq)) if not dot else None


def write_state(state: State) -> str:
    """A state for a client."""
    return str(state.modseq) if state.number == WHOLE else f"{state.modseq}.{state.number}"


async def changes_since(reader: AccountView, account: AccountId, since: State) -> AccountChanges:
    """What the store says. Errors: NoSuchThing where it cannot say everything, NoSuchAccount."""
    before = since.modseq if since.number == WHOLE else since.modseq - 1
    changes = await reader.account_changes(account, ModSeq(before))
    if not changes.complete or changes.modseq < since.modseq:
        raise NoSuchThing("changes since that state")
    return changes


def page(events: Iterable[Event], since: State, now: int, most: int) -> Told:
    """At most so many events after a state."""
    later = sorted(event for event in events if (event.modseq, event.number) > since)
    if len(later) <= most:
        return Told(tuple(later), State(now), more=False)
    told = later[:most]
    last = told[-1]
    whole = later[most].modseq > last.modseq
    return Told(tuple(told), State(last.modseq) if whole else State(*last[:2]), more=True)


async def emails_changed(reader: AccountView, account: AccountId, since: State, most: int) -> Told:
    """Emails. Errors: NoSuchThing, NoSuchAccount."""
    changes = await changes_since(reader, account, since)
    touched = {row.email for row in changes.changed} | {row.email for row in changes.gone}
    rows = await reader.places(account, [EmailId(number) for number in touched])
    lives = _Lives(since)
    for row in rows:
        lives.add(row.email, row.added, row.modseq, there=not row.flags & DELETED)
    for gone in changes.gone:
        lives.add(gone.email, gone.added, gone.modseq, there=False)
    return page(lives.events(touched), since, changes.modseq, most)


async def threads_changed(reader: AccountView, account: AccountId, since: State, most: int) -> Told:
    """Threads: those that emails came into or left. Errors: NoSuchThing, NoSuchAccount.

    Not told is a thread whose email is not marked \\Deleted any more; the email is, as updated."""
    changes = await changes_since(reader, account, since)
    touched = {ThreadId(row.thread) for row in changes.gone}
    touched.update(
        ThreadId(row.thread)
        for row in changes.changed
        if row.flags & DELETED or (row.added, row.email) > since or (row.added, row.thread) > since
    )
    rows: tuple[Message, ...] = await reader.thread_places(account, sorted(touched))
    lives = _Lives(since)
    for row in rows:
        hidden = row.flags & DELETED
        lives.add(row.thread, row.added, row.modseq if hidden else row.added, there=not hidden)
    for gone in changes.gone:
        lives.add(gone.thread, gone.added, gone.modseq, there=False)
    return page(lives.events(touched), since, changes.modseq, most)


class _Lives:
    """Whether records were there at a state, and are there now."""

    __slots__ = ("_first", "_last", "_left", "_since", "_there", "_was")

    def __init__(self, since: State) -> None:
        self._since = since
        self._was: set[int] = set()
        self._there: set[int] = set()
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._left: dict[int, int] = {}
        """When the last row went that was there at the state: what came and went after it does not count."""

    def add(self, number: int, added: int, modseq: int, *, there: bool) -> None:
        """A row of a record: it came with ``added``, and changed or went with ``modseq``."""
        if (added, number) <= self._since:
            self._was.add(number)
            if not there:
                self._left[number] = max(modseq, self._left.get(number, modseq))
        if there:
            self._there.add(number)
            self._first[number] = min(added, self._first.get(number, added))
        self._last[number] = max(modseq, self._last.get(number, modseq))

    def events(self, numbers: Iterable[int]) -> Iterable[Event]:
        """One of each record, but for those that came and went."""
        for number in numbers:
            if number in self._there:
                if number in self._was:
                    yield Event(self._last[number], number, "updated")
                else:
                    yield Event(self._first[number], number, "created")
            elif number in self._was:
                yield Event(self._left[number], number, "destroyed")


async def mailboxes_changed(
    reader: AccountView, account: AccountId, since: State, most: int
) -> tuple[Told, bool]:
    """Mailboxes, and whether nothing but their counts changed. Errors: NoSuchThing, NoSuchAccount.

    A thread that was read in one mailbox counts as read in all it is in: those changed when it did. A mailbox
    whose parent came or went has another name and parent than before."""
    changes = await changes_since(reader, account, since)
    boxes = {box.id: box for box in await reader.mailboxes(account)}
    events = [
        Event(gone, number, "destroyed")
        for number, added, gone in changes.mailboxes_gone
        if added <= since.modseq
    ]
    events += [_of_mailbox(boxes[number], since) for number in changes.mailboxes if number in boxes]
    threads: dict[ThreadId, int] = {}
    turns = [(row.thread, row.modseq) for row in changes.changed]
    turns += [(row.thread, row.modseq) for row in changes.gone]
    for thread, modseq in turns:
        threads[ThreadId(thread)] = max(modseq, threads.get(ThreadId(thread), 0))
    rows = await reader.thread_places(account, sorted(threads))
    known = {event.number for event in events if event.kind != "updated"}
    moved = {number: at for number, at in _moved(events, boxes).items() if number not in known}
    events = [event for event in events if event.number not in moved]
    events += [Event(modseq, number, "updated") for number, modseq in moved.items()]
    known = {event.number for event in events}
    beside: dict[int, int] = {}
    for row in rows:
        if row.mailbox in boxes and row.mailbox not in known:
            beside[row.mailbox] = max(threads[row.thread], beside.get(row.mailbox, 0))
    events += [Event(modseq, number, "updated") for number, modseq in beside.items()]
    told = page(events, since, changes.modseq, most)
    counts = all(
        each not in moved and (boxes[MailboxId(each)].changed, each) <= since for each in told.of("updated")
    )
    return told, counts


def _moved(events: Iterable[Event], boxes: Mapping[MailboxId, Mailbox]) -> dict[int, int]:
    """Mailboxes that may have got another parent, and when: those below one that is new or was changed, and,
    where one went, those that have a level above them which is no mailbox."""
    came: dict[str, int] = {}
    went = 0
    for event in events:
        if event.kind == "destroyed":
            went = max(went, event.modseq)
        elif event.modseq in ((box := boxes[MailboxId(event.number)]).added, box.changed):
            came[box.name] = event.modseq
    if not came and not went:
        return {}
    names = {box.name for box in boxes.values()}
    moved: dict[int, int] = {}
    for box in boxes.values():
        above = parents(box.name)
        at = max((came.get(name, 0) for name in above), default=0)
        if not names.issuperset(above):
            at = max(at, went)
        if at > box.changed:
            moved[int(box.id)] = at
    return moved


def _of_mailbox(box: Mailbox, since: State) -> Event:
    """Its name comes before its counts: where the one is told, the other is told again later."""
    if (box.added, box.id) > since:
        return Event(box.added, box.id, "created")
    named = (box.changed, box.id) > since
    return Event(box.changed if named else box.modseq, box.id, "updated")
