"""Email/get of what programs show again and again (RFC 8621 section 4.2): JSON that is made once, and joined.

A list is asked for by each client of an account and after each change, and of most emails nothing has
changed: what was made of one is kept with what is known of it (``access.account_mail``) until it changes.
Not kept is what a client may choose freely (header fields, texts, properties of parts), what is large, and
what could not be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from a3mailer.access.account_changes import State
from a3mailer.access.account_mail import AccountMail
from a3mailer.access.labour import Labour
from a3mailer.edge.http.jmap.email_records import (
    BODY,
    LISTED,
    READ_SECONDS,
    ROWS,
    Options,
    add_read,
    add_stored,
    of_rows,
)
from a3mailer.edge.http.jmap.method import Call
from a3mailer.edge.http.jmap.records import Record
from a3mailer.edge.http.jmap.states import written
from a3mailer.mail.ids import EmailId
from a3mailer.mail.objectids import EMAIL_LETTER, number_of
from a3mailer.store.rows import Fragments

AT_ONCE: Final = 128
"""Emails whose records are made before others get a turn on the loop."""
MAX_KEPT: Final = 16_384
"""Octets of one email's JSON that are kept."""
_NOTHING: Final = Options()


def is_listed(wanted: frozenset[str], options: Options) -> bool:
    """Is this of the kind that is kept?"""
    return wanted <= LISTED and (options == _NOTHING or wanted.isdisjoint(BODY))


async def listed(call: Call, mail: AccountMail, ids: Sequence[str], wanted: frozenset[str]) -> dict[str, Any]:
    """The response of an Email/get; ``ids`` are unlike each other, ``wanted`` of ``LISTED``."""
    state = written(call.account, State(mail.modseq))
    numbers = {id: number_of(EMAIL_LETTER, id) for id in ids}
    kept = mail.made.get(wanted) or {}
    found = {number: octets for number in numbers.values() if (octets := kept.get(number or 0))}
    missing = [number for number in numbers.values() if number is not None and number not in found]
    labour = Labour(call.services.clock, READ_SECONDS)
    for at in range(0, len(missing), AT_ONCE):
        found |= await _made(call, mail, missing[at : at + AT_ONCE], wanted, labour)
    if missing:
        call.mail.make_room_for_octets()
    told = [octets for number in numbers.values() if (octets := found.get(number))]
    return {
        "accountId": call.account.key,
        "state": state,
        "list": msgspec.Raw(b"[" + b",".join(told) + b"]"),
        "notFound": [id for id, number in numbers.items() if number not in found],
    }


async def _made(
    call: Call, mail: AccountMail, numbers: Sequence[int], wanted: frozenset[str], labour: Labour
) -> dict[int | None, bytes]:
    """Records of those that are there; kept for the next time."""
    rows = await call.view.fragments(call.account.id, [EmailId(each) for each in numbers])
    further = wanted - ROWS
    made: dict[int | None, bytes] = {}
    hard: list[tuple[Fragments, Record, frozenset[str]]] = []
    for row in rows:  # no wait in here: what is kept is what the email is now
        at = mail.place(row.email)
        if at < 0:
            continue
        record = of_rows(mail.email(at), row.blob)
        left = add_stored(record, row, further) if further else further
        if left:
            hard.append((row, record, left))
        else:
            made[row.email] = _told(mail, row, record, wanted)
    modseq = mail.modseq
    for row, record, left in hard:
        whole = await add_read(call, record, row, left, _NOTHING)
        made[row.email] = _told(mail, row, record, wanted, keep=whole and mail.modseq == modseq)
        await labour.step()
    return made


def _told(
    mail: AccountMail, row: Fragments, record: Record, wanted: frozenset[str], *, keep: bool = True
) -> bytes:
    octets = msgspec.json.encode({name: value for name, value in record.items() if name in wanted})
    if keep and len(octets) <= MAX_KEPT:
        mail.keep(wanted, row.email, octets)
    return octets
