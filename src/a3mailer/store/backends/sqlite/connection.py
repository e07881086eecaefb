"""Opening the database: pragmas, and the numbered migrations with their checksums.

The writer's connection is WAL with synchronous=FULL: a commit that returned survives a power cut
(NORMAL lost acknowledged rows in 6 of 6). Checkpoints never happen on the commit path.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import apsw
from blake3 import blake3

import a3mailer.store.schema
from a3mailer.store.ports import StoreUnusable

DATABASE: Final = "store.db"
SEGMENTS: Final = "segments"
KEY_FILE: Final = "keys/kek"
HINTS: Final = "run/hints"
PINS: Final = "run/pins"
"""A lock held (shared) while segments must stay what they are, and taken (alone) to free or recycle one."""

PAGE_SIZE: Final = 4096
READER_CACHE_KIB: Final = 16 * 1024
STATEMENTS_CACHED: Final = 200
BUSY_MILLISECONDS: Final = 10_000
"""How long a statement waits for a lock; only a checkpoint ever holds one against the writer."""


class Rows(Protocol):
    """What a statement gives: rows are tuples as the statement names them."""

    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


Execute = Callable[..., Rows]
"""``execute`` of a connection: SQL, then bindings."""


def open_writer(directory: Path) -> apsw.Connection:
    """The one connection that changes anything. Errors: StoreUnusable."""
    (directory / DATABASE).touch(mode=0o600)  # its log and index files take the mode from it
    connection = _open(directory / DATABASE, apsw.SQLITE_OPEN_READWRITE)
    connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
    if connection.pragma("journal_mode", "wal") != "wal":
        raise StoreUnusable(f"{directory}: the file system does not allow a write-ahead log")
    # one call each: of several statements in one text those behind the first that gives a row are not run
    connection.pragma("synchronous", "FULL")
    connection.pragma("wal_autocheckpoint", 0)
    connection.pragma("secure_delete", 1)
    return connection


def open_reader(directory: Path) -> apsw.Connection:
    """A connection that can change nothing. Errors: StoreUnusable."""
    connection = _open(directory / DATABASE, apsw.SQLITE_OPEN_READWRITE)
    connection.execute(
        f"PRAGMA query_only=ON; PRAGMA cache_size=-{READER_CACHE_KIB}; PRAGMA temp_store=MEMORY"
    )
    return connection


def _open(path: Path, flags: int) -> apsw.Connection:
    try:
        connection = apsw.Connection(
            str(path), flags=flags | apsw.SQLITE_OPEN_NOMUTEX, statementcachesize=STATEMENTS_CACHED
        )
    except apsw.Error as error:
        raise StoreUnusable(f"{path}: {error}") from None
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    # plans do not depend on bound values: without it every join is prepared anew for each (7 us, STAT4)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    return connection


def migrations() -> tuple[tuple[int, str, str], ...]:
    """(number, name, SQL) of every migration this code has, in order."""
    folder = Path(next(iter(a3mailer.store.schema.__path__)))
    found = []
    for path in sorted(folder.glob("[0-9]*.sql")):
        number, _, name = path.stem.partition("_")
        found.append((int(number), name, path.read_text(encoding="utf-8")))
    return tuple(found)


def checksum(sql: str) -> bytes:
    """What the database remembers of an applied migration."""
    return blake3(sql.encode()).digest()


def migrate(connection: apsw.Connection, now: int) -> int:
    """Apply what is missing, all in one transaction; the number of applied ones. Errors: StoreUnusable.

    ``now`` is noted beside them, seconds since the epoch."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL,"
        " checksum BLOB NOT NULL, applied INTEGER NOT NULL)"
    )
    applied = check_migrations(connection)
    missing = [m for m in migrations() if m[0] > applied]
    if not missing:
        return 0
    with connection:
        for number, name, sql in missing:
            connection.execute(sql)
            connection.execute(
                "INSERT INTO migrations VALUES (?, ?, ?, ?)", (number, name, checksum(sql), now)
            )
    return len(missing)


def applied(connection: apsw.Connection) -> int:
    """The highest migration that was applied; of a database that does not say, the newest there is."""
    newest = migrations()[-1][0]
    with contextlib.suppress(apsw.Error):
        row = connection.execute("SELECT max(number) FROM migrations").fetchone()
        if row is not None and isinstance(row[0], int) and row[0] < newest:
            return row[0]
    return newest


def check_migrations(connection: apsw.Connection) -> int:
    """The highest applied number. Errors: StoreUnusable when one is unknown or was made by other SQL."""
    known = {number: (name, checksum(sql)) for number, name, sql in migrations()}
    highest = 0
    execute: Execute = connection.execute
    rows = execute("SELECT number, name, checksum FROM migrations ORDER BY number").fetchall()
    for number, name, found in rows:
        if number not in known:
            raise StoreUnusable(f"the store was written by a newer version (migration {number} {name})")
        if known[number][1] != found:
            raise StoreUnusable(f"migration {number} {name} of the store is not the one this version has")
        highest = max(highest, number)
    return highest
