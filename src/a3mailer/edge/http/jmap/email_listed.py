"""Email/get of what a list of mails shows (RFC 8621 section 4.2): JSON that is made once, and joined.

A list is asked for again and again, by each client of an account and after each change, and of most emails
nothing has changed: what was made of one is kept with what is known of it (``access.account_mail``) until it
changes. Those that take reading the octets of a mail are not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from a3mailer.access.account_changes import State
from a3mailer.access.account_mail import AccountMail
from a3mailer.edge.http.jmap.email_records import ROWS, Options, add_stored, of_rows, read_emails
from a3mailer.edge.http.jmap.method import Call
from a3mailer.edge.http.jmap.states import written
from a3mailer.mail.ids import EmailId
from a3mailer.mail.objectids import EMAIL_LETTER, number_of

AT_ONCE: Final = 128
"""Emails whose records are made before others get a turn on the loop."""
_NOTHING: Final = Options()


async def listed(call: Call, mail: AccountMail, ids: Sequence[str], wanted: frozenset[str]) -> dict[str, Any]:
    """The response of an Email/get; ``ids`` are unlike each other, ``wanted`` of ``LISTED``."""
    state = written(call.account, State(mail.modseq))
    numbers = {id: number_of(EMAIL_LETTER, id) for id in ids}
    kept = mail.made.get(wanted) or {}
    found = {number: octets for number in numbers.values() if (octets := kept.get(number or 0))}
    missing = [number for number in numbers.values() if number is not None and number not in found]
    for at in range(0, len(missing), AT_ONCE):
        found |= await _made(call, mail, missing[at : at + AT_ONCE], wanted)
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
    call: Call, mail: AccountMail, numbers: Sequence[int], wanted: frozenset[str]
) -> dict[int | None, bytes]:
    """Records of those that are there; kept for the next time."""
    rows = await call.view.fragments(call.account.id, [EmailId(each) for each in numbers])
    further = wanted - ROWS
    made: dict[int | None, bytes] = {}
    hard: list[str] = []
    for row in rows:  # no wait in here: what is kept is what the email is now
        at = mail.place(row.email)
        if at < 0:
            continue
        record = of_rows(mail.email(at), row.blob)
        if further and add_stored(record, row, further):
            hard.append(record["id"])
            continue
        octets = msgspec.json.encode({name: value for name, value in record.items() if name in wanted})
        made[row.email] = octets
        mail.keep(wanted, row.email, octets)
    for id, record in (await read_emails(call, hard, wanted, _NOTHING)).items() if hard else ():
        shown = {name: value for name, value in record.items() if name in wanted}
        made[number_of(EMAIL_LETTER, id)] = msgspec.json.encode(shown)
    return made
