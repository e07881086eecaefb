"""The last step into a mailbox (RFC 5598: the MDA): store operations for the local routes of a mail."""

from __future__ import annotations

from collections.abc import Iterable

from a3mailer.mail.ids import AccountId, MailboxId, QueueId
from a3mailer.store.operations import Append
from a3mailer.transfer.route import Local


def appends(routes: Iterable[Local], content: int, now: int, delivery: bytes = b"") -> tuple[Append, ...]:
    """One Append a mailbox, however many ways lead into it.

    ``delivery`` names a delivery out of the queue; with the mailbox it makes repeating it harmless. Quota
    was asked at RCPT; what was accepted then is delivered now."""
    found: dict[tuple[AccountId, MailboxId], Append] = {}
    for route in routes:
        at = (route.account, route.mailbox)
        if at not in found:
            key = b"%b/%d.%d" % (delivery, *at) if delivery else b""
            found[at] = Append(
                route.account, route.mailbox, content, internal_date=now, check_quota=False, delivery=key
            )
    return tuple(found.values())


def delivery_key(queue: QueueId, number: int) -> bytes:
    """Names recipient ``number`` of a queue entry for ever: queue ids are not reused."""
    return b"q%d.%d" % (queue, number)
