"""The checkpoint: WAL pages into the database, on a thread and connection of its own.

PASSIVE never waits for anybody and does nearly all of the work; when the log has grown past its bound the
rest is done with the writer waiting (RESTART), so that the log's file is used again from its beginning.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import apsw

from a3mailer.store.backends.sqlite.connection import open_writer
from a3mailer.telemetry.events import emit

START_PAGES: Final = 2_000
"""WAL pages that wake the thread: 8 MiB."""
BOUND_PAGES: Final = 16_000
"""WAL pages at which the writer has to wait for the rest: 64 MiB."""
IDLE_SECONDS: Final = 5.0
WAIT_MILLISECONDS: Final = 500
"""How long a RESTART waits for readers of old pages; then it is tried again later."""


class Checkpointer:
    """Runs from ``start`` to ``stop``; ``grown`` is called by the writer after each commit."""

    def __init__(self, directory: Path) -> None:
        self._connection = open_writer(directory)
        self._connection.set_busy_timeout(WAIT_MILLISECONDS)
        self._wake = threading.Event()
        self._stopping = False
        self._pages = 0
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def grown(self, pages: int) -> None:
        """The log has this many pages now."""
        self._pages = pages
        if pages >= START_PAGES:
            self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(IDLE_SECONDS)
            self._wake.clear()
            if self._pages and not self._stopping:
                self._checkpoint()

    def _checkpoint(self) -> None:
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            if self._pages >= BOUND_PAGES:
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        except apsw.BusyError:
            pass  # a long reader: the next round does it
        except apsw.Error as error:
            emit("store.checkpoint.failed", level="error", error=str(error))

    def stop(self) -> None:
        """End the thread and empty the log where nobody reads it."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            pass  # a reader is still open: the log stays, and is complete
        except apsw.Error as error:
            emit("store.checkpoint.failed", level="error", error=str(error))
        self._connection.close()
