"""Putting right what can be without losing anything: indexes, headers, fragments, counters, left-overs."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw

from a3mailer.mail.errors import MailError
from a3mailer.store.backends.sqlite.apply_mail import NUMBER_BITS
from a3mailer.store.backends.sqlite.connection import HINTS, KEY_FILE, PINS, SEGMENTS, Execute, applied
from a3mailer.store.backends.sqlite.inspect_contents import Contents, fragments_of, inspect_deep
from a3mailer.store.backends.sqlite.inspect_database import breaches, inspect_database, pristine
from a3mailer.store.backends.sqlite.inspect_rows import COUNTERS, ORDER
from a3mailer.store.backends.sqlite.read_blobs import Blobs
from a3mailer.store.backends.sqlite.segments import header_block, segment_path
from a3mailer.store.backends.sqlite.texts.shelf import take_away
from a3mailer.store.upkeep import Finding, Progress

COPY_PREFIX: Final = "copy-"
"""Temporary copies of the database, in run/: ``snapshot`` makes them."""


def left_overs(directory: Path, served: bool) -> Iterator[Finding]:
    """Temporary files of processes that are gone. ``served``: the store is in use, so less is sure."""
    fresh = directory / f"{KEY_FILE}.new"
    if not served and fresh.exists():
        yield Finding("left-over", f"{KEY_FILE}.new")
    pinned = (directory / PINS).exists() and is_locked(directory / PINS)
    for path in sorted((directory / "run").glob(f"{COPY_PREFIX}*")):
        if not pinned:
            yield Finding("left-over", f"run/{path.name}")
    if not served:
        for path in sorted((directory / HINTS).glob("*.sock")):
            yield Finding("left-over", f"{HINTS}/{path.name}")


def is_locked(path: Path) -> bool:
    """Whether any process holds an flock on this file."""
    inode = f":{path.stat().st_ino} "
    locks = Path("/proc/locks").read_text(encoding="ascii")
    return any(inode in line and " FLOCK " in line for line in locks.splitlines())


def repair_files(directory: Path, found: list[Finding]) -> Iterator[Finding]:
    """Key file, headers of segments, left-overs."""
    for finding in found:
        if finding.kind == "key-file-mode":
            (directory / KEY_FILE).chmod(0o400)
            yield finding
        elif finding.kind == "segment-header":
            _write_header(directory, int(finding.where.split()[1], 16))
            yield finding
        elif finding.kind == "left-over":
            (directory / finding.where).unlink(missing_ok=True)
            yield finding


def _write_header(directory: Path, segment: int) -> None:
    """Sealed, because what lies behind the last known record is not known."""
    path = segment_path(directory / SEGMENTS, segment)
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.pwrite(fd, header_block(segment, os.fstat(fd).st_size, sealed=True), 0)
        os.fsync(fd)
    finally:
        os.close(fd)


def repair_database(connection: apsw.Connection, progress: Progress) -> Iterator[Finding]:
    """Indexes, order, counters. Nothing where pages are damaged: writing could make it worse."""
    found = list(inspect_database(connection, progress))
    if any(finding.kind == "database-damaged" for finding in found):
        return
    made = pristine(applied(connection))
    for finding in found:
        if finding.kind == "index-missing":
            connection.execute(made[finding.where][1])
            yield finding
        elif finding.kind == "index-damaged":
            connection.execute(f'REINDEX "{finding.where}"')
            yield finding
    for rule in (*ORDER, *COUNTERS):
        broken = list(breaches(connection, rule))
        if broken:
            with connection:
                for statement in rule.repair:
                    connection.execute(statement)
            yield from broken


_WITHOUT: Final = "SELECT account, email, blob FROM held WHERE id NOT IN (SELECT id FROM fragments)"
_MAKE: Final = """
    INSERT INTO fragments (envelope, bodystructure, parts, preview, subject, sent_date, has_attachment, size,
        lineage, id, blob, copies) VALUES (?,?,?,?,?,?,?,?,?,?,?,1)"""
_NOT_HOME: Final = "UPDATE messages SET copied = 1 WHERE account = ? AND email = ?"
"""The new fragments do not say where the email lies."""
_MAKE_AGAIN: Final = """
    UPDATE fragments SET envelope=?, bodystructure=?, parts=?, preview=?, subject=?, sent_date=?,
        has_attachment=?, size=?, lineage=?, smime=NULL WHERE id=?"""


def repair_fragments(
    directory: Path, connection: apsw.Connection, blobs: Blobs, contents: Contents, progress: Progress
) -> Iterator[Finding]:
    """Make missing and differing fragments again from their contents.

    The account's index of texts is taken away first: it was made without them, or of wrong ones."""
    execute: Execute = connection.execute
    with asyncio.Runner() as runner:
        for account, email, blob in execute(_WITHOUT).fetchall():
            with contextlib.suppress(MailError):
                fresh = fragments_of(runner.run(blobs.octets(account, blob)))
                take_away(directory, account)
                execute(_MAKE, (*fresh, account << NUMBER_BITS | email, blob))
                execute(_NOT_HOME, (account, email))
                yield Finding("fragments-missing", f"account {account} email {email}")
    found = list(inspect_deep(connection, blobs, contents.bad, progress))
    with asyncio.Runner() as runner:
        for finding in found:
            if finding.kind == "fragments-differ":
                _, account, _, email = finding.where.split()
                number = int(account) << NUMBER_BITS | int(email)
                (blob,) = execute("SELECT blob FROM fragments WHERE id=?", (number,)).fetchone()
                take_away(directory, int(account))
                execute(_MAKE_AGAIN, (*fragments_of(runner.run(blobs.octets(int(account), blob))), number))
                yield finding
