"""Hints of changes, handed to the open mailboxes they concern: nobody else wakes.

A mailbox that its last session left is kept for a while: who opens it again reads only what changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from a3mailer.access.seen import MailboxReader, SeenBy
from a3mailer.access.sortkeys import SortKeys
from a3mailer.access.view import OpenMailbox, View
from a3mailer.mail.changes import EVERYTHING, QUEUE, RIGHTS, Change
from a3mailer.mail.errors import NoSuchMailbox
from a3mailer.mail.ids import SYSTEM_ACCOUNT, AccountId, MailboxId
from a3mailer.store.ports import MailReader, SeenReader, Watcher

LEFT_MAILBOXES: Final = 1_000
"""Mailboxes without a session that are kept."""
LEFT_MESSAGES: Final = 2_000_000
"""Messages of all of them together that are loaded, 33 octets each."""


Key = tuple[AccountId, MailboxId, AccountId]
"""Account, mailbox, and who sees it so: SYSTEM_ACCOUNT for the owner."""


Follower = Callable[[Change], None]


class Reader(MailReader, SeenReader, Protocol):
    """What is read here."""


class Views:
    """All open mailboxes of this process. ``parked`` hears of every change (connections without a task)."""

    __slots__ = ("_followers", "_forget", "_left", "_left_messages", "_lent", "_open", "_reader",
                 "directory", "listeners", "parked", "sort_keys")  # fmt: skip

    def __init__(self, reader: Reader, watcher: Watcher) -> None:
        self._reader = reader
        self._open: dict[Key, OpenMailbox] = {}
        self._lent: dict[tuple[int, int], set[AccountId]] = {}
        """(account, mailbox) -> who else than the owner has it open."""
        self._left: dict[Key, int] = {}
        """Those nobody looks at and their messages, the one left longest ago first."""
        self._left_messages = 0
        self._followers: dict[AccountId, set[Follower]] = {}
        """Who hears of every change of an account, as long as there is somebody."""
        self.parked: Callable[[Change], None] | None = None
        self.directory = 0
        """Grows when accounts or credentials changed: sessions then look whether they still stand."""
        self.listeners: set[Callable[[], None]] = set()
        """Called when accounts or credentials changed."""
        self.sort_keys = SortKeys(reader)
        self._forget = watcher.watch(self._heard)

    def close(self) -> None:
        """Hear no more."""
        self._forget()

    def _heard(self, change: Change) -> None:
        if change == EVERYTHING:
            for each in tuple(self._open.values()):
                each.hint(each.modseq + 1)
            self._directory_changed()
        elif change.account == 0:
            if change.mailbox == 0:
                self._directory_changed()
            elif change[:2] == RIGHTS:
                self._nudge()
        else:
            self._hint(*change)
        if self._followers:
            self._tell_followers(change)
        if self.parked is not None:
            self.parked(change)

    def _hint(self, account: AccountId, mailbox: MailboxId, modseq: int) -> None:
        if (open_mailbox := self._open.get((account, mailbox, SYSTEM_ACCOUNT))) is not None:
            open_mailbox.hint(modseq)
        if self._lent and (account, mailbox) in self._lent:
            for reader in self._lent[account, mailbox]:
                self._open[account, mailbox, reader].hint(modseq)

    def _tell_followers(self, change: Change) -> None:
        if change == EVERYTHING:
            told = {one for each in self._followers.values() for one in each}
        elif change[:2] == QUEUE:
            return
        else:
            told = set(self._followers.get(change.account, ()))
        for follower in told:
            follower(change)

    def follow(self, accounts: Iterable[AccountId], follower: Follower) -> None:
        """From now on ``follower`` hears of every change of these accounts; rights are of SYSTEM_ACCOUNT."""
        for account in accounts:
            self._followers.setdefault(account, set()).add(follower)

    def leave(self, accounts: Iterable[AccountId], follower: Follower) -> None:
        """It hears of these no more."""
        for account in accounts:
            known = self._followers.get(account, set())
            known.discard(follower)
            if not known:
                self._followers.pop(account, None)

    def _directory_changed(self) -> None:
        self.directory += 1
        self._nudge()

    def _nudge(self) -> None:
        for listener in tuple(self.listeners):
            listener()

    async def open(self, account: AccountId, mailbox: MailboxId, reader: AccountId = SYSTEM_ACCOUNT) -> View:
        """A new view, as of now; with a ``reader`` it is another's mailbox as that one sees it.

        Errors: NoSuchMailbox."""
        key = (account, mailbox, reader)
        shared = self._open.get(key)
        if shared is None or shared.gone:
            store: MailboxReader = SeenBy(self._reader, reader) if reader else self._reader
            shared = self._open[key] = OpenMailbox(store, account, mailbox, reader)
            if reader:
                self._lent.setdefault((account, mailbox), set()).add(reader)
        self._left_messages -= self._left.pop(key, 0)
        shared.viewers += 1  # nobody forgets it while it is being read
        try:
            await shared.refresh(opening=True)
            if shared.gone:
                raise NoSuchMailbox
            return View(shared, self._leave)
        finally:
            self._leave(shared)

    def _leave(self, shared: OpenMailbox) -> None:
        shared.viewers -= 1
        key = (shared.account, shared.id, shared.reader)
        if shared.viewers > 0 or self._open.get(key) is not shared:
            return
        if shared.gone or shared.modseq < 0:
            self._close(key)
            return
        self._left[key] = len(shared.columns.uids)
        self._left_messages += self._left[key]
        while self._left_messages > LEFT_MESSAGES or len(self._left) > LEFT_MAILBOXES:
            oldest = next(iter(self._left))
            self._left_messages -= self._left.pop(oldest)
            self._close(oldest)

    def _close(self, key: Key) -> None:
        del self._open[key]
        account, mailbox, reader = key
        if reader:
            readers = self._lent[account, mailbox]
            readers.discard(reader)
            if not readers:
                del self._lent[account, mailbox]
