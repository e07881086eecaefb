"""Executing the operations on the queue: enqueue, claim, settle, an operator's acts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from a3mailer.mail.errors import BadName, Conflict, NoSuchThing
from a3mailer.mail.ids import QueueId
from a3mailer.store.backends.sqlite.apply_mail import NUMBER_BITS
from a3mailer.store.backends.sqlite.apply_vault import release_content
from a3mailer.store.backends.sqlite.handover import Work
from a3mailer.store.backends.sqlite.ledger import Fresh, Ledger, Row
from a3mailer.store.operations import (
    LATE_SHARE,
    ChangeQueue,
    Claimed,
    ClaimQueue,
    Done,
    Enqueue,
    Enqueued,
    RecipientOutcome,
    SettleQueue,
)

WAITING: Final = "waiting"
HIGHEST: Final = 9
"""The highest priority there is (RFC 6710 section 3)."""
QUEUE_HINT: Final = (0, 1)
"""(account, mailbox) of the hint that the queue changed."""


def enqueue(ledger: Ledger, op: Enqueue, work: Work) -> Enqueued:
    """Rows in waiting, like a delivery."""
    account = ledger.touch_account(op.account)
    piece = work.pieces[op.content]
    number = account.next_queue
    account.next_queue = number + 1
    queue = op.account << NUMBER_BITS | number
    due = max(op.not_before, ledger.now)
    ledger.keep(work.pieces, op.content, op.tenant, op.account)
    ledger.add(
        "queue",
        (queue, op.tenant, due, piece.blob, piece.size, op.reverse_path, op.body, op.smtputf8,
         op.return_content, op.envelope_id, op.trace, op.hops, ledger.now, op.not_before, op.priority,
         op.deliver_by, op.by_mode, op.tls, op.message_id, op.lease_owner, op.lease_until),
    )  # fmt: skip
    for at, recipient in enumerate(op.recipients):
        ledger.add(
            "recipients", (queue, at, due, recipient.address, " ".join(recipient.notify), recipient.original)
        )
    if not op.lease_until:
        _changed(ledger)
    if op.lease_until and len(work.operations) == 1 and piece.segment and not (piece.hash or piece.extents):
        addresses = tuple([recipient.address for recipient in op.recipients])
        ledger.remember(
            queue,
            Fresh(op.lease_owner, op.tenant, op.trace, op.message_id, op.reverse_path, ledger.now, addresses,
                  op.account, piece.blob, piece.segment, piece.length),
        )  # fmt: skip
    else:
        ledger.fresh.pop(queue, None)
    return Enqueued(QueueId(queue), ledger.now, op.lease_owner)


def _changed(ledger: Ledger) -> None:
    ledger.hints.append((*QUEUE_HINT, ledger.commits))


# A lease that ends after ?2 was written under a clock that has jumped back since: it holds no more.
_LEVEL: Final = "SELECT max(priority) FROM queue WHERE due IS NOT NULL AND priority < ?"
_DUE: Final = (
    "SELECT id FROM queue WHERE due IS NOT NULL AND due <= ?1 AND (lease_until <= ?1 OR lease_until > ?2)"
    " AND priority = ?4 ORDER BY due, id LIMIT ?3"
)
_LATEST: Final = _DUE.replace("ORDER BY due, id", "ORDER BY due DESC, id DESC")
_NEXT_FREE: Final = (
    "SELECT due FROM queue WHERE due IS NOT NULL AND (lease_until <= ?1 OR lease_until > ?2)"
    " AND priority = ?3 ORDER BY due LIMIT 1"
)
_LEASED: Final = (
    "SELECT id, max(due, lease_until) FROM queue INDEXED BY queue_leased"
    " WHERE lease_until > 0 AND lease_until > ?1 AND lease_until <= ?2 AND due IS NOT NULL"
)
"""``> 0`` is what lets the partial index be used: without it every entry that waits is read."""


def claim_queue(ledger: Ledger, op: ClaimQueue, work: Work) -> Claimed:
    """By priority, the longest waiting first, and of many a share of the latest. Each level that occurs is
    one place in the index."""
    ledger.flush()
    jumped = op.now + 2 * (op.until - op.now)
    levels = tuple(_levels(ledger))
    found: list[Row] = []
    for level in levels:
        if len(found) < op.limit:
            found += _of_level(ledger, op, level, op.limit - len(found))
    given = tuple([QueueId(row[0]) for row in found])
    for queue in given:
        ledger.fresh.pop(queue, None)
    ledger.connection.executemany(
        "UPDATE queue SET lease_owner=?, lease_until=? WHERE id=?", [(op.owner, op.until, q) for q in given]
    )
    return Claimed(given, _next_due(ledger, op.now, jumped, set(given), levels))


def _of_level(ledger: Ledger, op: ClaimQueue, level: int, room: int) -> list[Row]:
    """What is due of one priority, as far as there is room."""
    jumped, late = op.now + 2 * (op.until - op.now), room // LATE_SHARE
    found = ledger.execute(_DUE, (op.now, jumped, room - late, level)).fetchall()
    if late and len(found) == room - late:
        latest = ledger.execute(_LATEST, (op.now, jumped, late, level)).fetchall()
        found += sorted(set(latest) - set(found))
    return found


def _levels(ledger: Ledger) -> Iterator[int]:
    """The priorities of entries that are not held, highest first."""
    level = HIGHEST + 1
    while (row := ledger.execute(_LEVEL, (level,)).fetchone()) is not None and row[0] is not None:
        level = row[0]
        yield level


def _next_due(ledger: Ledger, now: int, jumped: int, given: set[QueueId], levels: tuple[int, ...]) -> int:
    """When the next entry that was not given may be: when it is due, or when its lease ends."""
    leased = ledger.execute(_LEASED, (now, jumped))
    times = [at for queue, at in leased if queue not in given]
    for level in levels:
        free = ledger.execute(_NEXT_FREE, (now, jumped, level)).fetchone()
        if free is not None:
            times.append(free[0])
    return min(times, default=0)


def settle_queue(ledger: Ledger, op: SettleQueue, work: Work) -> Done:
    """Errors: Conflict when the lease is not the owner's any more, or the entry is gone."""
    if settles_fresh(ledger, op):
        return _settle_fresh(ledger, op)
    ledger.fresh.pop(op.queue, None)
    ledger.flush()
    row = ledger.execute("SELECT lease_owner FROM queue WHERE id=?", (op.queue,)).fetchone()
    if row is None or row[0] != op.owner:
        raise Conflict(f"queue entry {op.queue} is not leased to {op.owner}")
    ledger.connection.executemany(
        "UPDATE queue_recipients SET state=?, attempts=attempts+?, next_attempt=?,"
        " delay_notified=max(delay_notified, ?), code=?, enhanced=?, text=?, host=? WHERE id=? AND number=?",
        [_settled(op.queue, outcome) for outcome in op.outcomes],
    )
    ledger.execute(
        "UPDATE queue SET lease_owner=?, lease_until=? WHERE id=?",
        (op.owner if op.lease_until else "", op.lease_until, op.queue),
    )
    done = [(ledger.now, None, op.queue, o.number) for o in op.outcomes if o.state != WAITING]
    if done:
        ledger.connection.executemany(_FINISH + " AND r.number = ?4", done)
    if _schedule(ledger, op.queue):
        _changed(ledger)
    return Done()


def settles_fresh(ledger: Ledger, op: SettleQueue) -> bool:
    """Does it end an entry that nobody has touched since it was enqueued, all of its recipients at once?

    As for nearly every mail: then nothing has to be looked up, and what it does waits like a delivery."""
    fresh, outcomes = ledger.fresh.get(op.queue), op.outcomes
    if fresh is None or fresh.owner != op.owner or len(outcomes) != len(fresh.addresses):
        return False
    if len(outcomes) == 1:
        return outcomes[0].number == 0 and outcomes[0].state != WAITING
    return {o.number for o in outcomes if o.state != WAITING} == set(range(len(outcomes)))


def _settle_fresh(ledger: Ledger, op: SettleQueue) -> Done:
    """Rows in waiting. Nobody need hear of it: there is nothing left to be tried."""
    fresh = ledger.fresh.pop(op.queue)
    for each in op.outcomes:
        ledger.add(
            "finished",
            (ledger.now, op.queue, fresh.tenant, fresh.trace, fresh.message_id, fresh.sender, fresh.created,
             fresh.addresses[each.number], int(each.tried), each.state, each.code, each.enhanced, each.text,
             each.host),
        )  # fmt: skip
    ledger.add("recipients gone", (op.queue,))
    ledger.add("queue gone", (op.queue,))
    ledger.add("refs gone", (fresh.tenant, fresh.blob, fresh.account))
    ledger.add("blobs gone", (fresh.tenant, fresh.blob))
    ledger.shrink(fresh.segment, fresh.length)
    return Done()


_FINISH: Final = (
    "INSERT INTO finished (time, queue, tenant, trace, message_id, sender, created, address, attempts, state,"
    " code, enhanced, text, host) SELECT ?1, q.id, q.tenant, q.trace, q.message_id, q.reverse_path,"
    " q.created, r.address, r.attempts, ifnull(?2, r.state), r.code, r.enhanced, r.text, r.host"
    " FROM queue q JOIN queue_recipients r ON r.id = q.id WHERE q.id = ?3"
)
"""``?4`` follows: of one recipient, or of all that wait."""


def _settled(queue: int, outcome: RecipientOutcome) -> Row:
    return (
        outcome.state,
        outcome.tried,
        outcome.next_attempt,
        outcome.delay_notified,
        outcome.code,
        outcome.enhanced,
        outcome.text,
        outcome.host,
        queue,
        outcome.number,
    )


def _entry(ledger: Ledger, queue: int) -> Row:
    row: Row | None = ledger.execute(
        "SELECT tenant, blob, size, held FROM queue WHERE id=?", (queue,)
    ).fetchone()
    if row is None:
        raise NoSuchThing(f"queue entry {queue}")
    return row


def _schedule(ledger: Ledger, queue: int) -> bool:
    """Set when an entry is due next; one with nobody waiting leaves the queue: False."""
    tenant, blob, size, held = _entry(ledger, queue)
    (following,) = ledger.execute(
        "SELECT min(next_attempt) FROM queue_recipients WHERE id=? AND state=?", (queue, WAITING)
    ).fetchone()
    if following is None:
        _remove(ledger, queue, tenant, blob, size)
        return False
    ledger.execute("UPDATE queue SET due=? WHERE id=?", (None if held else following, queue))
    return True


def _remove(ledger: Ledger, queue: int, tenant: int, blob: bytes, size: int) -> None:
    ledger.execute("DELETE FROM queue_recipients WHERE id=?", (queue,))
    ledger.execute("DELETE FROM queue WHERE id=?", (queue,))
    release_content(ledger, tenant, blob, queue >> NUMBER_BITS, size)


def change_queue(ledger: Ledger, op: ChangeQueue, work: Work) -> Done:
    """``retry`` ends a hold and breaks no lease. Errors: NoSuchThing, BadName for an unknown act."""
    ledger.fresh.pop(op.queue, None)
    ledger.flush()
    tenant, blob, size, _ = _entry(ledger, op.queue)
    if op.act == "remove":
        ledger.execute(_FINISH + " AND r.state = ?4", (ledger.now, "removed", op.queue, WAITING))
        _remove(ledger, op.queue, tenant, blob, size)
    elif op.act in ("hold", "release"):
        ledger.execute("UPDATE queue SET held=? WHERE id=?", (op.act == "hold", op.queue))
        _schedule(ledger, op.queue)
    elif op.act == "retry":
        ledger.execute("UPDATE queue SET held=0 WHERE id=?", (op.queue,))
        ledger.execute(
            "UPDATE queue_recipients SET next_attempt=? WHERE id=? AND state=?", (op.now, op.queue, WAITING)
        )
        _schedule(ledger, op.queue)
    else:
        raise BadName(f"{op.act} is no act on the queue")
    _changed(ledger)
    return Done()


def remove_queue_of(ledger: Ledger, account: int) -> None:
    """Drop every entry of an account that is being erased."""
    ledger.fresh.clear()
    ledger.flush()
    first = account << NUMBER_BITS
    rows = ledger.execute(
        "SELECT id, tenant, blob, size FROM queue WHERE id BETWEEN ? AND ?",
        (first, first | (1 << NUMBER_BITS) - 1),
    ).fetchall()
    for row in rows:
        _remove(ledger, *row)
    if rows:
        _changed(ledger)
