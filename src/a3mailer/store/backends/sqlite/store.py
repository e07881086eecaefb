"""The SQLite store as a worker, a command or a test holds it: reads of its own, writes through the writer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from a3mailer.config.tree import Settings
from a3mailer.mail.changes import EVERYTHING, Change
from a3mailer.mail.errors import StoreFull
from a3mailer.runtime.clock import Clock, SystemClock
from a3mailer.store.backends.sqlite.apply import DIRECTORY, GROWING
from a3mailer.store.backends.sqlite.apply_directory import DIRECTORY_HINT
from a3mailer.store.backends.sqlite.compaction import GRACE_SECONDS, Compaction
from a3mailer.store.backends.sqlite.connection import HINTS, SEGMENTS
from a3mailer.store.backends.sqlite.extents import PART_FROM
from a3mailer.store.backends.sqlite.handover import CARRIED_MOST, Carried, Work
from a3mailer.store.backends.sqlite.hints import HintReceiver
from a3mailer.store.backends.sqlite.keyring import Keys
from a3mailer.store.backends.sqlite.link import Link, StaleBlob
from a3mailer.store.backends.sqlite.read_account import ReadAccount
from a3mailer.store.backends.sqlite.read_blobs import Blobs
from a3mailer.store.backends.sqlite.read_directory import ReadDirectory
from a3mailer.store.backends.sqlite.read_documents import ReadDocuments
from a3mailer.store.backends.sqlite.read_finished import ReadFinished
from a3mailer.store.backends.sqlite.read_mail import Readers, ReadMail
from a3mailer.store.backends.sqlite.read_reports import ReadReports
from a3mailer.store.backends.sqlite.read_seen import ReadSeen
from a3mailer.store.backends.sqlite.read_sharing import ReadSharing
from a3mailer.store.backends.sqlite.sealing import Sealing
from a3mailer.store.backends.sqlite.segments import Record, SegmentWriter
from a3mailer.store.backends.sqlite.splitting import Prepared, Splitting
from a3mailer.store.backends.sqlite.texts.find import ReadTexts
from a3mailer.store.backends.sqlite.texts.indexing import Extract, Indexing, nothing
from a3mailer.store.backends.sqlite.training import Training
from a3mailer.store.backends.sqlite.writer import WriterLoop, identity_of_this
from a3mailer.store.operations import (
    Append,
    Enqueue,
    EraseEmails,
    Operation,
    PutDocument,
    PutUpload,
    RemoveAccount,
    ResetAccount,
    Result,
)
from a3mailer.store.ports import Transaction
from a3mailer.store.rows import SEALED_KINDS
from a3mailer.telemetry.metrics import count

ROOM_SECONDS: Final = 0.5
"""How long a look at the free disk space is believed."""
VERSION_SECONDS: Final = 2.0
"""How often a worker looks whether it missed a hint."""
VERSION_GRACE: Final = 0.2
"""How long a hint may be on its way before it counts as lost."""


ERASING: Final = frozenset((EraseEmails, RemoveAccount, ResetAccount))
"""Operations after which nothing may be left of what was erased, in the index of texts neither."""


class SqliteStore(
    ReadMail,
    ReadTexts,
    ReadAccount,
    ReadDirectory,
    ReadFinished,
    ReadDocuments,
    ReadReports,
    ReadSharing,
    ReadSeen,
):
    """A backend of ``store.ports.Store``. One loop. Made by ``open``."""

    def __init__(self, directory: Path, settings: Settings, process: str, clock: Clock) -> None:
        self._directory = directory
        self._all_settings = settings
        self._settings = settings.store
        self._clock = clock
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._watchers: dict[object, Callable[[Change], None]] = {}
        self._solo: tuple[WriterLoop, threading.Thread] | None = None
        self._room_until = 0.0
        self._room = True
        self._timer: asyncio.TimerHandle | None = None
        self._undo = contextlib.AsyncExitStack()

    @classmethod
    async def open(
        cls,
        directory: Path,
        settings: Settings,
        writer: Path | None,
        process: str = "alone",
        clock: Clock | None = None,
    ) -> SqliteStore:
        """Connect to the writer listening at ``writer``; None runs it as a thread of this process.

        Errors: StoreUnusable, TryLater when no writer answers."""
        store = cls(directory, settings, process, clock or SystemClock())
        async with contextlib.AsyncExitStack() as undo:
            connect = store._run_writer(undo) if writer is None else _connector(writer)
            await store._open(connect, undo)
            store._undo = undo.pop_all()
        return store

    def _run_writer(self, undo: contextlib.AsyncExitStack) -> Callable[[], socket.socket]:
        """The writer as a thread; how to connect to it, once."""
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        undo.callback(near.close)
        try:
            loop = WriterLoop(self._directory, self._all_settings, None, (far,), self._clock)
        except BaseException:
            far.close()
            raise
        thread = threading.Thread(target=loop.run, name="writer", daemon=True)
        thread.start()
        self._solo = (loop, thread)
        undo.push_async_callback(self._stop_writer, loop, thread)
        ends = [near]
        return lambda: _take(ends)

    async def _stop_writer(self, loop: WriterLoop, thread: threading.Thread) -> None:
        if thread.is_alive():
            loop.stop()
        await self._loop.run_in_executor(None, thread.join)

    async def _open(self, connect: Callable[[], socket.socket], undo: contextlib.AsyncExitStack) -> None:
        segments = SegmentWriter(self._directory / SEGMENTS, self._settings.segment_size, self._clock)
        self._link = Link(self._loop, segments, connect, identity_of_this(), self._welcomed, self._heard)
        self._hints = HintReceiver(self._directory / HINTS, self._link.session)
        undo.callback(self._hints.close)
        undo.push_async_callback(self._link.close)
        await self._link.open()
        self._readers = Readers(self._directory)
        undo.callback(self._readers.close)
        self._keys = Keys(self._directory, self._readers.main)
        blobs = Blobs(self._directory / SEGMENTS, self._readers.main, self._keys)
        ReadMail.__init__(self, self._readers, blobs)
        ReadAccount.__init__(self, self._readers)
        ReadTexts.__init__(self, self._directory, self._keys, self._readers.main.execute)
        ReadDirectory.__init__(self, self._readers.main)
        ReadFinished.__init__(self, self._readers.main)
        ReadReports.__init__(self, self._readers.main)
        ReadSharing.__init__(self, self._readers.main)
        ReadSeen.__init__(self, self._readers)
        ReadDocuments.__init__(self, self._readers.main, self._clock, self._keys)
        self._sealing = Sealing(self._settings, self._readers.main, self._keys, blobs, self._clock)
        self._splitting = Splitting(self._sealing, self._readers.main, self._keys)
        undo.callback(blobs.close)
        self._loop.add_reader(self._hints.socket.fileno(), self._hear_one)
        undo.callback(self._loop.remove_reader, self._hints.socket.fileno())
        self._timer = self._loop.call_later(VERSION_SECONDS, self._check_version)

    async def close(self) -> None:
        """Finish what was handed over, then let go of everything."""
        await self._link.close()
        if self._timer is not None:
            self._timer.cancel()
        await self._undo.aclose()

    # --- writing -----------------------------------------------------------------------------------

    async def commit(self, transaction: Transaction) -> tuple[Result, ...]:
        """Durable when it returns (``store.ports.Writer``)."""
        kinds = {type(operation) for operation in transaction.operations}
        if not kinds.isdisjoint(GROWING) and not self._has_room():
            raise StoreFull("the disk is nearly full")
        if PutDocument in kinds:
            operations = tuple([self._sealed(operation) for operation in transaction.operations])
            transaction = msgspec.structs.replace(transaction, operations=operations)
        try:
            results = await self._hand_over(transaction, known=True)
        except StaleBlob:
            self._sealing.forget()
            results = await self._hand_over(transaction, known=False)
        if not kinds.isdisjoint(DIRECTORY):
            self._forget()
        if not kinds.isdisjoint(ERASING):
            for operation in transaction.operations:
                if isinstance(operation, (EraseEmails, RemoveAccount, ResetAccount)):
                    self.forget_texts(operation.account)
        return results

    def _sealed(self, operation: Operation) -> Operation:
        """As it may be written. Errors: NoSuchAccount."""
        if not isinstance(operation, PutDocument) or operation.kind not in SEALED_KINDS:
            return operation
        value = self._keys.seal_document(operation.account, operation.kind, operation.name, operation.value)
        return msgspec.structs.replace(operation, value=value)

    async def _hand_over(self, transaction: Transaction, known: bool) -> tuple[Result, ...]:
        prepared: list[Prepared] = []
        parts: list[Prepared] = []
        for number, content in enumerate(transaction.contents):
            accounts = _holders(transaction, number)
            if len(content.octets) <= PART_FROM:
                prepared.append(await self._sealing.prepare(content, transaction.tenant, accounts, known))
            else:
                first = len(transaction.contents) + len(parts)
                made = await self._splitting.prepare(content, transaction.tenant, accounts, known, first)
                prepared.append(made[0])
                parts += made[1:]
        prepared += parts
        records: list[tuple[int, Record]] = []
        carried: tuple[Carried, ...] = ()
        small = True
        for number, (_, record) in enumerate(prepared):
            if record is not None:
                records.append((number, record))
                small = small and record.covered == record.length <= CARRIED_MOST
        if small:
            carried = tuple(
                [Carried(number, record.digest, bytes(record.payload[0])) for number, record in records]
            )
            records = []
        work = Work(
            transaction.tenant,
            transaction.operations,  # type: ignore[arg-type]
            tuple([piece for piece, _ in prepared]),
            transaction.fingerprint,
            carried,
        )
        return await self._link.hand_over(work, records)

    async def compact(self, seconds: float, grace: float = GRACE_SECONDS) -> int:
        """Free what is mostly dead, for about so long; octets of files freed (``compaction``)."""
        work = Compaction(self._directory, self._clock, self._sql, self._link.write, self._commit_one)
        return await work.run(seconds, grace)

    async def train_dictionaries(self) -> int:
        """Train compression dictionaries where it is due; how many (``training``)."""
        if not self._settings.compression:
            return 0
        work = Training(self._clock, self._sql, self._keys, self._blobs, self._commit_one)
        return await work.run()

    def indexing(self, extract: Extract = nothing) -> Indexing:
        """The work on the index of texts, for one process of an instance (``store.upkeep.TextKeeper``)."""
        return Indexing(
            self._directory, self._sql, self._blobs, self._keys, self._clock, extract, self._has_room
        )

    async def rotate_keys(self) -> int:
        """A fresh key-encryption key for all; how many keys were wrapped anew (``keyring``)."""
        return await self._keys.rotate(self._commit_one)

    async def _commit_one(self, operation: Operation) -> None:
        await self.commit(Transaction((operation,)))

    def _has_room(self) -> bool:
        """Whether more than the reserve is free: ``reserve_percent``, at most ``reserve_octets``."""
        now = self._loop.time()
        if now >= self._room_until:
            disk = os.statvfs(self._directory)
            reserve = min(
                disk.f_blocks * disk.f_frsize * self._settings.reserve_percent / 100,
                self._settings.reserve_octets,
            )
            self._room = disk.f_bavail * disk.f_frsize > reserve and (disk.f_favail > 0 or disk.f_files == 0)
            self._room_until = now + ROOM_SECONDS
        return self._room

    def _forget(self) -> None:
        self.forget_directory()
        self._keys.forget()
        self._blobs.forget()
        self._sealing.forget()

    # --- watching ----------------------------------------------------------------------------------

    def watch(self, heard: Callable[[Change], None]) -> Callable[[], None]:
        """See ``store.ports.Watcher``; ``EVERYTHING`` is told when hints were lost."""
        token = object()
        self._watchers[token] = heard
        return lambda: self._watchers.pop(token, None) and None

    def _welcomed(self, commits: int) -> None:
        """The writer is there, or back: whatever was done meanwhile is news."""
        if self._hints.number and commits > self._hints.number:
            self._tell([EVERYTHING])
        self._hints.number = commits

    def _heard(self) -> None:
        if changes := self._hints.receive():
            self._take(changes)

    def _hear_one(self) -> None:
        """The loop says that there is one, and says so again when there are more."""
        if changes := self._hints.receive_one():
            self._take(changes)

    def _take(self, changes: list[Change]) -> None:
        count("a3_hints_total", by=len(changes))
        self._tell(changes)

    def _tell(self, changes: list[Change]) -> None:
        for change in changes:
            if change[:2] == DIRECTORY_HINT or change == EVERYTHING:
                self._forget()
            for heard in tuple(self._watchers.values()):
                heard(change)

    def _check_version(self) -> None:
        """A number in the store ahead of what was heard, and still so a moment later: a hint was lost."""
        stored = self._version()
        if stored > self._hints.number:
            self._timer = self._loop.call_later(VERSION_GRACE, self._missed, stored)
        else:
            self._timer = self._loop.call_later(VERSION_SECONDS, self._check_version)

    def _version(self) -> int:
        return int(self._sql("SELECT number FROM commits").fetchone()[0])

    def _missed(self, stored: int) -> None:
        if self._hints.number < stored:
            self._hints.number = stored
            self._tell([EVERYTHING])
        self._timer = self._loop.call_later(VERSION_SECONDS, self._check_version)


def _take(ends: list[socket.socket]) -> socket.socket:
    if not ends:
        raise ConnectionRefusedError
    return ends.pop()


def _connector(path: Path) -> Callable[[], socket.socket]:
    """Connects through /proc: a long path does not fit a Unix socket's address."""

    def connect() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        with contextlib.ExitStack() as undo:
            undo.callback(sock.close)
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            undo.callback(os.close, folder)
            sock.connect(f"/proc/self/fd/{folder}/{path.name}")
            undo.pop_all()
            os.close(folder)
        return sock

    return connect


def _holders(transaction: Transaction, number: int) -> tuple[int, ...]:
    """The accounts that come to hold content ``number``, in order of their first mention."""
    holders: dict[int, None] = {}
    for operation in transaction.operations:
        if isinstance(operation, (Append, Enqueue, PutUpload)) and operation.content == number:
            holders[operation.account] = None
    return tuple(holders)
