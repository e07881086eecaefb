"""A mail that has just been queued goes on from memory (ADR 0035).

The worker that takes a mail for somewhere else leases its queue entry in the very transaction that makes it
durable, and gives it with its octets to its own queue: no claim, nothing read back. The lease lapses like
any other, so what a dead worker had in memory is found by the others. Only so much is in memory: what
comes beyond is queued as ever, and so is all while mails wait in the queue that there was no room for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from msgspec import structs

from a3mailer.mail.errors import MailError
from a3mailer.mail.ids import BlobId
from a3mailer.runtime.clock import Clock
from a3mailer.store.operations import Enqueue, Enqueued, Operation, Result, SettleQueue
from a3mailer.store.ports import Transaction, Writer
from a3mailer.store.rows import QueuedRecipient, QueueEntry
from a3mailer.transfer.queue.attempt import LEASE_SECONDS

MAILS: Final = 200
"""Mails of a worker that go on from memory at once."""
OCTETS: Final = 16 << 20
"""... and their octets."""
LARGEST: Final = 256 * 1024
"""Octets above which a mail is read back when its turn has come."""
FRESH_SECONDS: Final = LEASE_SECONDS / 2
"""A lease with less left, as the commit took so long, is given back."""

_UNNAMED: Final = BlobId(b"")
Give = Callable[[QueueEntry, bytes], None]
"""Begin with an entry that is leased to us; it ends with ``Handing.left``."""


def _never() -> bool:
    return False


class Handing:
    """One object a process, between the end of DATA and the queue."""

    __slots__ = ("_clock", "_give", "_has_room", "_mails", "_octets", "_owner", "_writer")

    def __init__(self, writer: Writer, clock: Clock, owner: str) -> None:
        """``owner``: as the queue's."""
        self._writer = writer
        self._clock = clock
        self._owner = owner
        self._give: Give | None = None
        self._has_room = _never
        self._mails = 0
        self._octets = 0

    def open(self, give: Give, has_room: Callable[[], bool]) -> None:
        """The queue works from now on; ``has_room``: it could begin with another mail."""
        self._give, self._has_room = give, has_room

    def close(self) -> None:
        """It takes nothing any more."""
        self._give, self._has_room = None, _never

    def left(self, octets: int) -> None:
        """A mail of this size is out of memory again."""
        self._mails -= 1
        self._octets -= octets

    async def commit(self, transaction: Transaction) -> None:
        """As ``Writer.commit``, and what is queued by it goes on at once where that can be."""
        at = self._chosen(transaction)
        if at < 0:
            await self._writer.commit(transaction)
            return
        octets = bytes(transaction.contents[0].octets)
        operations = list(transaction.operations)
        until = int(self._clock.now()) + LEASE_SECONDS
        operations[at] = structs.replace(operations[at], lease_owner=self._owner, lease_until=until)
        self._mails += 1
        self._octets += len(octets)
        given = False
        try:
            results = await self._writer.commit(structs.replace(transaction, operations=tuple(operations)))
            given = await self._hand_on(operations[at], results[at : at + 1], octets)
        finally:
            if not given:
                self.left(len(octets))

    def _chosen(self, transaction: Transaction) -> int:
        """The number of the operation that queues a mail which may go on at once; below 0: there is none."""
        if not self._has_room() or self._mails >= MAILS or len(transaction.contents) != 1:
            return -1
        size = len(transaction.contents[0].octets)
        if size > LARGEST or self._octets + size > OCTETS:
            return -1
        for number, operation in enumerate(transaction.operations):
            if isinstance(operation, Enqueue):
                return -1 if operation.not_before or operation.priority < 0 else number
        return -1

    async def _hand_on(self, enqueue: Operation, results: Sequence[Result], octets: bytes) -> bool:
        """Is it given? No, where a retry was answered (ADR 0010): that entry has had its own life."""
        made = results[0] if results else None
        if not (isinstance(made, Enqueued) and isinstance(enqueue, Enqueue) and made.owner == self._owner):
            return False
        now = int(self._clock.now())
        if self._give is None or now > enqueue.lease_until - FRESH_SECONDS:
            with suppress(MailError):
                await self._writer.commit(Transaction((SettleQueue(made.queue, self._owner, (), now),)))
            return False
        self._give(entry_of(enqueue, made, len(octets)), octets)
        return True


def entry_of(enqueue: Enqueue, made: Enqueued, size: int, blob: BlobId = _UNNAMED) -> QueueEntry:
    """The entry as the store would give it back, but for the name of its content: nobody asks for it."""
    return QueueEntry(
        made.queue,
        enqueue.account,
        enqueue.tenant,
        blob,
        size,
        enqueue.reverse_path,
        enqueue.body,
        enqueue.smtputf8,
        enqueue.return_content,
        enqueue.envelope_id,
        enqueue.trace,
        enqueue.hops,
        made.created,
        False,
        enqueue.lease_owner,
        enqueue.lease_until,
        tuple(
            [
                QueuedRecipient(
                    number, each.address, each.notify, each.original, "waiting", 0, made.created, 0, "", "",
                    "", False,
                )
                for number, each in enumerate(enqueue.recipients)
            ]
        ),
        enqueue.not_before,
        enqueue.priority,
        enqueue.deliver_by,
        enqueue.by_mode,
        enqueue.tls,
        enqueue.message_id,
    )  # fmt: skip
