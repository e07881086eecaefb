"""Making a store of a snapshot's members, or proving them without.

What is restored goes on as another store: UIDVALIDITY of every mailbox is new, so that no client takes new
mail for old; ids and modseqs begin far above what may have been given after the copy was made; the queue is
held, since what it holds may have been delivered since.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import apsw

from a3mailer.mail.errors import DamagedContent
from a3mailer.store.backends.sqlite.connection import DATABASE, HINTS, SEGMENTS, open_writer
from a3mailer.store.backends.sqlite.inspect_database import inspect_database, note_places, open_database
from a3mailer.store.backends.sqlite.segments import (
    FREE,
    HEADER,
    header_block,
    prove_record,
    segment_path,
    sync_folder,
)
from a3mailer.store.backends.sqlite.snapshot import EXTENT, EXTENTS
from a3mailer.store.upkeep import Finding, Member, Unfit, silent

IDS: Final = 1 << 20
"""How far ids of accounts, mailboxes, emails and queue entries jump."""
MODSEQS: Final = 1 << 32
"""How far modseqs jump."""
MAX_RECORD: Final = 1 << 32

_ANEW: Final = """
DELETE FROM handovers;
UPDATE sqlite_sequence SET seq = seq + :ids WHERE name = 'accounts';
UPDATE accounts SET modseq = modseq + :modseqs, tombstones_from = modseq + :modseqs,
    next_mailbox = next_mailbox + :ids, next_email = next_email + :ids, next_queue = next_queue + :ids,
    last_validity = max(last_validity, :now);
UPDATE mailboxes SET modseq = a.modseq, tombstones_from = a.modseq, uid_validity = a.last_validity
    + (SELECT count(*) FROM mailboxes o
        WHERE o.account = mailboxes.account AND o.mailbox <= mailboxes.mailbox)
    FROM accounts a WHERE a.account = mailboxes.account;
UPDATE accounts SET last_validity = b.highest
    FROM (SELECT account, max(uid_validity) AS highest FROM mailboxes GROUP BY account) b
    WHERE b.account = accounts.account;
UPDATE deliveries SET uid_validity = b.uid_validity FROM mailboxes b
    WHERE b.account = deliveries.account AND b.mailbox = deliveries.mailbox;
UPDATE queue SET held = 1, due = NULL, lease_owner = '', lease_until = 0;
"""


def extents(octets: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """(offset, record) of a segment's member. Errors: Unfit."""
    buffer = bytearray()
    for chunk in octets:
        buffer += chunk
        at = 0
        while len(buffer) - at >= EXTENT.size:
            offset, length = EXTENT.unpack_from(buffer, at)
            if not HEADER <= length < MAX_RECORD:
                raise Unfit("a segment of the copy is not what it should be")
            if len(buffer) - at - EXTENT.size < length:
                break
            at += EXTENT.size
            yield offset, bytes(buffer[at : at + length])
            at += length
        del buffer[:at]
    if buffer:
        raise Unfit("a segment of the copy ends in the middle of a record")


def segment_of(member: Member) -> int:
    """The segment a member is the copy of. Errors: Unfit."""
    folder, _, name = member.name.partition("/")
    if folder != SEGMENTS or not name.endswith(EXTENTS):
        raise Unfit(f"the copy holds {member.name}, which no store has")
    try:
        return int(name.removesuffix(EXTENTS), 16)
    except ValueError:
        raise Unfit(f"the copy holds {member.name}, which no store has") from None


class Proof:
    """Holds the records of segments against the database they came with."""

    def __init__(self, folder: Path) -> None:
        """``folder`` holds ``DATABASE``, complete."""
        opened = open_database(folder)
        if isinstance(opened, Finding):
            raise Unfit(f"the database of the copy cannot be opened: {opened.text}")
        self._connection = opened
        try:
            note_places(opened)
        except apsw.Error as error:
            opened.close()
            raise Unfit(f"the database of the copy cannot be read: {error}") from None
        self._findings: list[Finding] = []
        self._seen: set[tuple[int, int]] = set()

    def record(self, segment: int, offset: int, record: bytes) -> None:
        """One record of the copy."""
        row = self._connection.execute(
            "SELECT tenant, blob FROM places WHERE segment=? AND offset=? AND length=?",
            (segment, offset, len(record) - HEADER),
        ).fetchone()
        if row is None:
            return
        self._seen.add((segment, offset))
        tenant, blob = int(str(row[0])), row[1]
        assert isinstance(blob, bytes)
        try:
            prove_record(memoryview(record), tenant, blob, segment, offset)
        except DamagedContent as error:
            self._findings.append(Finding("record-damaged", f"content {blob.hex()}", str(error)))

    def finish(self) -> tuple[Finding, ...]:
        """Everything that is wrong with the copy."""
        rows = self._connection.execute("SELECT segment, offset, lower(hex(blob)) FROM places")
        missing = [str(blob) for segment, offset, blob in rows if (segment, offset) not in self._seen]
        self._findings += [
            Finding("content-missing", f"content {blob}", "not in the copy") for blob in missing
        ]
        return (*self._findings, *inspect_database(self._connection, silent))

    def close(self) -> None:
        self._connection.close()


class _Taker:
    """What both receivers do: the database first, then segments, all held against it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._proof: Proof | None = None

    def take(self, member: Member) -> None:
        """Errors: Unfit, OSError."""
        if member.name == DATABASE:
            with (self._folder / DATABASE).open("xb") as file:
                (self._folder / DATABASE).chmod(0o600)
                file.writelines(member.octets)
                file.flush()
                os.fsync(file.fileno())
            self._proof = Proof(self._folder)
        elif self._proof is None:
            raise Unfit("the copy does not begin with its database")
        else:
            self._take_segment(segment_of(member), member.octets, self._proof)

    def _take_segment(self, segment: int, octets: Iterable[bytes], proof: Proof) -> None:
        for offset, record in extents(octets):
            proof.record(segment, offset, record)

    def finish(self) -> tuple[Finding, ...]:
        """Errors: Unfit."""
        if self._proof is None:
            raise Unfit("the copy holds no database")
        return self._proof.finish()

    def close(self) -> None:
        if self._proof is not None:
            self._proof.close()


class Prover(_Taker):
    """Keeps nothing but the database, in a temporary folder."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="a3mailer-verify-")
        super().__init__(Path(self._temporary.name))

    def close(self) -> None:
        super().close()
        self._temporary.cleanup()


class Restorer(_Taker):
    """Builds the store in an empty directory."""

    def __init__(self, directory: Path, now: int) -> None:
        if (directory / DATABASE).exists() or (directory / SEGMENTS).exists():
            raise Unfit(f"{directory} holds a store already")
        for name in (SEGMENTS, f"{SEGMENTS}/{FREE}", HINTS):
            (directory / name).mkdir(mode=0o700, parents=True)
        super().__init__(directory)
        self._now = now
        self._finished = False

    def _take_segment(self, segment: int, octets: Iterable[bytes], proof: Proof) -> None:
        """Sealed: nobody appends to a file with holes."""
        path = segment_path(self._folder / SEGMENTS, segment)
        end = 0
        with path.open("xb") as file:
            path.chmod(0o600)
            for offset, record in extents(octets):
                proof.record(segment, offset, record)
                file.seek(offset)
                file.write(record)
                end = max(end, offset + len(record))
            file.seek(0)
            file.write(header_block(segment, end, sealed=True))
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> tuple[Finding, ...]:
        """Durable when it returns. Errors: Unfit."""
        findings = super().finish()
        super().close()
        connection = open_writer(self._folder)
        try:
            with connection:
                connection.execute(_ANEW, {"ids": IDS, "modseqs": MODSEQS, "now": self._now})
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error as error:
            raise Unfit(f"the database of the copy cannot be written: {error}") from None
        finally:
            connection.close()
        for folder in (self._folder / SEGMENTS, self._folder):
            sync_folder(folder)
        self._finished = True
        return findings

    def close(self) -> None:
        """Nothing is left of a store that was not finished."""
        super().close()
        if not self._finished:
            for suffix in ("", "-wal", "-shm"):
                (self._folder / f"{DATABASE}{suffix}").unlink(missing_ok=True)
            shutil.rmtree(self._folder / SEGMENTS, ignore_errors=True)
