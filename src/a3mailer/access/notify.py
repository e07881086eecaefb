"""What somebody who watches several mailboxes is to be told: named, subscribed, filled, annotated (RFC 5465).

A ``Watch`` knows the mailboxes as its client knows them. Changes only mark what is to be looked at again
(``heard``); ``news`` reads that and compares: so hints that are lost, doubled or late cost nothing, and of a
thousand changes between two looks one is told.

    watch = Watch(reader, rights, subject, groups)
    await watch.begin()                     errors: TooMany
    views.follow(watch.accounts, watch.heard)
    for happening in await watch.news(selected=(account, mailbox)): ...
    await watch.absorb(pairs)               what the client did itself, it is not told

Of mailboxes of others only those are watched that ``access.rights`` lets the subject list, and their messages
and annotations where it may read them; all of it anew when rights change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from a3mailer.access.metadata import SHARED, SPECIAL_USE
from a3mailer.access.rights import Reader, Rights, is_foreign
from a3mailer.access.subscriptions import subscriptions
from a3mailer.identity.principal import Principal
from a3mailer.mail.changes import ANNOTATIONS, EVERYTHING, Change
from a3mailer.mail.errors import MailError, NoSuchMailbox, TooMany
from a3mailer.mail.ids import SYSTEM_ACCOUNT, AccountId, MailboxId, ModSeq, Uid
from a3mailer.mail.mailbox import SEPARATOR, parents
from a3mailer.store.operations import (
    Append,
    Appended,
    Copied,
    Copy,
    CreateMailbox,
    DeleteMailbox,
    Expunge,
    Expunged,
    Flagged,
    Operation,
    PutDocument,
    RemoveDocument,
    RenameMailbox,
    Result,
    SetMailbox,
    StoreFlags,
)
from a3mailer.store.rows import METADATA, SUBSCRIPTION, Mailbox

MAX_MAILBOXES: Final = 10_000
"""Mailboxes that one session watches."""
MAX_ANNOTATIONS: Final = 10_000
"""Annotations of one account that one session watches."""
TREE: Final = MailboxId(0)
Key = tuple[AccountId, MailboxId]


class Kind(Enum):
    """Events (RFC 5465 section 5)."""

    NEW = 1
    EXPUNGE = 2
    FLAGS = 3
    NAME = 4
    SUBSCRIPTION = 5
    METADATA = 6
    SERVER = 7


Kinds = frozenset[Kind]
OF_MESSAGES: Final = frozenset((Kind.NEW, Kind.EXPUNGE, Kind.FLAGS))
NOTHING: Final[Kinds] = frozenset()


@dataclass(frozen=True, slots=True)
class Group:
    """Some mailboxes, and the events of them that are told.

    ``which``: ``all``, ``personal``, ``subscribed``, ``subtree`` and ``mailboxes`` of ``names``."""

    which: str
    names: frozenset[str]
    kinds: Kinds

    def covers(self, name: str, *, subscribed: bool) -> bool:
        """Whether a mailbox of this name is one of them (RFC 5465 section 6)."""
        match self.which:
            case "all":
                return True
            case "personal":
                return not is_foreign(name)
            case "subscribed":
                return subscribed
            case "subtree":
                return name in self.names or not self.names.isdisjoint(("", *parents(name)))
        return name in self.names

    @property
    def reaches_others(self) -> bool:
        """Whether mailboxes of others can be among them."""
        if self.which in {"all", "subscribed"}:
            return True
        return any(not name or is_foreign(name) for name in self.names)


@dataclass(frozen=True, slots=True)
class Known:
    """A mailbox as the client knows it."""

    row: Mailbox
    readable: bool


@dataclass(frozen=True, slots=True)
class Named:
    """A name came to be, changed or went; ``old`` is that before a renaming."""

    name: str
    old: str = ""


@dataclass(frozen=True, slots=True)
class Marked:
    """A name was subscribed to, or is no more."""

    name: str


@dataclass(frozen=True, slots=True)
class Barred:
    """A mailbox of another is there, but may not be read (any more); or, ``again``, may."""

    name: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Counted:
    """What is in a mailbox changed. ``kinds`` are those that are told of it."""

    row: Mailbox
    before: Mailbox | None
    kinds: Kinds

    @property
    def numbers(self) -> bool:
        """Whether messages came or went."""
        before = self.before
        return before is None or (before.uid_next, before.messages) != (self.row.uid_next, self.row.messages)

    @property
    def seen(self) -> bool:
        """Whether another number of them has been seen."""
        return self.before is not None and self.before.unseen != self.row.unseen


@dataclass(frozen=True, slots=True)
class Annotated:
    """Annotations of a mailbox (none: of the server) changed."""

    name: str
    entries: tuple[str, ...]


Happening = Named | Marked | Barred | Counted | Annotated


class Watch:
    """What one client watches, and how it knows it."""

    __slots__ = ("_anew", "_annotations", "_dirty", "_groups", "_looking", "_mine", "_notes", "_reader",
                 "_rights", "_subject", "generation", "known", "names", "nudge")  # fmt: skip

    def __init__(self, reader: Reader, rights: Rights, subject: Principal, groups: Iterable[Group]) -> None:
        self._reader = reader
        self._rights = rights
        self._subject = subject
        self._groups = tuple(groups)
        self.known: dict[Key, Known] = {}
        self.names = frozenset[str]()
        """Subscriptions beyond one's own mailboxes."""
        self.generation = -1
        """Of the rights, when they were last looked at."""
        self.nudge: Callable[[], None] | None = None
        """Called when there may be news, while somebody waits for it."""
        self._notes: dict[tuple[AccountId, str], int] = {}
        self._dirty: set[Key] = set()
        self._anew = self._annotations = True
        self._looking = False
        """A look is in progress."""
        self._mine: dict[Key, ModSeq] = {}
        """The modseq of the client's own last change of a mailbox."""

    # --- what is watched ---------------------------------------------------------------------------

    def kinds(self, name: str, *, subscribed: bool) -> Kinds:
        """Of which events of a mailbox of this name is told."""
        found = [group.kinds for group in self._groups if group.covers(name, subscribed=subscribed)]
        return frozenset[Kind]().union(*found)

    def asked(self, known: Known) -> Kinds:
        """The same of a mailbox that is known."""
        row = known.row
        return self.kinds(row.name, subscribed=row.subscribed or row.name in self.names)

    def of(self, known: Known) -> Kinds:
        """What of that may be told."""
        kinds = self.asked(known)
        return kinds if known.readable else kinds & {Kind.NAME, Kind.SUBSCRIPTION}

    @property
    def _wanted(self) -> Kinds:
        return frozenset[Kind]().union(*(group.kinds for group in self._groups))

    @property
    def reaches_others(self) -> bool:
        """Whether mailboxes of others can be among those watched."""
        return any(group.reaches_others and group.kinds for group in self._groups)

    @property
    def accounts(self) -> frozenset[AccountId]:
        """Whose changes are of interest; SYSTEM_ACCOUNT for rights and for the server's annotations."""
        if not self._wanted:
            return frozenset()
        return frozenset((self._subject.account, SYSTEM_ACCOUNT, *(account for account, _ in self.known)))

    @property
    def topics(self) -> tuple[Key, ...]:
        """The same by mailbox: what wakes who waits without a task."""
        found = dict.fromkeys((account, TREE) for account in self.accounts if account != SYSTEM_ACCOUNT)
        found |= dict.fromkeys(key for key, known in self.known.items() if self.of(known) & OF_MESSAGES)
        if self._wanted & {Kind.METADATA, Kind.SERVER}:
            found |= dict.fromkeys((account, ANNOTATIONS) for account in self.accounts)
        return tuple(found)

    @property
    def restless(self) -> bool:
        """Whether there may be news."""
        if self._anew or self._dirty or self._annotations:
            return True
        return self.reaches_others and self.generation != self._rights.generation

    def heard(self, change: Change) -> None:
        """Something changed."""
        account, mailbox, _ = change
        if change == EVERYTHING:
            self._anew = self._annotations = True
            self._dirty.update(self.known)
        elif mailbox == ANNOTATIONS:
            self._annotations = True
        elif account == SYSTEM_ACCOUNT:
            if not self.reaches_others:
                return
        elif mailbox == TREE:
            self._anew = True
        else:
            known = self.known.get((account, mailbox))
            self._anew |= known is None and self._looking  # it may be about to be known
            if known is not None and self.of(known) & OF_MESSAGES:
                self._dirty.add((account, mailbox))
            elif not self._anew:
                return
        if self.nudge is not None:
            self.nudge()

    # --- looking -----------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Look for the first time: all is as the client knows it. It hears already. Errors: TooMany."""
        self._anew = self._annotations = False
        self._looking = True
        try:
            self.known = await self._read()
            self.names = await self._read_names()
            self._notes = await self._read_notes()
        finally:
            self._looking = False

    async def news(self, selected: Key | None = None) -> list[Happening]:
        """What happened since the last look; messages of the selected mailbox are told elsewhere.

        Errors: TooMany; others, after which the next look is at everything."""
        self._looking = True
        try:
            return await self._news(selected)
        except MailError:
            self._anew = self._annotations = True
            raise
        finally:
            self._looking = False

    async def _news(self, selected: Key | None) -> list[Happening]:
        if not self._wanted:
            self._anew = self._annotations = False
            self._dirty.clear()
            return []
        found: list[Happening] = []
        before = self.known
        if self._anew or (self.reaches_others and self.generation != self._rights.generation):
            self._anew = False
            self._dirty.clear()
            self.known = await self._read()
            found += self._named(before)
            found += self._barred(before)
            found += await self._marked(before)
            found += self._used(before)
            keys = list(self.known)
        else:
            keys = list(self._dirty)
            self._dirty.clear()
            self.known = dict(before)
            for key in keys:
                await self._read_one(key)
        found += self._counted(before, [key for key in keys if key != selected])
        if self._annotations:
            self._annotations = False
            found += await self._annotated()
        return found

    async def _read(self) -> dict[Key, Known]:
        subject = self._subject
        rows = [(row, True) for row in await self._reader.mailboxes(subject.account)]
        if self.reaches_others:
            self.generation = self._rights.generation
            for row in await self._rights.shared(subject):
                allowed = await self._rights.may(subject, "mailbox.select", row.account, row.id)
                rows.append((row, allowed))
        if len(rows) > MAX_MAILBOXES:
            raise TooMany(f"more than {MAX_MAILBOXES} mailboxes")
        return {(row.account, row.id): Known(row, allowed) for row, allowed in rows}

    async def _read_one(self, key: Key) -> None:
        known, mine = self.known.get(key), self._subject.account
        if known is None:
            return
        reader = self._reader
        try:
            row = await (reader.mailbox(*key) if key[0] == mine else reader.mailbox_seen_by(mine, *key))
        except NoSuchMailbox:
            self._anew = True
            return
        now = replace(row, name=known.row.name, subscribed=known.row.subscribed)
        self.known[key] = replace(known, row=now)

    async def _read_names(self) -> frozenset[str]:
        chosen = any(group.which == "subscribed" for group in self._groups)
        if not chosen and not self._wanted & {Kind.NAME, Kind.SUBSCRIPTION}:
            return frozenset()
        return await subscriptions(self._reader, self._subject.account)

    async def _read_notes(self) -> dict[tuple[AccountId, str], int]:
        """(account, name of the document) -> the hash of its value."""
        if not self._wanted & {Kind.METADATA, Kind.SERVER}:
            return {}
        found: dict[tuple[AccountId, str], int] = {}
        for account in self.accounts:
            prefix = f"{self._subject.tenant}/" if account == SYSTEM_ACCOUNT else ""
            for one in await self._reader.documents(account, METADATA, prefix, limit=MAX_ANNOTATIONS):
                found[account, one.name] = hash(one.value)
        return found

    # --- comparing ---------------------------------------------------------------------------------

    def _named(self, before: dict[Key, Known]) -> list[Happening]:
        """Names that came, went and changed; with the parents of those that came and went (section 5.4)."""
        renamed = {
            one.row.name: self.known[key].row.name
            for key, one in before.items()
            if key in self.known and self.known[key].row.name != one.row.name
        }
        came = [one.row.name for key, one in self.known.items() if key not in before]
        went = [one.row.name for key, one in before.items() if key not in self.known]
        told = {new: Named(new, old) for old, new in renamed.items() if not _follows(old, new, renamed)}
        for name in (*went, *came):
            told.setdefault(name, Named(name))
            for parent in parents(name)[-1:]:
                told.setdefault(parent, Named(parent))
        marked = {one.row.name for one in (*before.values(), *self.known.values()) if one.row.subscribed}
        return [
            one
            for one in told.values()
            if any(
                Kind.NAME in self.kinds(name, subscribed=name in marked)
                for name in (one.name, one.old)
                if name
            )
        ]

    def _barred(self, before: dict[Key, Known]) -> list[Happening]:
        """Mailboxes of others that may not be read any more, or now may (section 5.9)."""
        found: list[Happening] = []
        for key, old in before.items():
            new = self.known.get(key)
            name, kinds = old.row.name, self.asked(old)
            if new is None:
                if is_foreign(name) and kinds and Kind.NAME not in kinds:
                    found.append(Barred(name))
            elif new.readable != old.readable and kinds:
                found.append(Barred(new.row.name, again=new.readable))
        return found

    async def _marked(self, before: dict[Key, Known]) -> list[Happening]:
        """Names whose subscription is another now; it goes with its mailbox to a new name."""
        names, had = await self._read_names(), self.names
        self.names = names
        if Kind.SUBSCRIPTION not in self._wanted:
            return []
        old, new = had | _subscribed(before), names | _subscribed(self.known)
        stayed = [(before[key].row.name, self.known[key].row.name) for key in before.keys() & self.known]
        changed = {name for was, name in stayed if (was in old) != (name in new)}
        changed |= (old ^ new).difference(*stayed)
        return [
            Marked(name) for name in sorted(changed) if Kind.SUBSCRIPTION in self.kinds(name, subscribed=True)
        ]

    def _used(self, before: dict[Key, Known]) -> list[Happening]:
        """Special uses are annotations, too (RFC 6154 section 4)."""
        return [
            Annotated(known.row.name, (SPECIAL_USE,))
            for key, known in self.known.items()
            if key in before
            and key[0] == self._subject.account
            and before[key].row.special_use != known.row.special_use
            and Kind.METADATA in self.of(known)
        ]

    def _counted(self, before: dict[Key, Known], keys: Sequence[Key]) -> list[Happening]:
        found: list[Happening] = []
        for key in keys:
            new, old = self.known.get(key), before.get(key)
            if new is None or (old is not None and _same(old.row, new.row)):
                continue
            kinds = self.of(new) & OF_MESSAGES
            counted = Counted(new.row, None if old is None else old.row, kinds)
            own = self._mine.pop(key, None) == new.row.modseq and not counted.numbers
            if kinds and not own and (counted.numbers or Kind.FLAGS in kinds):
                found.append(counted)
        return found

    async def _annotated(self) -> list[Happening]:
        notes, before = await self._read_notes(), self._notes
        self._notes = notes
        changed: dict[str, set[str]] = {}
        for account, document in {one for one, _ in notes.items() ^ before.items()}:
            name, entry = self._place(account, document)
            if name is not None:
                changed.setdefault(name, set()).add(entry)
        return [Annotated(name, tuple(sorted(entries))) for name, entries in sorted(changed.items())]

    def _place(self, account: AccountId, document: str) -> tuple[str | None, str]:
        """What is annotated, where that is told, and the entry (``access.metadata`` names the documents)."""
        number, slash, entry = document.partition("/")
        entry = slash + entry
        owner, colon, mailbox = number.rpartition(":")
        if account == SYSTEM_ACCOUNT or (account == self._subject.account and number == f"{TREE}"):
            return ("" if Kind.SERVER in self._wanted else None), entry
        if account != self._subject.account and not entry.startswith(SHARED):
            return None, entry
        if colon and account != self._subject.account:
            return None, entry
        key = (AccountId(int(owner)) if colon else account, MailboxId(int(mailbox)))
        known = self.known.get(key)
        if known is None or Kind.METADATA not in self.of(known):
            return None, entry
        return known.row.name, entry

    # --- what the client did itself ----------------------------------------------------------------

    async def absorb(self, done: Iterable[tuple[Operation, Result]]) -> None:
        """Of these, which the client asked for itself, it is not told (section 5)."""
        for operation, result in done:
            if isinstance(operation, (CreateMailbox, RenameMailbox)):
                await self._absorb_name(operation)
            elif isinstance(operation, DeleteMailbox):
                self.known.pop((operation.account, operation.mailbox), None)
            elif isinstance(operation, SetMailbox):
                self._absorb_attributes(operation)
            elif isinstance(operation, (PutDocument, RemoveDocument)):
                self._absorb_document(operation)
            else:
                self._absorb_messages(operation, result)

    async def _absorb_name(self, operation: CreateMailbox | RenameMailbox) -> None:
        """A name, those above it that were made with it, and those below that went with it."""
        generation = self.generation
        rows = await self._read()
        self.generation = generation
        account, above = operation.account, (operation.name, *parents(operation.name))
        for key, known in rows.items():
            if key[0] != account:
                continue
            had, name = self.known.get(key), _plain(known.row.name)
            if had is None and name in above:
                self.known[key] = known
            elif had is not None and f"{name}/".startswith(f"{operation.name}/"):
                self.known[key] = replace(had, row=replace(had.row, name=known.row.name))

    def _absorb_attributes(self, operation: SetMailbox) -> None:
        known = self.known.get((operation.account, operation.mailbox))
        if known is None:
            return
        row = known.row
        if operation.subscribed is not None:
            row = replace(row, subscribed=operation.subscribed)
        if operation.special_use is not None:
            row = replace(row, special_use=operation.special_use)
        self.known[operation.account, operation.mailbox] = replace(known, row=row)

    def _absorb_document(self, operation: PutDocument | RemoveDocument) -> None:
        put = isinstance(operation, PutDocument)
        if operation.kind == METADATA:
            self._notes.pop((operation.account, operation.name), None)
            if isinstance(operation, PutDocument):
                self._notes[operation.account, operation.name] = hash(operation.value)
        elif operation.kind == SUBSCRIPTION:
            self.names = self.names | {operation.name} if put else self.names - {operation.name}
            for key, known in self.known.items():
                if known.row.name == operation.name:
                    self.known[key] = replace(known, row=replace(known.row, subscribed=put))

    def _absorb_messages(self, operation: Operation, result: Result) -> None:
        if isinstance(operation, Append) and isinstance(result, Appended):
            self._absorb_numbers((operation.account, operation.mailbox), 1, 1, result.modseq)
        elif isinstance(operation, Copy) and isinstance(result, Copied):
            count = len(result.pairs)
            if operation.move:
                self._absorb_numbers((operation.account, operation.source), 0, -count, result.modseq)
            self._absorb_numbers((operation.account, operation.target), count, count, result.modseq)
        elif isinstance(operation, Expunge) and isinstance(result, Expunged):
            self._absorb_numbers((operation.account, operation.mailbox), 0, -len(result.uids), result.modseq)
        elif isinstance(operation, StoreFlags) and isinstance(result, Flagged):
            self._absorb_numbers((operation.account, operation.mailbox), 0, 0, result.modseq)

    def _absorb_numbers(self, key: Key, uids: int, messages: int, modseq: ModSeq) -> None:
        known = self.known.get(key)
        if known is not None:
            row = known.row
            row = replace(row, uid_next=Uid(row.uid_next + uids), messages=row.messages + messages)
            self.known[key] = replace(known, row=row)
            self._mine[key] = modseq


def _follows(old: str, new: str, renamed: dict[str, str]) -> bool:
    """Whether a name changed because one above it did: of it alone is told (section 5.4)."""
    return any(
        parent in renamed and renamed[parent] + old.removeprefix(parent) == new for parent in parents(old)
    )


def _subscribed(known: dict[Key, Known]) -> frozenset[str]:
    return frozenset(one.row.name for one in known.values() if one.row.subscribed)


def _same(old: Mailbox, new: Mailbox) -> bool:
    """Whether nothing happened to the messages."""
    return (old.modseq, old.unseen, old.uid_next, old.messages) == (
        new.modseq,
        new.unseen,
        new.uid_next,
        new.messages,
    )


def _plain(name: str) -> str:
    """The owner's name of a mailbox."""
    return name.split(SEPARATOR, 2)[-1] if is_foreign(name) else name
