"""Making a data directory's store, and opening it for the one writer."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from a3mailer.keys.kek import BadKeyFile, KeyRing
from a3mailer.keys.wrap import new_key
from a3mailer.mail.ids import DEFAULT_TENANT, SYSTEM_ACCOUNT
from a3mailer.runtime.clock import Clock
from a3mailer.store.backends.sqlite.connection import (
    DATABASE,
    HINTS,
    KEY_FILE,
    SEGMENTS,
    migrate,
    open_writer,
)
from a3mailer.store.backends.sqlite.sealed_documents import seal_old
from a3mailer.store.backends.sqlite.segments import FREE
from a3mailer.store.backends.sqlite.unsynced import put_back
from a3mailer.store.ports import StoreUnusable

LOCK: Final = "run/writer.lock"


@dataclass(frozen=True, slots=True)
class Opened:
    """A store opened for writing; ``lock`` is held until the descriptor is closed."""

    connection: apsw.Connection
    ring: KeyRing
    lock: int


def open_for_writing(directory: Path, clock: Clock) -> Opened:
    """The writer's connection, migrated, and the key ring; makes what is missing in a new directory.

    Another living writer of this directory is an error: StoreUnusable, as are a key file that is gone
    and a database this version cannot read."""
    for name in (SEGMENTS, f"{SEGMENTS}/{FREE}", "run", HINTS):
        (directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = take_lock(directory)
    try:
        ring = _ring(directory, fresh=not (directory / DATABASE).exists())
        connection = open_writer(directory)
        migrate(connection, int(clock.now()))
        _make_owners(connection, ring, int(clock.now()))
        seal_old(connection, ring)
        _rewrite_log(connection)
        put_back(connection, directory / SEGMENTS)
    except BaseException:
        os.close(lock)
        raise
    return Opened(connection, ring, lock)


def _rewrite_log(connection: apsw.Connection) -> None:
    """Move what the last writer left in the log into the database, with a sync of its own.

    After a sync that failed the kernel may hold pages for clean that never reached the disk: writing them
    again elsewhere is the only way to be sure. Errors: StoreUnusable."""
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.BusyError:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    except apsw.Error as error:
        raise StoreUnusable(f"the database cannot be written: {error}") from None


def take_lock(directory: Path) -> int:
    """The descriptor that holds the writer's lock. Errors: StoreUnusable."""
    fd = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise StoreUnusable(f"{directory}: another process writes to this store") from None
    return fd


def _ring(directory: Path, fresh: bool) -> KeyRing:
    path = directory / KEY_FILE
    if fresh and not path.exists():
        ring = KeyRing.generate()
        ring.save(path)
        return ring
    try:
        return KeyRing.load(path)
    except BadKeyFile as error:
        raise StoreUnusable(str(error)) from None


def _make_owners(connection: apsw.Connection, ring: KeyRing, now: int) -> None:
    """The first tenant, and the account the system's own mail belongs to."""
    if connection.execute("SELECT 1 FROM accounts WHERE account=?", (SYSTEM_ACCOUNT,)).fetchone():
        return
    with connection:
        connection.execute(
            "INSERT INTO tenants (tenant, name, key_id, wrapped) VALUES (?,'default',?,?)",
            (DEFAULT_TENANT, ring.current, ring.wrap(b"tenant", DEFAULT_TENANT, new_key())),
        )
        connection.execute(
            "INSERT INTO accounts (account, tenant, created, address, kind, display_name, role)"
            " VALUES (?,?,?,'','system','','system')",
            (SYSTEM_ACCOUNT, DEFAULT_TENANT, now),
        )
        connection.execute(
            "INSERT INTO account_keys (account, key_id, wrapped) VALUES (?,?,?)",
            (SYSTEM_ACCOUNT, ring.current, ring.wrap(b"account", SYSTEM_ACCOUNT, new_key())),
        )
