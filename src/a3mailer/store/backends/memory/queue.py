"""The queue: one function an operation."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

from a3mailer.mail.errors import BadName, Conflict, NoSuchThing
from a3mailer.mail.ids import SYSTEM_ACCOUNT, QueueId
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.mail import release
from a3mailer.store.backends.memory.state import State
from a3mailer.store.rows import Finished, FinishedPage, QueuedRecipient, QueueEntry

WAITING = "waiting"


def enqueue(state: State, o: op.Enqueue) -> op.Enqueued:
    """Take responsibility."""
    if o.account != SYSTEM_ACCOUNT:
        state.account(o.account)
    queue = QueueId(state.next(SYSTEM_ACCOUNT, "queue"))
    due = o.not_before or state.now
    recipients = tuple(
        QueuedRecipient(
            number=n, address=r.address, notify=r.notify, original=r.original, state=WAITING, attempts=0,
            next_attempt=due, code=0, enhanced="", text="", host="", delay_notified=False,
        )
        for n, r in enumerate(o.recipients)
    )  # fmt: skip
    entry = QueueEntry(
        id=queue, account=o.account, tenant=o.tenant, blob=state.blob(o.content),
        size=len(state.contents[o.content].octets), reverse_path=o.reverse_path, body=o.body,
        smtputf8=o.smtputf8, return_content=o.return_content, envelope_id=o.envelope_id, trace=o.trace,
        hops=o.hops, created=state.now, held=False, lease_owner=o.lease_owner, lease_until=o.lease_until,
        recipients=recipients,
        not_before=o.not_before, priority=o.priority, deliver_by=o.deliver_by, by_mode=o.by_mode,
        tls=o.tls, message_id=o.message_id,
    )  # fmt: skip
    state.put(state.queue, queue, entry)
    if not o.lease_until:
        state.changed(SYSTEM_ACCOUNT, 1)
    return op.Enqueued(queue, state.now, o.lease_owner)


def _due(entry: QueueEntry) -> int:
    """When an entry wants to be tried; 0 for never."""
    times = [r.next_attempt for r in entry.recipients if r.state == WAITING]
    return 0 if entry.held or not times else max(min(times), 1)


def claim_queue(state: State, o: op.ClaimQueue) -> op.Claimed:
    """Lease what is due."""
    free: dict[int, list[QueueId]] = {}
    times: dict[QueueId, int] = {}
    for entry in sorted(state.queue.values(), key=lambda e: (-e.priority, _due(e), e.id)):
        due = _due(entry)
        if not due:
            continue
        leased = o.now < entry.lease_until <= o.now + 2 * (o.until - o.now)
        times[entry.id] = at = max(due, entry.lease_until if leased else 0)
        if at <= o.now:
            free.setdefault(entry.priority, []).append(entry.id)
    given: list[QueueId] = []
    for level in free.values():
        given += _of_level(level, o.limit - len(given))
    for queue in given:
        entry = state.queue[queue]
        state.put(state.queue, queue, replace(entry, lease_owner=o.owner, lease_until=o.until))
    return op.Claimed(tuple(given), min((at for q, at in times.items() if q not in given), default=0))


def _of_level(due: list[QueueId], room: int) -> list[QueueId]:
    """The longest waiting, and of many a share of the latest."""
    late = room // op.LATE_SHARE
    first = due[: room - late]
    return first + due[len(first) :][-late:] if late else first


def remove(state: State, entry: QueueEntry) -> None:
    """Take an entry out; its contents go with their last holder."""
    state.drop(state.queue, entry.id)
    release(state, entry.blob)


def _finish(state: State, entry: QueueEntry, recipient: QueuedRecipient, became: str) -> None:
    number = max(state.finished, default=0) + 1
    row = Finished(
        number, state.now, entry.id, entry.tenant, entry.trace, entry.message_id, entry.reverse_path,
        entry.created, recipient.address, recipient.attempts, became, recipient.code, recipient.enhanced,
        recipient.text, recipient.host,
    )  # fmt: skip
    state.put(state.finished, number, row)


def forget_finished(state: State, o: op.Sweep) -> int:
    """The oldest, up to the first that is young."""
    ended = o.now - op.FINISHED_DAYS * 86400
    old = list(takewhile(lambda row: row.time < ended, state.finished.values()))[: o.limit]
    for row in old:
        state.drop(state.finished, row.number)
    return len(old)


def finished_page(state: State, about: str, queue: int, before: int) -> FinishedPage:
    """See ``store.ports.QueueReader``."""
    rows = [r for r in reversed(state.finished.values()) if not before or r.number < before]
    return FinishedPage(tuple(r for r in rows if _is_about(r, about, queue)), 0)


def _is_about(row: Finished, about: str, queue: int) -> bool:
    if not about:
        return not queue or row.queue == queue
    named = row.trace == about or row.trace.startswith(f"{about}-") or row.message_id == about
    return named or about.lower() in (row.address.lower(), row.sender.lower())


def settle_queue(state: State, o: op.SettleQueue) -> op.Done:
    """Outcomes of an attempt."""
    entry = state.queue.get(o.queue)
    if entry is None or entry.lease_owner != o.owner:
        raise Conflict(f"queue entry {o.queue} is not leased to {o.owner}")
    rows = {r.number: r for r in entry.recipients}
    for outcome in o.outcomes:
        old = rows[outcome.number]
        rows[outcome.number] = replace(
            old, state=outcome.state, attempts=old.attempts + outcome.tried,
            next_attempt=outcome.next_attempt, code=outcome.code, enhanced=outcome.enhanced,
            text=outcome.text, host=outcome.host,
            delay_notified=old.delay_notified or outcome.delay_notified,
        )  # fmt: skip
    for outcome in o.outcomes:
        if outcome.state != WAITING:
            _finish(state, entry, rows[outcome.number], outcome.state)
    if not any(r.state == WAITING for r in rows.values()):
        remove(state, entry)
    else:
        entry = replace(
            entry, recipients=tuple(rows.values()), lease_owner=o.owner if o.lease_until else "",
            lease_until=o.lease_until,
        )  # fmt: skip
        state.put(state.queue, o.queue, entry)
        state.changed(SYSTEM_ACCOUNT, 1)
    return op.Done()


def change_queue(state: State, o: op.ChangeQueue) -> op.Done:
    """An operator's act."""
    entry = state.queue.get(o.queue)
    if entry is None:
        raise NoSuchThing(f"queue entry {o.queue}")
    if o.act == "remove":
        for recipient in entry.recipients:
            if recipient.state == WAITING:
                _finish(state, entry, recipient, "removed")
        remove(state, entry)
    elif o.act in ("hold", "release"):
        state.put(state.queue, o.queue, replace(entry, held=o.act == "hold"))
    elif o.act == "retry":
        recipients = tuple(
            replace(r, next_attempt=o.now) if r.state == WAITING else r for r in entry.recipients
        )
        state.put(state.queue, o.queue, replace(entry, recipients=recipients, held=False))
    else:
        raise BadName(f"{o.act} is no act on the queue")
    state.changed(SYSTEM_ACCOUNT, 1)
    return op.Done()
