"""Group commit: the frames of all workers as one SQLite transaction, each Transaction undone alone.

What a frame did, its number and its answer are committed together, so that a worker that lost the writer
learns what became of it. What a dead worker may not have told its clients becomes receipts: a retry of the
same envelope and octets is answered with the recorded results, once each (ADR 0010).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw
import msgspec

from a3mailer.keys.kek import KeyRing
from a3mailer.mail.errors import MailError, StoreFull, TryLater
from a3mailer.runtime.clock import Clock
from a3mailer.store.backends.sqlite.apply import GROWING, HEAVY, LIGHT, TABLE
from a3mailer.store.backends.sqlite.apply_queue import settles_fresh
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.backends.sqlite.handover import (
    Carried,
    Frame,
    Outcome,
    Work,
    decode_fingerprints,
    decode_outcome,
    decode_outcomes,
    decode_work,
    encode,
)
from a3mailer.store.backends.sqlite.ledger import Ledger, Stale
from a3mailer.store.backends.sqlite.segments import Record, refusal
from a3mailer.store.backends.sqlite.unsynced import Slot, Slots
from a3mailer.store.operations import AnyResult, Enqueued, SettleQueue
from a3mailer.telemetry.events import emit

_FULL: Final = "the disk is full"
_BUG: Final = Outcome((), TryLater.__name__, "internal error")

BUGS: Final = (
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
    AttributeError,
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.RangeError,
    apsw.TooBigError,
    apsw.SQLError,
)
"""What a transaction that nobody should have sent raises: it fails alone, logged, and stops nobody else."""


class Session:
    """What the store remembers of one worker session."""

    __slots__ = ("acknowledged", "answer", "fingerprints", "frame", "process", "seen")

    def __init__(self, process: str, frame: int = 0, answer: bytes = b"", fingerprints: bytes = b"") -> None:
        self.process = process
        self.frame = frame
        self.answer = answer
        self.fingerprints = fingerprints
        self.acknowledged = 0
        self.seen = time.monotonic()
        """When it last had a connection: one that does not come back has ended."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One frame, decoded."""

    session: int
    number: int
    works: list[Work | Outcome]
    """An outcome for what failed before it began."""


def decode_frame(session: int, frame: Frame) -> Batch:
    """The works of a frame; a caller's mistake fails alone."""
    return Batch(session, frame.number, [_decode(raw) for raw in frame.works])


def _decode(raw: msgspec.Raw) -> Work | Outcome:
    try:
        return decode_work(raw)
    except msgspec.MsgspecError as error:
        emit("store.transaction.bug", level="error", error=str(error))
        return _BUG


def place_carried(batches: Sequence[Batch], slots: Slots) -> list[Slot]:
    """Write what the works of all frames carry; where that fails they fail with it.

    The rows the transaction has to carry for it to be durable. Errors: Unsure."""
    works = [work for batch in batches for work in batch.works if isinstance(work, Work) and work.carried]
    if not works:
        return []
    try:
        found, rows = slots.write([_record(work, carried) for work in works for carried in work.carried])
    except OSError as error:
        failed = _failed(refusal(error))
        for batch in batches:
            batch.works[:] = [
                failed if isinstance(work, Work) and work.carried else work for work in batch.works
            ]
        return []
    places = iter(found)
    for work in works:
        for carried in work.carried:
            piece = work.pieces[carried.piece]
            piece.segment, piece.offset = next(places)
    return rows


def _record(work: Work, carried: Carried) -> Record:
    length = len(carried.payload)
    blob = work.pieces[carried.piece].blob
    return Record(work.tenant, blob, (carried.payload,), length, length, carried.digest)


class Committer:
    """Executes batches. One thread; the only one that changes the database."""

    def __init__(self, connection: apsw.Connection, ring: KeyRing, key_file: Path, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self.ledger = Ledger(connection, ring, key_file)
        self._execute: Execute = self.ledger.execute
        self.ledger.commits = int(self._execute("SELECT number FROM commits").fetchone()[0])
        self.sessions: dict[int, Session] = {
            session: Session(process, frame, answer, fingerprints)
            for session, frame, process, fingerprints, answer in self._execute(
                "SELECT session, frame, process, fingerprints, answer FROM handovers"
            )
        }
        self._ended: list[int] = []

    @property
    def commits(self) -> int:
        """The number of the last batch."""
        return self.ledger.commits

    # --- batches -----------------------------------------------------------------------------------

    def commit(self, frames: Sequence[Batch], unsynced: Sequence[Slot] = ()) -> list[tuple[Outcome, ...]]:
        """Execute frames; durable when it returns, ``unsynced`` with them. The outcomes of each frame.

        Errors: apsw.Error when the database cannot be written: nothing of the batch is sure then."""
        for execute in (self._transaction, self._transaction_alone, self._transaction_on_full_disk):
            if execute == self._transaction_on_full_disk:
                unsynced = ()  # whoever brings contents is refused
            try:
                return self._commit(frames, execute, unsynced)
            except apsw.FullError:
                self._rollback()
            except BUGS as error:
                emit("store.transaction.bug", level="error", error=repr(error))
                self._rollback()
        return [tuple([_refused() for _ in frame.works]) for frame in frames]

    def _commit(
        self, frames: Sequence[Batch], execute: Callable[[Work], Outcome], unsynced: Sequence[Slot]
    ) -> list[tuple[Outcome, ...]]:
        ledger = self.ledger
        self._execute("BEGIN IMMEDIATE")
        ledger.now = int(self._clock.now())
        ledger.commits += 1
        outcomes = [
            tuple([execute(work) if isinstance(work, Work) else work for work in frame.works])
            for frame in frames
        ]
        ledger.finish()
        if unsynced:
            self._connection.executemany("INSERT OR REPLACE INTO unsynced VALUES (?,?,?,?)", unsynced)
        records = []
        for frame, answer in zip(frames, outcomes, strict=True):
            fingerprints = encode(
                [work.fingerprint if isinstance(work, Work) else b"" for work in frame.works]
            )
            process = self.sessions[frame.session].process
            records.append((frame.session, frame.number, process, fingerprints, encode(answer)))
        self._drop_ended()
        self._connection.executemany("INSERT OR REPLACE INTO handovers VALUES (?,?,?,?,?)", records)
        if ledger.hints:
            self._execute("UPDATE commits SET number = ?", (ledger.commits,))
        else:
            ledger.commits -= 1
        self._execute("COMMIT")
        for session, number, _, fingerprints, encoded in records:
            known = self.sessions[session]
            known.frame, known.fingerprints, known.answer = number, fingerprints, encoded
        return outcomes

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            self._execute("ROLLBACK")
        self.ledger.reset()
        self.ledger.commits = self._execute("SELECT number FROM commits").fetchone()[0]
        self.ledger.load_receipts()

    def take_hints(self) -> list[tuple[int, int, int]]:
        """(account, mailbox, modseq) of what changed since the last call, the newest modseq each."""
        newest = {(account, mailbox): modseq for account, mailbox, modseq in self.ledger.hints}
        self.ledger.hints.clear()
        return [(account, mailbox, modseq) for (account, mailbox), modseq in newest.items()]

    # --- one transaction ---------------------------------------------------------------------------

    def _transaction(self, work: Work) -> Outcome:
        ledger = self.ledger
        if work.fingerprint and ledger.receipts and (known := ledger.take_receipt(work.fingerprint)):
            return _retold(decode_outcome(known))
        kinds = set(map(type, work.operations))
        if kinds <= LIGHT or self._settles_fresh(work):
            return self._light(work)
        return self._guarded(work, heavy=not kinds.isdisjoint(HEAVY))

    def _settles_fresh(self, work: Work) -> bool:
        first = work.operations[0]
        return (
            isinstance(first, SettleQueue) and len(work.operations) == 1 and settles_fresh(self.ledger, first)
        )

    def _light(self, work: Work) -> Outcome:
        self.ledger.mark()
        try:
            return Outcome(self._apply(work))
        except (MailError, Stale) as error:
            self.ledger.undo()
            return _failed(error)

    def _transaction_alone(self, work: Work) -> Outcome:
        """After a bug in one of them: each is written by itself, so that only the bad one fails."""
        try:
            return self._guarded(work, heavy=True)
        except BUGS as error:
            self._execute("ROLLBACK TO one")
            self._execute("RELEASE one")
            self.ledger.undo_statements()
            emit("store.transaction.bug", level="error", error=repr(error), operations=repr(work.operations))
            return _BUG

    def _transaction_on_full_disk(self, work: Work) -> Outcome:
        return _refused() if _grows(work) else self._transaction_alone(work)

    def _guarded(self, work: Work, heavy: bool) -> Outcome:
        ledger = self.ledger
        if heavy:
            ledger.write()
        else:
            ledger.flush()
        self._execute("SAVEPOINT one")
        ledger.mark()
        try:
            results = self._apply(work)
            ledger.write() if heavy else ledger.flush()
        except (MailError, Stale) as error:
            self._execute("ROLLBACK TO one")
            self._execute("RELEASE one")
            ledger.undo_statements()
            return _failed(error)
        self._execute("RELEASE one")
        return Outcome(results)

    def _apply(self, work: Work) -> tuple[AnyResult, ...]:
        ledger = self.ledger
        return tuple([TABLE[type(operation)](ledger, operation, work) for operation in work.operations])

    # --- sessions and receipts ---------------------------------------------------------------------

    def end_session(self, session: int, clean: bool) -> None:
        """A worker session is over. Unless ``clean``, what it may not have told anybody becomes receipts."""
        known = self.sessions.pop(session, None)
        if known is None:
            return
        self._ended.append(session)
        if not clean and known.acknowledged < known.frame:
            self._make_receipts(known)

    def abandon(self, session: int, frame: int) -> None:
        """The callers of this frame were told Uncertain: if it was done, their retries find receipts."""
        known = self.sessions[session]
        if known.frame == frame and known.acknowledged < frame:
            known.acknowledged = frame
            self._ended.append(session)  # its row: it must not become receipts a second time
            self._make_receipts(known)

    def _make_receipts(self, known: Session) -> None:
        """Durable when it returns: a retry may arrive at once."""
        outcomes = decode_outcomes(known.answer)
        fingerprints = decode_fingerprints(known.fingerprints)
        pairs = [
            (fingerprint, encode(outcome))
            for fingerprint, outcome in zip(fingerprints, outcomes, strict=True)
            if fingerprint and not outcome.error
        ]
        if not pairs:
            return
        self.ledger.now = int(self._clock.now())
        self._execute("BEGIN IMMEDIATE")
        self.ledger.make_receipts(pairs)
        self._drop_ended()
        self._execute("COMMIT")

    def _drop_ended(self) -> None:
        if self._ended:
            self._connection.executemany("DELETE FROM handovers WHERE session=?", [(s,) for s in self._ended])
            self._ended.clear()


def _retold(outcome: Outcome) -> Outcome:
    """What is told a second time: who had leased what was queued may have let it go since."""
    return Outcome(
        tuple([Enqueued(each.queue) if isinstance(each, Enqueued) else each for each in outcome.results]),
        outcome.error,
        outcome.text,
    )


def _grows(work: Work) -> bool:
    return any(type(operation) in GROWING for operation in work.operations)


def _refused() -> Outcome:
    return Outcome((), StoreFull.__name__, _FULL)


def _failed(error: MailError | Stale) -> Outcome:
    return Outcome((), type(error).__name__, str(error))
