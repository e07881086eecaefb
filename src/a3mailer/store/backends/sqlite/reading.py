"""Reading the mail of a data directory for a command: beside a running server, or where none runs.

What cannot be read for damage of the database is ``DamagedContent`` here, so that reading goes on behind it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw

from a3mailer.keys.kek import BadKeyFile
from a3mailer.mail.errors import DamagedContent
from a3mailer.mail.ids import AccountId, BlobId, MailboxId, Uid
from a3mailer.runtime.clock import SystemClock
from a3mailer.store.backends.sqlite.connection import SEGMENTS
from a3mailer.store.backends.sqlite.inspect_database import UNREADABLE
from a3mailer.store.backends.sqlite.keyring import Keys
from a3mailer.store.backends.sqlite.read_blobs import Blobs
from a3mailer.store.backends.sqlite.read_documents import ReadDocuments
from a3mailer.store.backends.sqlite.read_mail import Readers, ReadMail
from a3mailer.store.ports import StoreUnusable
from a3mailer.store.rows import Columns, Document, Mailbox, Message


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (*UNREADABLE, ValueError, TypeError) as error:  # the latter: a column of another type
        raise DamagedContent(f"the database: {error}") from error


class MailOnDisk(ReadMail, ReadDocuments):
    """``store.ports.MailReader`` and ``DocumentReader`` over the files. One thread."""

    def __init__(self, readers: Readers, blobs: Blobs, keys: Keys) -> None:
        ReadMail.__init__(self, readers, blobs)
        ReadDocuments.__init__(self, readers.main, SystemClock(), keys)

    async def document(self, account: AccountId, kind: str, name: str) -> Document | None:
        with _readable():
            return await super().document(account, kind, name)

    async def documents(
        self, account: AccountId, kind: str, prefix: str = "", limit: int = 1000, after: str = ""
    ) -> tuple[Document, ...]:
        with _readable():
            return await super().documents(account, kind, prefix, limit, after)

    async def mailboxes(self, account: AccountId) -> tuple[Mailbox, ...]:
        with _readable():
            return await super().mailboxes(account)

    async def columns(self, account: AccountId, mailbox: MailboxId) -> tuple[Mailbox, Columns]:
        with _readable():
            return await super().columns(account, mailbox)

    async def messages(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[Uid]
    ) -> tuple[Message, ...]:
        with _readable():
            return await super().messages(account, mailbox, uids)

    async def contents(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[int]
    ) -> dict[int, bytes | None]:
        with _readable():
            return await super().contents(account, mailbox, uids)

    async def octets(self, account: AccountId, blob: BlobId, start: int = 0, end: int | None = None) -> bytes:
        with _readable():
            return await super().octets(account, blob, start, end)


@contextlib.contextmanager
def reading(directory: Path) -> Iterator[MailOnDisk]:
    """Errors: StoreUnusable."""
    with contextlib.ExitStack() as undo:
        try:
            readers = Readers(directory)
            undo.callback(readers.close)
            keys = Keys(directory, readers.main)
            blobs = Blobs(directory / SEGMENTS, readers.main, keys)
        except (BadKeyFile, apsw.Error) as error:
            raise StoreUnusable(str(error)) from error
        undo.callback(blobs.close)
        yield MailOnDisk(readers, blobs, keys)
