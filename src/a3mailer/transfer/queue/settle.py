"""After an attempt: what is recorded, who is told, when it goes on (RFC 3461 section 5, RFC 5321 4.5.4.1)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from a3mailer.store.operations import Operation, RecipientOutcome
from a3mailer.store.ports import Content
from a3mailer.store.rows import QueuedRecipient, QueueEntry
from a3mailer.transfer.bounce import Sent, Voice, notice, wants
from a3mailer.transfer.relay.relay import Result
from a3mailer.transfer.schedule import Schedule
from a3mailer.wire.dsn.report import Action, RecipientStatus
from a3mailer.wire.smtp.remote import RemoteReply

GROUPS = (Action.FAILED, Action.DELAYED, Action.EXPANDED, Action.RELAYED, Action.DELIVERED)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one recipient, and the notification it gives rise to."""

    outcome: RecipientOutcome
    status: RecipientStatus | None
    late: bool = False
    """He waits, and it is time for a delay notice about all who do (``delay``)."""


def judge(
    entry: QueueEntry,
    recipient: QueuedRecipient,
    result: Result,
    schedule: Schedule,
    now: int,
    chance: random.Random,
) -> Verdict:
    """What a result means for a recipient, its age and its wishes considered."""
    attempts = recipient.attempts + 1
    state, reply = result.state, result.reply
    if state == "waiting" and (is_over(entry, now) or schedule.expired(entry.begun, attempts, now)):
        state = "expired"
    next_attempt = 0
    late = False
    if state == "waiting":
        next_attempt = max(
            schedule.next_attempt(now, attempts, chance, result.answer), now + int(result.wait)
        )
        next_attempt = in_time(entry, now, next_attempt)
        late = not recipient.delay_notified and _is_late(entry, attempts, schedule, now)
    outcome = RecipientOutcome(
        recipient.number, state, reply.code, reply.enhanced, reply.text, result.host, next_attempt
    )
    action = _action(entry, result, state)
    if action is None or not _is_told(entry, recipient, result, action):
        return Verdict(outcome, None, late)
    return Verdict(outcome, _status(entry, recipient, result, action, now, state))


def waits(recipient: QueuedRecipient) -> RecipientOutcome:
    """The outcome of the last attempt at a recipient who waits for the next."""
    return RecipientOutcome(
        recipient.number, "waiting", recipient.code, recipient.enhanced, recipient.text, recipient.host,
        recipient.next_attempt,
    )  # fmt: skip


def delay(
    entry: QueueEntry, recipient: QueuedRecipient, outcome: RecipientOutcome, schedule: Schedule, tried: int
) -> RecipientStatus | None:
    """What a delay notice says of one who waits; None: he is not to be spoken of (RFC 3461 section 5.2.5).

    ``tried``: when that was, 0 for not known. A reply of 5yz that counts as 4yz is told as one of 4yz; who
    named a time is told that it has passed (RFC 3463 section 3.5), and the diagnostic says why."""
    asked = entry.by_mode.startswith("N") or wants(recipient.notify, Action.DELAYED)
    if not asked or "NEVER" in recipient.notify:
        return None
    return RecipientStatus(
        recipient.address,
        Action.DELAYED,
        "4.4.7" if entry.by_mode.startswith("N") else f"4{outcome.enhanced[1:] or '.0.0'}",
        recipient.original,
        outcome.host,
        str(RemoteReply(outcome.code, outcome.enhanced, outcome.text)),
        tried,
        _end(entry, schedule),
    )


def in_time(entry: QueueEntry, now: int, later: int) -> int:
    """A time to go on at, or the one by which the mail was to be there, if that is sooner (RFC 2852)."""
    return min(later, entry.deliver_by) if now < entry.deliver_by else later


def is_over(entry: QueueEntry, now: int) -> bool:
    """Has the time passed by which a mail was to be there or to come back (RFC 2852, by-mode R)?"""
    return entry.by_mode.startswith("R") and now >= entry.deliver_by


def _is_late(entry: QueueEntry, attempts: int, schedule: Schedule, now: int) -> bool:
    """Is it time for a delay notice? Who named a time (by-mode N) hears then, and not before.

    A time that had passed when the mail came was told of by the server before us."""
    if entry.by_mode.startswith("N"):
        return entry.created < entry.deliver_by <= now
    return schedule.delayed(entry.begun, attempts, now)


def _asks_for_relays(entry: QueueEntry, result: Result) -> bool:
    """Does DELIVERBY want its sender to hear of this hand-over?

    Where tracing was asked for, and where the next server knows of no times (by-mode N)."""
    return entry.by_mode.endswith("T") or (bool(entry.by_mode) and not result.times)


def _is_told(entry: QueueEntry, recipient: QueuedRecipient, result: Result, action: Action) -> bool:
    """Does the sender hear of it? NOTIFY=NEVER is stronger than DELIVERBY, DELIVERBY than the rest."""
    if "NEVER" in recipient.notify:
        return False
    if action in (Action.RELAYED, Action.EXPANDED) and _asks_for_relays(entry, result):
        return True
    return wants(recipient.notify, action)


def _action(entry: QueueEntry, result: Result, state: str) -> Action | None:
    if state in ("failed", "expired"):
        return Action.FAILED
    if state == "delivered":
        return Action.DELIVERED
    if state == "relayed":
        if result.expanded:
            return Action.EXPANDED
        silent = result.confirms and not _asks_for_relays(entry, result)
        return None if silent else Action.RELAYED
    return None


def _status(
    entry: QueueEntry,
    recipient: QueuedRecipient,
    result: Result,
    action: Action,
    now: int,
    state: str,
) -> RecipientStatus:
    code = result.reply.enhanced
    if state == "expired":
        # RFC 3463: delivery time expired; the diagnostic says why it took so long
        code = "5.4.7" if is_over(entry, now) else "4.4.7"
    elif action is not Action.FAILED:
        code = code if code.startswith("2.") else "2.0.0"
    return RecipientStatus(
        recipient.address,
        action,
        code,
        recipient.original,
        result.host,
        "" if action in (Action.DELIVERED, Action.EXPANDED) else str(result.reply),
        now,
    )


def _end(entry: QueueEntry, schedule: Schedule) -> int:
    """When it will be given up."""
    end = entry.begun + schedule.expire
    return min(end, entry.deliver_by) if entry.by_mode.startswith("R") else end


def notices(
    entry: QueueEntry, statuses: Sequence[RecipientStatus], octets: bytes, voice: Voice, now: int, first: int
) -> tuple[tuple[Content, ...], tuple[Operation, ...]]:
    """Notifications for the sender, one an action, as contents from number ``first`` on."""
    if not statuses:  # as nearly always
        return (), ()
    sent = Sent(
        entry.reverse_path,
        entry.tenant,
        entry.trace,
        entry.created,
        entry.envelope_id,
        entry.return_content,
        entry.smtputf8,
        entry.priority,
        entry.deliver_by,
        entry.tls,
        entry.not_before,
    )
    contents: list[Content] = []
    queued: list[Operation] = []
    for action in GROUPS:
        told = tuple(status for status in statuses if status.action is action)
        made = notice(sent, told, octets, voice, now, first + len(contents))
        if made is not None:
            contents.append(made[0])
            queued.append(made[1])
    return tuple(contents), tuple(queued)
