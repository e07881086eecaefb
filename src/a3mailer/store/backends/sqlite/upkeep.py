"""``SqliteUpkeep``: the doors of ``store/upkeep.py`` over a data directory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import apsw

from a3mailer.keys.kek import BadKeyFile
from a3mailer.keys.wrap import KeyMismatch
from a3mailer.runtime.clock import Clock, SystemClock
from a3mailer.store.backends.sqlite.connection import (
    DATABASE,
    HINTS,
    SEGMENTS,
    applied,
    migrate,
    migrations,
    open_writer,
)
from a3mailer.store.backends.sqlite.hints import is_bound
from a3mailer.store.backends.sqlite.inspect_contents import Contents, inspect_deep
from a3mailer.store.backends.sqlite.inspect_database import (
    UNREADABLE,
    add_views,
    inspect_database,
    open_database,
)
from a3mailer.store.backends.sqlite.inspect_keys import inspect_key_file, inspect_keys
from a3mailer.store.backends.sqlite.keyring import Keys
from a3mailer.store.backends.sqlite.prepare import LOCK, take_lock
from a3mailer.store.backends.sqlite.read_blobs import Blobs
from a3mailer.store.backends.sqlite.reading import MailOnDisk, reading
from a3mailer.store.backends.sqlite.repair import (
    is_locked,
    left_overs,
    repair_database,
    repair_files,
    repair_fragments,
)
from a3mailer.store.backends.sqlite.restore import Prover, Restorer
from a3mailer.store.backends.sqlite.snapshot import SqliteSnapshot, snapshot
from a3mailer.store.backends.sqlite.texts.counting import counted_all
from a3mailer.store.backends.sqlite.texts.shelf import FOLDER as TEXTS
from a3mailer.store.backends.sqlite.unsynced import put_back
from a3mailer.store.ports import StoreUnusable
from a3mailer.store.texts import TextCounts
from a3mailer.store.upkeep import Finding, Progress


class SqliteUpkeep:
    """``store.upkeep.Upkeep`` of one data directory. Nothing is opened before it is needed."""

    def __init__(self, directory: Path, clock: Clock | None = None) -> None:
        self._directory = directory
        self._clock = clock or SystemClock()

    @property
    def own(self) -> tuple[str, ...]:
        """See ``Upkeep.own``."""
        return (SEGMENTS, TEXTS, DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm")

    # --- finding -----------------------------------------------------------------------------------

    def inspect(self, deep: bool, progress: Progress) -> Iterator[Finding]:
        """See ``Upkeep.inspect``."""
        yield from inspect_key_file(self._directory)
        yield from left_overs(self._directory, self._is_served())
        connection = open_database(self._directory)
        if isinstance(connection, Finding):
            yield connection
            return
        try:
            yield from inspect_database(connection, progress)
            contents = Contents(self._directory, connection)
            yield from contents.inspect(progress)
            yield from inspect_keys(self._directory, connection, progress)
            if deep and (blobs := self._blobs(connection)) is not None:
                yield from inspect_deep(connection, blobs, contents.bad, progress)
                blobs.close()
        finally:
            connection.close()

    def _blobs(self, connection: apsw.Connection) -> Blobs | None:
        """For opening contents; None without a usable key file, which is a finding of its own."""
        try:
            keys = Keys(self._directory, connection)
        except (BadKeyFile, KeyMismatch):
            return None
        return Blobs(self._directory / SEGMENTS, connection, keys)

    def _is_served(self) -> bool:
        """The writer holds its lock, or (while it is being replaced) a worker its socket."""
        path = self._directory / LOCK
        if path.exists() and is_locked(path):
            return True
        return any(is_bound(path) for path in (self._directory / HINTS).glob("*.sock"))

    # --- mending -----------------------------------------------------------------------------------

    def repair(self, progress: Progress) -> Iterator[Finding]:
        """See ``Upkeep.repair``. Errors: StoreUnusable."""
        (self._directory / "run").mkdir(mode=0o700, exist_ok=True)
        lock = take_lock(self._directory)
        try:
            yield from self._repair(progress)
        finally:
            os.close(lock)

    def _repair(self, progress: Progress) -> Iterator[Finding]:
        found = [*inspect_key_file(self._directory), *left_overs(self._directory, served=False)]
        opened = open_database(self._directory)
        if isinstance(opened, Finding):
            yield from repair_files(self._directory, found)
            return
        with contextlib.suppress(StoreUnusable), contextlib.closing(open_writer(self._directory)) as writer:
            put_back(writer, self._directory / SEGMENTS)
        contents = Contents(self._directory, opened)
        found += [finding for finding in contents.inspect(progress) if finding.kind == "segment-header"]
        opened.close()
        yield from repair_files(self._directory, found)
        connection = open_writer(self._directory)
        try:
            if applied(connection) < migrations()[-1][0]:
                with contextlib.suppress(StoreUnusable, apsw.Error):  # they are damaged: inspect says so
                    migrate(connection, int(self._clock.now()))
            add_views(connection)
            blobs = self._blobs(connection)
            damaged = any(f.kind == "database-damaged" for f in inspect_database(connection, progress))
            if blobs is not None and not damaged:
                yield from repair_fragments(self._directory, connection, blobs, contents, progress)
                blobs.close()
            yield from repair_database(connection, progress)
        finally:
            connection.close()

    def texts(self) -> TextCounts | None:
        """See ``Upkeep.texts``."""
        connection = open_database(self._directory)
        if isinstance(connection, Finding):
            return None
        with contextlib.closing(connection), contextlib.suppress(*UNREADABLE):
            return counted_all(self._directory, connection.execute)
        return None

    # --- copying -----------------------------------------------------------------------------------

    def snapshot(self) -> contextlib.AbstractContextManager[SqliteSnapshot]:
        """See ``Upkeep.snapshot``."""
        return snapshot(self._directory)

    def reading(self) -> contextlib.AbstractContextManager[MailOnDisk]:
        """See ``Upkeep.reading``."""
        return reading(self._directory)

    @contextlib.contextmanager
    def restoring(self) -> Iterator[Restorer]:
        """See ``Upkeep.restoring``."""
        with contextlib.closing(Restorer(self._directory, int(self._clock.now()))) as receiver:
            yield receiver

    @contextlib.contextmanager
    def proving(self) -> Iterator[Prover]:
        """See ``Upkeep.proving``."""
        with contextlib.closing(Prover()) as receiver:
            yield receiver
