"""Where a mail is, in words, from the rows of the queue and of what has left it. Pure; times are UTC."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from a3mailer.store.rows import Finished, QueuedRecipient, QueueEntry
from a3mailer.transfer.queue.attempt import LEASE_SECONDS
from a3mailer.transfer.schedule import URGENT, Schedule

ENDS = {
    "delivered": "put into the mailbox here",
    "relayed": "taken by {host}",
    "failed": "refused for good",
    "expired": "given up, for it had waited too long",
    "removed": "given up by an administrator",
}


def moment(seconds: int) -> str:
    """``Mon 2026-11-23 10:02 UTC``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%a %Y-%m-%d %H:%M UTC")


def of_entry(entry: QueueEntry, schedule: Schedule, now: int) -> tuple[str, ...]:
    """A mail in the queue: one sentence for it, one for each recipient."""
    lines = [_accepted(entry.created, entry.reverse_path, entry.trace, entry.message_id)]
    if entry.held:
        lines.append("an operator holds it: nothing is tried until it is released")
    elif entry.not_before > now:
        lines.append(f"it is held until {moment(entry.not_before)}, as its sender asked")
    if entry.by_mode:
        end = "it comes back" if entry.by_mode.startswith("R") else "its sender is told"
        lines.append(f"if it is not there by {moment(entry.deliver_by)}, {end}, as its sender asked")
    return (*lines, *(_recipient(entry, each, schedule, now) for each in entry.recipients))


def of_finished(rows: Iterable[Finished]) -> tuple[str, ...]:
    """Recipients that have left the queue, mail by mail in the order they were accepted."""
    mails: dict[int, list[Finished]] = {}
    for row in sorted(rows, key=lambda row: (row.created, row.queue, row.number)):
        mails.setdefault(row.queue, []).append(row)
    lines: list[str] = []
    for mail in mails.values():
        first = mail[0]
        lines.append(_accepted(first.created, first.sender, first.trace, first.message_id))
        lines += [_end(row) for row in mail]
    return tuple(lines)


def _accepted(created: int, sender: str, trace: str, message_id: str) -> str:
    whose = f"from <{sender}>" if sender else "of this server's own, a notice"
    named = f", Message-ID <{message_id}>" if message_id else ""
    return f"accepted {moment(created)} {whose}{named}, trace {trace or '-'}"


def _end(row: Finished) -> str:
    became = ENDS.get(row.state, row.state).format(host=row.host or "the next server")
    said = _said(row.host, row.code, row.enhanced, row.text) if row.state != "delivered" else ""
    return f"  to <{row.address}>: {became} {moment(row.time)} after {_times(row.attempts)}{said}"


def _recipient(entry: QueueEntry, recipient: QueuedRecipient, schedule: Schedule, now: int) -> str:
    head = f"  to <{recipient.address}>: "
    said = _said(recipient.host, recipient.code, recipient.enhanced, recipient.text)
    if recipient.state != "waiting":
        became = ENDS.get(recipient.state, recipient.state).format(host=recipient.host or "the next server")
        return f"{head}{became}{said if recipient.state != 'delivered' else ''}"
    often = "once" if recipient.attempts == 1 else f"{recipient.attempts} times"
    tried = f"tried {often}" if recipient.attempts else "not tried yet"
    return f"{head}{tried}{said}; {_next(entry, recipient, now)}; {_last(entry, schedule)}"


def _next(entry: QueueEntry, recipient: QueuedRecipient, now: int) -> str:
    if now < entry.lease_until <= now + 2 * LEASE_SECONDS:
        return "it is being tried now"
    if entry.held:
        return "no next try"
    due = recipient.next_attempt
    return "next try at once" if due == URGENT or due <= now else f"next try {moment(due)}"


def _last(entry: QueueEntry, schedule: Schedule) -> str:
    end = entry.begun + schedule.expire
    if entry.by_mode.startswith("R"):
        end = min(end, entry.deliver_by)
    return f"gives up {moment(end)}"


def _times(attempts: int) -> str:
    return "1 try" if attempts == 1 else f"{attempts} tries"


def _said(host: str, code: int, enhanced: str, text: str) -> str:
    """What came back last; our own words have no code."""
    words = " ".join(word for word in (str(code or ""), enhanced if code else "", text) if word)
    if not words:
        return ""
    return f"; {host} said: {words}" if host and code else f"; {words}"
