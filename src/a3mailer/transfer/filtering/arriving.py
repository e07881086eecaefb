"""The deliveries of a mail that has just come, for the scripts of their mailboxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from a3mailer.mail.ids import INBOX
from a3mailer.store.ports import Content
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.filtering.mail import Delivery
from a3mailer.transfer.relay.tls_wish import HEADER_LOOKED_AT, tls_of
from a3mailer.transfer.route import Local


def deliveries(
    arrival: Arrival, content: Content, now: int, hops: int
) -> Callable[[Local, Sequence[int]], Delivery]:
    """What makes the delivery for one mailbox and the recipients it serves."""
    envelope, octets = arrival.envelope, bytes(content.octets)
    tls = tls_of(envelope, bytes(arrival.octets[:HEADER_LOOKED_AT]))

    def delivery(route: Local, numbers: Sequence[int]) -> Delivery:
        return Delivery(
            route,
            envelope.recipients[numbers[0]],
            octets,
            content.index.parts,
            envelope.reverse_path,
            hops,
            arrival.trace,
            now,
            arrival.client,
            envelope.body,
            envelope.smtputf8,
            envelope.return_content,
            envelope.envelope_id,
            envelope.priority,
            envelope.deliver_by,
            envelope.by_mode,
            tls,
            junk=route.mailbox != INBOX,
        )

    return delivery
