"""The last step into a mailbox (RFC 5598: the MDA): store operations for the local routes of a mail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from a3mailer.mail.errors import (
    FullForLong,
    MailError,
    NoSuchAccount,
    NoSuchDomain,
    NotAllowed,
    OverQuota,
    TooMany,
)
from a3mailer.mail.ids import AccountId, MailboxId, QueueId
from a3mailer.store.operations import Append
from a3mailer.transfer.route import Local

STATUS: Final[dict[type[MailError], tuple[str, str]]] = {
    NoSuchAccount: ("5.1.1", "no such mailbox"),
    NoSuchDomain: ("5.1.2", "no such domain"),
    FullForLong: ("5.2.2", "the mailbox has been full for days"),
    OverQuota: ("4.2.2", "the mailbox is full"),
    NotAllowed: ("5.7.1", "the address does not take this mail"),
    TooMany: ("5.4.6", "the address leads to too many others"),
}
"""What a delivery out of the queue says of an error (RFC 3463); any other is a reason to wait."""


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


def delivery_key(queue: QueueId) -> bytes:
    """Names the deliveries of one queue entry for ever: queue ids are not reused."""
    return b"q%d" % queue


def status_of(error: MailError) -> tuple[str, str]:
    """(enhanced status code, words) of an error at delivery."""
    for kind, status in STATUS.items():
        if isinstance(error, kind):
            return status
    return "4.3.0", "not delivered for now"
