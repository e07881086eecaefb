"""Subscriptions to names that are no mailbox of one's own: those of others, and those that are gone.

One's own mailboxes carry the mark themselves. A name that was subscribed stays so when its mailbox is
deleted (RFC 9051 section 6.3.7): it is kept here until it is unsubscribed, or made again.
"""

from __future__ import annotations

from typing import Final

from a3mailer.mail.ids import AccountId
from a3mailer.store.operations import Operation, PutDocument, RemoveDocument
from a3mailer.store.ports import DocumentReader
from a3mailer.store.rows import SUBSCRIPTION

MAX_SUBSCRIPTIONS: Final = 10_000
"""Of one account, beyond its own mailboxes."""


async def subscriptions(reader: DocumentReader, account: AccountId) -> frozenset[str]:
    """All of them."""
    return frozenset(
        row.name for row in await reader.documents(account, SUBSCRIPTION, limit=MAX_SUBSCRIPTIONS)
    )


async def subscribed(reader: DocumentReader, account: AccountId, name: str) -> bool:
    """Whether this is one."""
    return await reader.document(account, SUBSCRIPTION, name) is not None


def subscribe(account: AccountId, name: str) -> Operation:
    """Begin one; nothing changes where it is one."""
    return PutDocument(account, SUBSCRIPTION, name, "")


def unsubscribe(account: AccountId, name: str) -> Operation:
    """End one that is."""
    return RemoveDocument(account, SUBSCRIPTION, name)
