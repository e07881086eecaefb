"""Hints of changes, handed to the open mailboxes they concern: nobody else wakes."""

from __future__ import annotations

from collections.abc import Callable

from a3mailer.access.view import OpenMailbox, View
from a3mailer.mail.changes import EVERYTHING, Change
from a3mailer.mail.errors import NoSuchMailbox
from a3mailer.mail.ids import AccountId, MailboxId
from a3mailer.store.ports import MailReader, Watcher


class Views:
    """All open mailboxes of this process. ``parked`` hears of every change (connections without a task)."""

    __slots__ = ("_forget", "_open", "_reader", "directory", "listeners", "parked")

    def __init__(self, reader: MailReader, watcher: Watcher) -> None:
        self._reader = reader
        self._open: dict[tuple[int, int], OpenMailbox] = {}
        self.parked: Callable[[Change], None] | None = None
        self.directory = 0
        """Grows when accounts or credentials changed: sessions then look whether they still stand."""
        self.listeners: set[Callable[[], None]] = set()
        """Called when accounts or credentials changed."""
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
        elif (open_mailbox := self._open.get((change.account, change.mailbox))) is not None:
            open_mailbox.hint(change.modseq)
        if self.parked is not None:
            self.parked(change)

    def _directory_changed(self) -> None:
        self.directory += 1
        for listener in tuple(self.listeners):
            listener()

    async def open(self, account: AccountId, mailbox: MailboxId) -> View:
        """A new view, as of now. Errors: NoSuchMailbox."""
        key = (account, mailbox)
        shared = self._open.get(key)
        if shared is None or shared.gone:
            shared = self._open[key] = OpenMailbox(self._reader, account, mailbox)
        shared.viewers += 1  # nobody forgets it while it is being read
        try:
            await shared.refresh()
            if shared.gone:
                raise NoSuchMailbox
            return View(shared, self._leave)
        finally:
            self._leave(shared)

    def _leave(self, shared: OpenMailbox) -> None:
        shared.viewers -= 1
        if shared.viewers == 0 and self._open.get((shared.account, shared.id)) is shared:
            del self._open[shared.account, shared.id]
