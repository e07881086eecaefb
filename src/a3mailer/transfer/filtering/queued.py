"""Scripts of what the queue delivers: the same as at the end of DATA, but nobody listens any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from a3mailer.identity.directory import parse_stored
from a3mailer.mail.address import NULL_PATH, ReversePath
from a3mailer.mail.envelope import Body, Client, Recipient
from a3mailer.mail.ids import INBOX
from a3mailer.store.ports import Content
from a3mailer.store.rows import QueuedRecipient, QueueEntry
from a3mailer.transfer.deliver import delivery_key
from a3mailer.transfer.filtering.filtering import Filtering
from a3mailer.transfer.filtering.gather import gathered
from a3mailer.transfer.filtering.mail import Delivery
from a3mailer.transfer.relay.relay import Result
from a3mailer.transfer.route import Local
from a3mailer.transfer.work import Work
from a3mailer.wire.smtp.remote import ours

QUEUE = "queue"
"""The door such a mail has come by."""


class Parcel(NamedTuple):
    """A queue entry with the recipients that are delivered now."""

    entry: QueueEntry
    group: Sequence[QueuedRecipient]
    content: Content
    now: int


async def filtered(
    filtering: Filtering,
    parcel: Parcel,
    locals_: dict[Local, list[int]],
    results: list[Result],
    work: Work,
) -> dict[Local, list[int]]:
    """Run the scripts; the mailboxes where the mail is kept as it is. What else it comes to goes into
    ``work``; who refuses it with ``ereject`` has failed, which makes a notice (RFC 5429 section 2.1.2)."""
    entry = parcel.entry

    def delivery(route: Local, numbers: Sequence[int]) -> Delivery:
        to = parcel.group[numbers[0]]
        return Delivery(
            route,
            Recipient(parse_stored(to.address), frozenset(to.notify), to.original),
            bytes(parcel.content.octets),
            parcel.content.index.parts,
            ReversePath(parse_stored(entry.reverse_path)) if entry.reverse_path else NULL_PATH,
            entry.hops,
            entry.trace,
            parcel.now,
            Client("", 0, account=entry.account, protocol=QUEUE),
            Body(entry.body),
            entry.smtputf8,
            entry.return_content,
            entry.envelope_id,
            entry.priority,
            entry.deliver_by,
            entry.by_mode,
            entry.tls,
            junk=route.mailbox != INBOX,
            key=delivery_key(entry.id),
        )

    found = await gathered(filtering, locals_, delivery, work)
    served = {n for route, numbers in locals_.items() if route not in found.rejected for n in numbers}
    served |= {number for number, result in enumerate(results) if result.state == "relayed"}
    for number, error in found.refused(locals_, served, at_once=False).items():
        results[number] = Result("failed", ours(error.status, " ".join(str(error).split())))
    return found.left
