"""A maildrop (RFC 1939): INBOX as it was when it was opened, for one session at a time.

Numbers begin with 1 and mean the same message as long as the maildrop is open. Others may change the
mailbox meanwhile: what they expunge is ``alive`` no more, what comes is not seen. Deletions are marks;
``update`` makes them, all together. Who holds a maildrop is known among all processes by a lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Final, Protocol

from a3mailer.access.columns import place_of
from a3mailer.access.view import View
from a3mailer.access.watch import Views
from a3mailer.mail.errors import DamagedContent, MailError, NoSuchMessage, TryLater
from a3mailer.mail.ids import INBOX, AccountId, TenantId, Uid
from a3mailer.store.operations import Expunge
from a3mailer.store.ports import Store, Transaction
from a3mailer.store.rows import Mailbox, Message

WHOLE: Final = 256 * 1024
"""Octets up to which a message is read whole; larger ones come in pieces."""
PIECE: Final = 1024 * 1024
"""Octets of such a piece."""
AHEAD_MESSAGES: Final = 64
"""Contents read at once for a session that takes one message after the other, ..."""
AHEAD_OCTETS: Final = 512 * 1024
"""... and octets of them together."""
FAIR: Final = 4096
"""Messages looked at before others get their turn."""


class InUse(MailError):
    """Another session has the maildrop open."""

    transient = True


class Leases(Protocol):
    """Who holds what, among all processes (``runtime.leases``)."""

    def take(self, number: int) -> bool:
        """False when somebody has it."""
        ...

    def release(self, number: int) -> None: ...


class Maildrop:
    """Open it with ``open``; ``close`` it whatever happens."""

    __slots__ = ("_account", "_ahead", "_last", "_leases", "_marked", "_marked_octets", "_row", "_store",
                 "_streak", "_twins", "_view", "count", "octets")  # fmt: skip

    def __init__(
        self, store: Store, leases: Leases, account: AccountId, view: View, row: Mailbox | None
    ) -> None:
        self._store = store
        self._leases = leases
        self._account = account
        self._view = view
        self._row = row
        self.count = view.count
        """Messages, those marked included."""
        loaded = view.mailbox.loaded or row is None
        self.octets = sum(view.columns.sizes[: view.count]) if loaded else row.octets if row else 0
        self._marked: set[int] = set()
        self._marked_octets = 0
        self._twins: dict[int, int] | None = None
        """Messages that are not the first of their email in INBOX, and what tells them from others of it."""
        self._ahead: dict[int, bytes | None] = {}
        """Contents by uid; None where damaged."""
        self._last = self._streak = 0

    @classmethod
    async def open(cls, store: Store, views: Views, leases: Leases, account: AccountId) -> Maildrop:
        """Errors: InUse, NoSuchMailbox, TryLater."""
        if not leases.take(account):
            raise InUse
        try:
            view = await views.open(account, INBOX)
            return cls(store, leases, account, view, view.mailbox.row)
        except BaseException:
            leases.release(account)
            raise

    def close(self) -> None:
        """Let go; marks are forgotten."""
        self._view.close()
        self._leases.release(self._account)

    # --- what is in it -----------------------------------------------------------------------------

    @property
    def expire_days(self) -> int:
        """After how many days messages go by themselves; 0 for never."""
        return self._row.expire_days if self._row is not None else 0

    @property
    def loaded(self) -> bool:
        """Whether single messages can be asked about: else ``load`` first."""
        return self._view.mailbox.loaded

    async def load(self) -> None:
        """Errors: TryLater."""
        await self._view.mailbox.load()
        self._still_there()

    @property
    def behind(self) -> bool:
        """Whether the mailbox has changed and ``alive`` knows nothing of it: ``catch_up`` first."""
        return self._view.mailbox.stale

    async def catch_up(self) -> None:
        """Errors: TryLater."""
        await self._view.mailbox.refresh()
        self._still_there()

    def _still_there(self) -> None:
        if self._view.mailbox.gone:
            raise TryLater("the mailbox is no longer what it was")

    @property
    def left(self) -> tuple[int, int]:
        """Messages and octets without those that are marked."""
        return self.count - len(self._marked), self.octets - self._marked_octets

    def size(self, number: int) -> int:
        """Octets of a message. Errors: NoSuchMessage."""
        self._look(number)
        return self._view.columns.sizes[number - 1]

    def alive(self, number: int) -> int:
        """Its uid. Errors: NoSuchMessage, also when somebody else has expunged it."""
        self._look(number)
        view = self._view
        uid = view.columns.uids[number - 1]
        if not view.current:
            living = view.mailbox.columns.uids
            if place_of(living, uid, len(living)) < 0:
                raise NoSuchMessage("somebody else has deleted it")
        return uid

    def _look(self, number: int) -> None:
        if not 0 < number <= self.count or number in self._marked:
            raise NoSuchMessage

    def sizes(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """(number, octets) of those from ``first`` up to ``end`` that are not marked."""
        return self._unmarked(first, enumerate(self._view.columns.sizes[first - 1 : end - 1], first))

    def emails(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """(number, email id) likewise."""
        return self._unmarked(first, enumerate(self._view.columns.emails[first - 1 : end - 1], first))

    def _unmarked(self, first: int, found: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        if not self._marked:
            return found
        marked = self._marked
        return (each for each in found if each[0] not in marked)

    # --- what makes a message unique ---------------------------------------------------------------

    @property
    def identified(self) -> bool:
        """Whether ``twin`` can be asked: else ``identify`` first."""
        return self._twins is not None

    async def identify(self) -> None:
        """Find the messages that are not the only one of their email (RFC 8474); the store has numbered them.

        Those that went since the maildrop was opened are numbered here. Ids mostly grow with the uid; from
        the first that does not, all before it are kept to compare with. Errors: TryLater."""
        emails, uids = self._view.columns.emails, self._view.columns.uids
        numbered = await self._store.twins(self._account, INBOX)
        twins: dict[int, int] = {}
        known: set[int] = set()
        last = 0
        for start in range(0, self.count, FAIR):
            for place in range(start, min(start + FAIR, self.count)):
                if number := numbered.get(uids[place], 0):
                    twins[place + 1] = number
                    continue
                email = emails[place]
                if email <= last:
                    known = known or {emails[at] for at in range(place) if uids[at] not in numbered}
                    if email in known:
                        twins[place + 1] = uids[place]
                last = max(last, email)
                if known:
                    known.add(email)
            await asyncio.sleep(0)
        self._twins = twins

    def twin(self, number: int) -> int:
        """0, or what tells a message from others of its email."""
        return (self._twins or {}).get(number, 0)

    @property
    def has_twins(self) -> bool:
        """Whether there are copies at all."""
        return bool(self._twins)

    def email(self, number: int) -> int:
        """The email id of a message. Errors: NoSuchMessage."""
        self._look(number)
        return self._view.columns.emails[number - 1]

    # --- contents ----------------------------------------------------------------------------------

    def is_large(self, number: int) -> bool:
        """Whether it is read in pieces."""
        return self._view.columns.sizes[number - 1] > WHOLE

    def at_hand(self, number: int) -> bytes | None:
        """The content of a message that was read ahead. Errors: DamagedContent, NoSuchMessage."""
        uid = self.alive(number)
        if number != self._last:
            self._streak = self._streak + 1 if number == self._last + 1 else 0
            self._last = number
        if uid not in self._ahead:
            return None
        octets = self._ahead[uid]
        if octets is None:
            raise DamagedContent
        return octets

    async def content(self, number: int) -> bytes:
        """Read a content, and those after it for who takes one after the other.

        Errors: NoSuchMessage, DamagedContent, TryLater."""
        uid = self.alive(number)
        self._ahead = await self._store.contents(self._account, INBOX, self._wanted(number))
        if uid not in self._ahead:
            raise NoSuchMessage("somebody else has deleted it")
        octets = self._ahead[uid]
        if octets is None:
            raise DamagedContent
        return octets

    def _wanted(self, number: int) -> list[int]:
        """This message and those after it, the more the longer the streak, as far as they are small."""
        columns = self._view.columns
        place = number - 1
        end = min(place + min(self._streak, AHEAD_MESSAGES), self.count)
        octets, stop = columns.sizes[place], place + 1
        while stop < end and octets + columns.sizes[stop] <= AHEAD_OCTETS:
            octets += columns.sizes[stop]
            stop += 1
        return columns.uids[place:stop].tolist()

    async def row(self, number: int) -> Message:
        """Of a large message, for ``pieces``. Errors: NoSuchMessage, TryLater."""
        uid = self.alive(number)
        rows = await self._store.messages(self._account, INBOX, (Uid(uid),))
        if not rows:
            raise NoSuchMessage("somebody else has deleted it")
        return rows[0]

    async def pieces(self, row: Message) -> AsyncIterator[bytes]:
        """A large content, one piece at a time. Errors: NoSuchMessage, DamagedContent, TryLater."""
        for start in range(0, row.size, PIECE):
            yield await self._store.octets(self._account, row.blob, start, min(start + PIECE, row.size))

    # --- deletions ---------------------------------------------------------------------------------

    def mark(self, number: int) -> None:
        """Mark as deleted. Errors: NoSuchMessage."""
        self.alive(number)
        self._marked.add(number)
        self._marked_octets += self._view.columns.sizes[number - 1]

    def unmark_all(self) -> None:
        """Take all marks back."""
        self._marked.clear()
        self._marked_octets = 0

    async def update(self, tenant: TenantId) -> int:
        """Delete what is marked, in one transaction; how many there were. Errors: TryLater, NoSuchMailbox."""
        if not self._marked:
            return 0
        uids = tuple(Uid(self._view.columns.uids[number - 1]) for number in sorted(self._marked))
        await self._store.commit(Transaction((Expunge(self._account, INBOX, uids),), tenant=tenant))
        return len(uids)
