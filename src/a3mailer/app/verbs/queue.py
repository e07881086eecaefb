"""The queue as operators see it."""

from __future__ import annotations

from typing import Final

from a3mailer.app.verbs.office import Nothing, Office, Request
from a3mailer.identity.principal import Object
from a3mailer.identity.roles import allow, require
from a3mailer.mail.errors import NoSuchThing
from a3mailer.mail.ids import QueueId
from a3mailer.store.rows import QueuedRecipient, QueueEntry
from a3mailer.transfer import queue
from a3mailer.transfer.bounce import Voice
from a3mailer.transfer.schedule import URGENT

ENTRIES_A_PAGE: Final = 1000


class Entry(Request, frozen=True, kw_only=True):
    queue: int


class Change(Entry, frozen=True, kw_only=True):
    act: str


async def list_(office: Office, request: Nothing) -> list[dict[str, object]]:
    """All entries, oldest first."""
    found: list[dict[str, object]] = []
    after = 0
    while entries := await office.store.queue(ENTRIES_A_PAGE, after):
        found += [show(e) for e in entries if allow(office.subject, "queue.list", Object(e.tenant))]
        after = entries[-1].id
    return found


async def show_(office: Office, request: Entry) -> dict[str, object]:
    """One entry with all its recipients. Errors: NoSuchThing."""
    return show(await _entry(office, "queue.list", request.queue))


async def change(office: Office, request: Change) -> dict[str, object]:
    """Hold, release, try again now, or give up. Errors: NoSuchThing, BadName (no such act)."""
    entry = await _entry(office, "queue.change", request.queue)
    subject, now = office.subject.login, office.now
    if request.act == "fail":
        voice = Voice.of(office.settings)
        await queue.fail(office.store, entry.id, voice=voice, subject=subject, now=now)
    else:
        await queue.change(office.store, entry.id, request.act, subject=subject, now=now)
    return {"queue": entry.id, "act": request.act}


async def _entry(office: Office, action: str, queue: int) -> QueueEntry:
    try:
        entry = await office.store.queue_entry(QueueId(queue))
    except NoSuchThing as error:
        raise NoSuchThing(f"no queue entry {queue}") from error
    require(office.subject, action, Object(entry.tenant))
    return entry


def _next(recipient: QueuedRecipient) -> int:
    """When it is tried next; 0 is at once."""
    return 0 if recipient.next_attempt == URGENT else recipient.next_attempt


def show(entry: QueueEntry) -> dict[str, object]:
    """An entry as verbs print it."""
    waiting = [r for r in entry.recipients if r.state == "waiting"]
    return {
        "queue": entry.id,
        "from": entry.reverse_path,
        "size": entry.size,
        "created": entry.created,
        "held": entry.held,
        "state": "held" if entry.held else "trying" if entry.lease_owner else "waiting",
        "next_attempt": min((_next(r) for r in waiting), default=0),
        "trace": entry.trace,
        "tls": entry.tls,
        "recipients": [
            {
                "address": r.address,
                "state": r.state,
                "attempts": r.attempts,
                "next_attempt": _next(r),
                "code": r.code,
                "enhanced": r.enhanced,
                "text": r.text,
                "host": r.host,
            }
            for r in entry.recipients
        ],
    }
