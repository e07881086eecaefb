"""What becomes of the mails that applications send: kept a recipient, and told to their hooks.

A mail sent through the API has a trace id of its own kind (``new_id``); for those, and no others, the queue
records every outcome beside its own, in the same transaction. Documents (``PutDocument``), by account:

    mail     ID             what was sent            outcome  ID/ADDRESS   what became of it
    hook     NAME           who is told              event    random       what is still to be told
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from a3mailer.mail.ids import AccountId
from a3mailer.store.operations import Operation, PutDocument
from a3mailer.store.ports import DocumentReader
from a3mailer.store.rows import QueueEntry

DAY: Final = 86_400
KEPT_DAYS: Final = 30
"""How long it is known what became of a mail."""
TOLD_DAYS: Final = 3
"""How long a hook is tried."""
ID_OCTETS: Final = 10
_MARK: Final = "m"
EVENTS: Final = ("delivered", "deferred", "bounced", "complained")
"""What hooks are told."""
WORDS: Final = {
    "relayed": "delivered",
    "delivered": "delivered",
    "waiting": "deferred",
    "failed": "bounced",
    "expired": "bounced",
}
"""The queue's states in the words of the API."""


class Mail(msgspec.Struct, frozen=True):
    """One mail that was sent."""

    created: int
    message_id: str
    sender: str
    tags: tuple[str, ...] = ()


class Outcome(msgspec.Struct, frozen=True):
    """Of one recipient. ``state``: accepted, forwarded, or one of EVENTS."""

    state: str
    at: int
    text: str = ""
    """The words of the other server, or ours."""
    host: str = ""
    next_attempt: int = 0


class Hook(msgspec.Struct, frozen=True):
    """Who is told of what."""

    url: str
    secret: str
    """Base64, as it is shown once."""
    events: tuple[str, ...] = EVENTS


class Event(msgspec.Struct, frozen=True):
    """One thing that one hook is to be told."""

    hook: str
    body: str
    """The JSON document that is posted."""
    tried: int = 0


_mail: Final = msgspec.json.Decoder(Mail).decode
_outcome: Final = msgspec.json.Decoder(Outcome).decode
_hook: Final = msgspec.json.Decoder(Hook).decode


def new_id() -> str:
    """An id of a mail sent by an application; also its trace id and the left side of its Message-ID."""
    return _MARK + secrets.token_hex(ID_OCTETS)


def is_id(text: str) -> bool:
    """Was it made by ``new_id``?"""
    rest = text[1:]
    return text[:1] == _MARK and len(rest) == 2 * ID_OCTETS and set("0123456789abcdef").issuperset(rest)


def put_mail(account: AccountId, number: str, mail: Mail) -> PutDocument:
    """Keep what was sent."""
    value = msgspec.json.encode(mail).decode()
    return PutDocument(account, "mail", number, value, 0, mail.created + KEPT_DAYS * DAY)


def put_outcome(account: AccountId, number: str, address: str, outcome: Outcome, expires: int) -> PutDocument:
    """Keep what became of it."""
    value = msgspec.json.encode(outcome).decode()
    return PutDocument(account, "outcome", f"{number}/{address}", value, 0, expires)


async def mail_of(reader: DocumentReader, account: AccountId, number: str) -> Mail | None:
    """What was sent under an id."""
    row = await reader.document(account, "mail", number) if is_id(number) else None
    return None if row is None else _mail(row.value)


async def outcomes_of(reader: DocumentReader, account: AccountId, number: str) -> dict[str, Outcome]:
    """By recipient."""
    rows = await reader.documents(account, "outcome", f"{number}/")
    return {row.name.partition("/")[2]: _outcome(row.value) for row in rows}


async def hooks_of(reader: DocumentReader, account: AccountId) -> dict[str, Hook]:
    """By name."""
    return {row.name: _hook(row.value) for row in await reader.documents(account, "hook")}


async def told(
    reader: DocumentReader, account: AccountId, number: str, mail: Mail, news: Iterable[tuple[str, Outcome]]
) -> tuple[Operation, ...]:
    """Keep ``news`` (recipient, outcome) and let the account's hooks be told of them."""
    hooks = await hooks_of(reader, account)
    made: list[Operation] = []
    for address, outcome in news:
        made.append(put_outcome(account, number, address, outcome, mail.created + KEPT_DAYS * DAY))
        for name, hook in hooks.items():
            if outcome.state in hook.events:
                made.append(_event(account, name, number, mail, address, outcome))
    return tuple(made)


def _event(
    account: AccountId, hook: str, number: str, mail: Mail, address: str, outcome: Outcome
) -> PutDocument:
    body = {
        "type": outcome.state,
        "timestamp": outcome.at,
        "data": {
            "id": number,
            "message_id": mail.message_id,
            "recipient": address,
            "tags": mail.tags,
            "text": outcome.text,
            "host": outcome.host,
        },
    }
    event = Event(hook, msgspec.json.encode(body).decode())
    value, expires = msgspec.json.encode(event).decode(), outcome.at + TOLD_DAYS * DAY
    return PutDocument(account, "event", f"evt_{secrets.token_hex(12)}", value, outcome.at, expires)


def are_shown(entry: QueueEntry) -> bool:
    """Was the mail sent by an application that may ask what became of it?"""
    return bool(entry.account) and is_id(entry.trace)


async def settled(
    reader: DocumentReader, entry: QueueEntry, outcomes: Sequence[tuple[str, Outcome]]
) -> tuple[Operation, ...]:
    """What follows from an attempt at a queue entry, to be committed with its own record.

    Recipients that the mail was not sent to (where an alias leads) are not shown."""
    if not are_shown(entry):
        return ()
    mail = await mail_of(reader, entry.account, entry.trace)
    if mail is None:
        return ()
    known = await outcomes_of(reader, entry.account, entry.trace)
    news = [(address, outcome) for address, outcome in outcomes if address in known]
    return await told(reader, entry.account, entry.trace, mail, news)


async def complained(
    reader: DocumentReader, account: AccountId, message_id: str, address: str, now: int
) -> tuple[Operation, ...]:
    """A feedback report (RFC 5965) about a mail of ours came: what is to be committed; nothing if unknown."""
    number = message_id.strip("<> ").partition("@")[0]
    mail = await mail_of(reader, account, number)
    known = await outcomes_of(reader, account, number) if mail is not None else {}
    if mail is None or mail.message_id != message_id.strip("<> ") or address not in known:
        return ()
    news = ((address, Outcome("complained", now, "the recipient called it unwanted")),)
    return await told(reader, account, number, mail, news)
