"""Messages that go from one account to another: COPY and MOVE between one's own and others' mailboxes.

What is copied becomes a message of the other account, sealed for it; the store keeps the octets once. All of
it is one transaction: the copies, what the acting subject has seen of them, and for a MOVE the end of the
sources.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from a3mailer.mail.errors import DamagedContent, TooMany
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import AccountId, MailboxId, TenantId, Uid
from a3mailer.mail.message import index
from a3mailer.store.operations import Append, Appended, Copied, Expunge, Expunged, Operation, SeeNewest
from a3mailer.store.ports import Content, Store, Transaction
from a3mailer.store.rows import Mailbox, Message

MAX_CROSSED: Final = 5_000
"""Messages that go at once."""
MAX_CROSSED_OCTETS: Final = 128 * 1024 * 1024
INDEXED_HERE: Final = 64 * 1024
"""Larger messages are indexed in a thread."""
Flags = tuple[int, tuple[str, ...]]
"""Flags and keywords of a message, as the acting subject sees them and may set them in the target."""


def put(
    subject: AccountId, target: Mailbox, content: int, what: tuple[int, tuple[str, ...], int]
) -> list[Operation]:
    """Put a content into a mailbox, with (flags, keywords, date). Of \\Seen the subject's own is meant."""
    bits, keywords, date = what
    if target.account == subject:
        return [Append(target.account, target.id, content, bits, keywords, date)]
    append = Append(target.account, target.id, content, bits & ~SEEN, keywords, date)
    if not bits & SEEN:
        return [append]
    return [append, SeeNewest(target.account, target.id, subject, 1)]


async def cross(
    store: Store,
    subject: AccountId,
    tenant: TenantId,
    source: tuple[AccountId, MailboxId],
    target: Mailbox,
    messages: Mapping[Uid, Flags],
    *,
    move: bool,
) -> Copied:
    """Copy messages into another account's mailbox; ``modseq`` of what it says is the source's after a MOVE.

    A MOVE of messages of which one is gone already does nothing: whoever took it has it.
    Errors: TooMany, OverQuota, DamagedContent, NoSuchMailbox, NoSuchMessage."""
    if len(messages) > MAX_CROSSED:
        raise TooMany(f"more than {MAX_CROSSED} messages between accounts at once")
    rows = await store.messages(*source, sorted(messages))
    if sum(row.size for row in rows) > MAX_CROSSED_OCTETS:
        raise TooMany(f"more than {MAX_CROSSED_OCTETS} octets between accounts at once")
    contents = await _contents(store, source, rows)
    operations: list[Operation] = []
    for number, row in enumerate(rows):
        operations += put(subject, target, number, (*messages[row.uid], row.internal_date))
    if move:
        operations.append(Expunge(*source, tuple(row.uid for row in rows), every=True))
    if not operations:
        return Copied(target.uid_validity, (), target.modseq)
    results = await store.commit(Transaction(tuple(operations), contents, tenant))
    appended = [one for one in results if isinstance(one, Appended)]
    pairs = tuple((row.uid, one.uid) for row, one in zip(rows, appended, strict=True))
    modseq = results[-1].modseq if isinstance(results[-1], Expunged) else target.modseq
    return Copied(target.uid_validity, pairs, modseq)


async def _contents(
    store: Store, source: tuple[AccountId, MailboxId], rows: Sequence[Message]
) -> tuple[Content, ...]:
    found = await store.contents(*source, [row.uid for row in rows])
    made: list[Content] = []
    for row in rows:
        octets = found.get(row.uid)
        if octets is None:
            raise DamagedContent(f"message {row.uid}")
        if len(octets) <= INDEXED_HERE:
            made.append(Content(octets, index(octets)))
            await asyncio.sleep(0)
        else:
            made.append(Content(octets, await asyncio.to_thread(index, octets)))
    return tuple(made)
