"""The index of a message's parts (``mail.message.MessageIndex``), made anew where the kept one is damaged."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from a3mailer.mail.ids import AccountId, BlobId
from a3mailer.mail.message import MessageIndex, index
from a3mailer.store.rows import Fragments

NOTHING: Final = index(b"")
"""Of a message whose octets are not there."""


class Reader(Protocol):
    """Who reads the octets."""

    async def octets(self, account: AccountId, blob: BlobId, start: int = 0, end: int | None = None) -> bytes:
        """As ``MailReader``."""
        ...


async def index_of(reader: Reader, account: AccountId, row: Fragments) -> MessageIndex:
    """Until doctor mends it, of the octets. Errors, then: DamagedContent, NoSuchMessage."""
    try:
        return MessageIndex.unpack(row.index)
    except ValueError:
        octets = await reader.octets(account, row.blob)
        return await asyncio.to_thread(index, octets)
