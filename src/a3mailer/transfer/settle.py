"""After an attempt: what is recorded, who is told, when it goes on (RFC 3461 section 5, RFC 5321 4.5.4.1)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from a3mailer.store.operations import Operation, RecipientOutcome
from a3mailer.store.ports import Content
from a3mailer.store.rows import QueuedRecipient, QueueEntry
from a3mailer.transfer.bounce import Sent, notice, wants
from a3mailer.transfer.relay import Result
from a3mailer.transfer.schedule import Schedule
from a3mailer.wire.dsn.report import Action, RecipientStatus

GROUPS = (Action.FAILED, Action.DELAYED, Action.RELAYED, Action.DELIVERED)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one recipient, and the notification it gives rise to."""

    outcome: RecipientOutcome
    status: RecipientStatus | None


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
    if state == "waiting" and schedule.expired(entry.created, attempts, now):
        state = "expired"
    next_attempt = 0
    delayed = False
    if state == "waiting":
        next_attempt = max(
            schedule.next_attempt(now, attempts, chance, result.answer), now + int(result.wait)
        )
        delayed = not recipient.delay_notified and schedule.delayed(entry.created, attempts, now)
    outcome = RecipientOutcome(
        recipient.number, state, reply.code, reply.enhanced, reply.text, result.host, next_attempt, delayed
    )
    action = _action(state, delayed=delayed, confirms=result.confirms)
    if action is None or not wants(recipient.notify, action):
        return Verdict(outcome, None)
    return Verdict(outcome, _status(entry, recipient, result, action, now, state, schedule))


def _action(state: str, *, delayed: bool, confirms: bool) -> Action | None:
    if state in ("failed", "expired"):
        return Action.FAILED
    if state == "delivered":
        return Action.DELIVERED
    if state == "relayed":
        return None if confirms else Action.RELAYED
    return Action.DELAYED if delayed else None


def _status(
    entry: QueueEntry,
    recipient: QueuedRecipient,
    result: Result,
    action: Action,
    now: int,
    state: str,
    schedule: Schedule,
) -> RecipientStatus:
    code = result.reply.enhanced
    if state == "expired":
        code = "4.4.7"  # RFC 3463: delivery time expired; the diagnostic says why it took so long
    elif action in (Action.RELAYED, Action.DELIVERED):
        code = code if code.startswith("2.") else "2.0.0"
    return RecipientStatus(
        recipient.address,
        action,
        code,
        recipient.original,
        result.host,
        "" if action is Action.DELIVERED else str(result.reply),
        now,
        entry.created + schedule.expire if action is Action.DELAYED else 0,
    )


def notices(
    entry: QueueEntry, statuses: Sequence[RecipientStatus], octets: bytes, hostname: str, now: int, first: int
) -> tuple[tuple[Content, ...], tuple[Operation, ...]]:
    """Notifications for the sender, one an action, as contents from number ``first`` on."""
    sent = Sent(
        entry.reverse_path,
        entry.tenant,
        entry.trace,
        entry.created,
        entry.envelope_id,
        entry.return_content,
        entry.smtputf8,
    )
    contents: list[Content] = []
    queued: list[Operation] = []
    for action in GROUPS:
        told = tuple(status for status in statuses if status.action is action)
        made = notice(sent, told, octets, hostname, now, first + len(contents))
        if made is not None:
            contents.append(made[0])
            queued.append(made[1])
    return tuple(contents), tuple(queued)
