"""Export: the mail of accounts as files that any mail program reads, mailbox by mailbox, and their scripts.

One mail that cannot be read never stops the rest: it is named with the reason.  Expunged mail of the vault is
not exported.  Nothing is left of an export that did not come to its end.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from a3mailer.mail.errors import DamagedContent, MailError
from a3mailer.mail.ids import AccountId, Uid
from a3mailer.ops.mailfiles import FORMS, Files
from a3mailer.ops.scriptfiles import write_scripts
from a3mailer.store.ports import DocumentReader, MailReader
from a3mailer.store.rows import Columns, Mailbox, Message
from a3mailer.store.upkeep import Progress

AT_ONCE: Final = 100
"""Mails read together,"""
OCTETS_AT_ONCE: Final = 8 << 20
"""and how many octets; a larger mail is read alone."""


SCRIPTS: Final = "sieve"
"""The folder of the accounts' scripts: no address, as it has no @."""


class Reader(MailReader, DocumentReader, Protocol):
    """What is read here."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A mail that could not be exported, and why; without mailbox or uid: all of it."""

    address: str
    mailbox: str
    uid: int
    text: str

    def __str__(self) -> str:
        where = " ".join(filter(None, (self.address, self.mailbox, f"uid {self.uid}" if self.uid else "")))
        return f"not exported: {where}: {self.text}"


@dataclass(frozen=True, slots=True)
class Box:
    """One exported mailbox. ``path`` is below the folder of the export."""

    address: str
    mailbox: str
    path: str
    messages: int
    octets: int


@dataclass(frozen=True, slots=True)
class Exported:
    """What was exported, and what could not be."""

    mailboxes: tuple[Box, ...]
    scripts: tuple[str, ...]
    """Files of scripts, below the folder of the export."""
    missed: tuple[Missed, ...]


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder that only its owner reads, and that is ``target`` when all went well.

    Errors: FileExistsError, OSError."""
    if target.exists() or target.is_symlink():
        raise FileExistsError(target)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    beside.mkdir(mode=0o700)
    try:
        yield beside
        os.sync()
        beside.rename(target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


async def export(
    reader: Reader, accounts: Iterable[tuple[AccountId, str]], folder: Path, form: str, progress: Progress
) -> Exported:
    """Write each (account, address) into a folder of its own, its scripts beside. Errors: OSError."""
    boxes: list[Box] = []
    missed: list[Missed] = []
    scripts: list[str] = []
    for account, address in accounts:
        place = folder / folder_name(address)
        place.mkdir(mode=0o700)
        work = _Export(reader, account, address, FORMS[form](place), missed.append)
        boxes += [box async for box in work.run(progress)]
        below = f"{SCRIPTS}/{folder_name(address)}"
        try:
            written, lost = await write_scripts(reader, account, folder / below)
        except DamagedContent as error:
            written, lost = [], [error]
        scripts += [f"{below}/{name}" for name in written]
        missed += [Missed(address, "", 0, str(error)) for error in lost]
    return Exported(tuple(boxes), tuple(scripts), tuple(missed))


def folder_name(address: str) -> str:
    """An address as one level of a path: the two characters that cannot be in one as %XX."""
    return address.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")


class _Export:
    """One account's."""

    def __init__(
        self,
        reader: MailReader,
        account: AccountId,
        address: str,
        files: Files,
        miss: Callable[[Missed], None],
    ) -> None:
        self._reader = reader
        self._account = account
        self._address = address
        self._files = files
        self._miss = miss

    def _missed(self, error: MailError, mailbox: str = "", uid: int = 0) -> None:
        self._miss(Missed(self._address, mailbox, uid, str(error) or type(error).__name__))

    async def run(self, progress: Progress) -> AsyncIterator[Box]:
        """Its mailboxes as they are done."""
        try:
            boxes = await self._reader.mailboxes(self._account)
        except MailError as error:
            self._missed(error)
            return
        total = sum(box.messages for box in boxes)
        before = 0
        for box in boxes:
            try:
                _, columns = await self._reader.columns(self._account, box.id)
            except MailError as error:  # one that was deleted meanwhile among them
                self._missed(error, box.name)
                continue
            yield await self._box(box, columns, progress, before, total)
            before += len(columns.uids)

    async def _box(self, box: Mailbox, columns: Columns, progress: Progress, before: int, total: int) -> Box:
        count = octets = done = 0
        with self._files.mailbox(box.name) as (path, add):
            for uids in batches(columns):
                for row, content in await self._read(box, uids):
                    add(row, content)
                    count += 1
                    octets += len(content)
                done += len(uids)
                progress(self._address, before + done, total)
        name = f"{folder_name(self._address)}/{path}".rstrip("/")
        return Box(self._address, box.name, name, count, octets)

    async def _read(self, box: Mailbox, uids: Sequence[Uid]) -> list[tuple[Message, bytes]]:
        """Those that can be read; the others are named, unless they are gone."""
        try:
            rows = await self._reader.messages(self._account, box.id, uids)
            contents = await self._reader.contents(self._account, box.id, uids)
        except DamagedContent as error:
            if len(uids) == 1:
                self._missed(error, box.name, uids[0])
                return []
            return [found for uid in uids for found in await self._read(box, [uid])]
        found = []
        for row in rows:
            content = contents.get(row.uid)
            if content is None and row.uid in contents:
                content = await self._alone(box, row)
            if content is not None:
                found.append((row, content))
        return found

    async def _alone(self, box: Mailbox, row: Message) -> bytes | None:
        """Once more by itself: it may have been moved just now; if not, this says why it cannot be read."""
        try:
            return await self._reader.octets(self._account, row.blob)
        except MailError as error:
            self._missed(error, box.name, row.uid)
            return None


def batches(columns: Columns) -> Iterator[list[Uid]]:
    """Uids to be read together: few enough, and no more octets than fit."""
    batch: list[Uid] = []
    octets = 0
    for uid, size in zip(columns.uids, columns.sizes, strict=True):
        if batch and (len(batch) == AT_ONCE or octets + size > OCTETS_AT_ONCE):
            yield batch
            batch, octets = [], 0
        batch.append(Uid(uid))
        octets += size
    if batch:
        yield batch
