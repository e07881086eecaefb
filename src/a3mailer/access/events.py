"""Which script hears of what is done to messages by IMAP (RFC 6785), and that it does.

The annotation ``/shared/imapsieve/script`` of a mailbox names a script of its owner; where a mailbox has
none, that of the server does, which may also be one of the operator's. That there is none is remembered in
each worker until an annotation changes: an event then costs a look into a dict.

    events.is_idle(account, mailbox)     nobody wants to hear of anything there
    await events.wanted(tenant, account, mailbox)
    modseq = await events.happened(...)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from a3mailer.access.labour import Labour
from a3mailer.access.metadata import event_script
from a3mailer.access.scripts import Active, Scripts
from a3mailer.mail.changes import ANNOTATIONS, EVERYTHING, Change
from a3mailer.mail.errors import MailError
from a3mailer.mail.event import Event
from a3mailer.mail.ids import SYSTEM_ACCOUNT, AccountId, MailboxId, ModSeq, TenantId, Uid
from a3mailer.store.ports import DocumentReader, MailReader, Watcher
from a3mailer.store.rows import Mailbox
from a3mailer.telemetry.events import emit
from a3mailer.wire.sieve.compile import Program

REMEMBERED: Final = 50_000
"""Accounts of whose mailboxes a worker knows which script is named."""


class Reader(MailReader, DocumentReader, Watcher, Protocol):
    """What is read here."""


class Runs(Protocol):
    """Runs a script (``transfer/filtering/events.py``; ``app`` brings it)."""

    def shared(self, name: str) -> Program | None:
        """One of the operator's."""
        ...

    async def run(self, script: Active, box: Mailbox, uid: Uid, event: Event) -> ModSeq:
        """The modseq of the last change it made in the account of the mailbox; 0: it made none."""
        ...


class Named(NamedTuple):
    """What an annotation says."""

    name: str
    of_server: bool


class Events:
    """One object a process."""

    __slots__ = ("_forget", "_heard_of", "_known", "_reader", "_runs", "_scripts")

    def __init__(self, reader: Reader, scripts: Scripts, runs: Runs) -> None:
        self._reader = reader
        self._scripts = scripts
        self._runs = runs
        self._known: dict[int, dict[int, Named | None]] = {}
        self._heard_of = 0
        """How many changes were heard of, so that what is read while one comes is not remembered."""
        self._forget = reader.watch(self._heard)

    def close(self) -> None:
        """Hear no more."""
        self._forget()

    def _heard(self, change: Change) -> None:
        if change == EVERYTHING or (change.account == SYSTEM_ACCOUNT and change.mailbox in (0, ANNOTATIONS)):
            self._heard_of += 1
            self._known.clear()
        elif change.mailbox == ANNOTATIONS:
            self.forget(change.account)

    def forget(self, account: AccountId) -> None:
        """The annotations of an account (SYSTEM_ACCOUNT: of the server) are others now."""
        self._heard_of += 1
        if account == SYSTEM_ACCOUNT:
            self._known.clear()
        else:
            self._known.pop(account, None)

    def is_idle(self, account: AccountId, mailbox: MailboxId) -> bool:
        """Is it known that no script is named for a mailbox?"""
        known = self._known.get(account)
        return known is not None and known.get(mailbox, self) is None

    async def wanted(self, tenant: TenantId, account: AccountId, mailbox: MailboxId) -> bool:
        """Is a script named for a mailbox?"""
        return not self.is_idle(account, mailbox) and await self._named(tenant, account, mailbox) is not None

    async def _named(self, tenant: TenantId, account: AccountId, mailbox: MailboxId) -> Named | None:
        try:
            return self._known[account][mailbox]
        except KeyError:
            pass
        heard_of = self._heard_of
        value, of_server = await event_script(self._reader, tenant, account, mailbox)
        name = value.decode("utf-8", "replace")
        found = Named(name, of_server) if name else None
        if heard_of == self._heard_of:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known.setdefault(account, {})[mailbox] = found
        return found

    async def _script(self, tenant: TenantId, account: AccountId, mailbox: MailboxId) -> Active | None:
        named = await self._named(tenant, account, mailbox)
        if named is None:
            return None
        program = self._runs.shared(named.name) if named.of_server else None
        if program is not None:
            return Active("", named.name, "", program)
        return await self._scripts.called(account, named.name)

    async def happened(
        self,
        tenant: TenantId,
        place: tuple[AccountId, MailboxId],
        events: Iterable[tuple[Uid, Event]],
        labour: Labour,
    ) -> ModSeq:
        """Let the script hear of what has been done to messages, each for itself; the modseq of the last
        change that came of it, 0 without one. It was done: nothing here fails. What is over the budget of
        the command is not heard of any more."""
        last = ModSeq(0)
        try:
            script = await self._script(tenant, *place)
            if script is None:
                return last
            box = await self._reader.mailbox(*place)
            for uid, event in events:
                last = max(last, await self._runs.run(script, box, uid, event))
                await labour.step()
        except MailError as error:
            emit("sieve.event.lost", level="warning", account=place[0], error=repr(error))
        return last
