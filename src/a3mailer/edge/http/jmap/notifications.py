"""Notifications that came for submissions (RFC 8621 section 7): dsnBlobIds and mdnBlobIds, found when asked.

Delivery notes nothing down for it. Of the mails that came since the first submission those are read whose
structure is a notification's (RFC 3464, RFC 8098), and what they are about is kept with what is known of the
account's mail (``access.account_mail``), so each is read once. A notification belongs to the submission whose
ENVID it names, else to those of the mail whose Message-ID it names.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from a3mailer.access.account_mail import EMAIL_BITS, EMAIL_MASK, AccountMail
from a3mailer.access.blobs import name_of
from a3mailer.access.indexes import index_of
from a3mailer.edge.http.jmap.services import Services
from a3mailer.mail.errors import DamagedContent, NoSuchMessage
from a3mailer.mail.ids import AccountId, EmailId
from a3mailer.mail.message import MessageIndex, encodings, headers
from a3mailer.mail.message.identifiers import identifier
from a3mailer.store.rows import Fragments
from a3mailer.wire.dsn.disposed import disposed
from a3mailer.wire.dsn.parse import report_of

LOOKED_AT: Final = 20_000
"""Mails, the newest of those that came since, among which notifications are looked for."""
AT_ONCE: Final = 1000
"""Mails whose structures are read before others get a turn."""
READ: Final = 512 << 10
"""Octets of a mail that are read."""
PURPOSE: Final = "notification"
_MARKS: Final = (b"delivery-status", b"disposition-notification")
_RETURNED: Final = frozenset((b"message/rfc822", b"message/global"))
_HEADERS: Final = frozenset((b"text/rfc822-headers", b"message/global-headers"))


class Notification(msgspec.Struct, frozen=True):
    """One mail that tells of another."""

    blob: str
    disposition: bool
    """An MDN; else a DSN."""
    at: int
    envelope_id: str = ""
    message_id: str = ""
    """Of the mail it is about, without brackets."""

    def is_about(self, envelope_id: str, message_id: str, sent: int) -> bool:
        """Did it come for the submission of this mail, with this ENVID, at this time?"""
        if self.at < sent:
            return False
        if envelope_id and self.envelope_id:
            return envelope_id == self.envelope_id
        return bool(message_id) and message_id == self.message_id


_decode: Final = msgspec.json.Decoder(Notification).decode


async def notifications(services: Services, account: AccountId, since: int) -> Sequence[Notification]:
    """Those that came at ``since`` or later, the first first. Errors: NoSuchAccount."""
    mail = await services.mail.of(account)
    order = mail.order(0)
    keys = order[max(bisect_left(order, since << EMAIL_BITS), len(order) - LOOKED_AT) :]
    kept = mail.made.get(PURPOSE) or {}
    told: dict[int, bytes] = {}
    unknown: list[int] = []
    for number in (key & EMAIL_MASK for key in keys):
        if (octets := kept.get(number)) is None:
            unknown.append(number)
        else:
            told[number] = octets
    for at in range(0, len(unknown), AT_ONCE):
        told |= await _looked(services, account, mail, sorted(unknown[at : at + AT_ONCE]))
    if unknown:
        services.mail.make_room_for_octets()
    return [_decode(octets) for key in keys if (octets := told.get(key & EMAIL_MASK))]


async def _looked(
    services: Services, account: AccountId, mail: AccountMail, numbers: Sequence[int]
) -> dict[int, bytes]:
    """By email, what it tells of, encoded; empty for mails that are no notifications."""
    structures = await services.store.bodystructures(account, array("Q", numbers))
    told = dict.fromkeys(numbers, b"")
    marked = [
        EmailId(number)
        for number, structure in zip(numbers, structures, strict=True)
        if any(mark in structure.lower() for mark in _MARKS)
    ]
    for row in await services.store.fragments(account, marked):
        at = mail.place(row.email)
        if at >= 0 and (found := await _read(services, account, row, mail.dates[at])) is not None:
            told[row.email] = msgspec.json.encode(found)
    for number, octets in told.items():
        if mail.place(number) >= 0:
            mail.keep(PURPOSE, number, octets)
    return told


async def _read(services: Services, account: AccountId, row: Fragments, at: int) -> Notification | None:
    try:
        octets = await services.store.octets(account, row.blob, 0, READ)
        index = await index_of(services.store, account, row)
    except (DamagedContent, NoSuchMessage):
        return None
    return told_by(octets, index, name_of(row.blob), at)


def told_by(octets: bytes, index: MessageIndex, blob: str, at: int) -> Notification | None:
    """What a mail tells of; None where it is no notification."""
    if (report := report_of(octets, index)) is not None:
        return Notification(blob, False, at, report.envelope_id, _returned(octets, index))
    if (found := disposed(octets, index)) is not None:
        named = identifier(found.original_message_id.encode("utf-8", "replace")).decode("utf-8", "replace")
        return Notification(blob, True, at, "", named or _returned(octets, index))
    return None


def _returned(octets: bytes, index: MessageIndex) -> str:
    """The Message-ID of the mail, or the header, that goes along."""
    for part in index.parts:
        if part.media in _RETURNED or part.media in _HEADERS:
            content = encodings.decode(octets[part.body : part.end], part.encoding)
            value = headers.first(content, 0, headers.header_end(content, 0, len(content)), b"message-id")
            return identifier(value).decode("utf-8", "replace")
    return ""


def envelope_id(envelope: Any) -> str:
    """The ENVID of an Envelope object (RFC 3461 section 4.4)."""
    parameters: dict[str, Any] = envelope["mailFrom"].get("parameters") or {}
    return next((str(value) for name, value in parameters.items() if name.upper() == "ENVID" and value), "")


def blobs(found: Iterable[Notification], *, disposition: bool) -> list[str]:
    """Of MDNs, or of DSNs."""
    return list(dict.fromkeys(each.blob for each in found if each.disposition is disposition))
