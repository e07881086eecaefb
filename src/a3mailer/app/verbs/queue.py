"""The queue as operators see it."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from typing import Final

from a3mailer.app.verbs.office import Office, Request
from a3mailer.config.fields import BadValue
from a3mailer.config.routes import NULL_SENDER, is_of
from a3mailer.config.syntax import domain_name
from a3mailer.identity.names import clean_address
from a3mailer.identity.principal import Object
from a3mailer.identity.roles import allow, require
from a3mailer.mail.answers import Answer
from a3mailer.mail.errors import BadName, MailError, NoSuchThing
from a3mailer.mail.ids import DEFAULT_TENANT, QueueId, TenantId
from a3mailer.store.rows import Finished, QueuedRecipient, QueueEntry
from a3mailer.transfer import suppression
from a3mailer.transfer.bounce import Voice
from a3mailer.transfer.queue import queue
from a3mailer.transfer.queue.attempt import CONGESTED
from a3mailer.transfer.queue.story import of_entry, of_finished
from a3mailer.transfer.relay.answers import classify
from a3mailer.transfer.relay.destinations.providers import provider_of
from a3mailer.transfer.schedule import URGENT, Schedule
from a3mailer.wire.smtp.remote import RemoteReply

ENTRIES_A_PAGE: Final = 1000


class Entry(Request, frozen=True, kw_only=True):
    queue: int


class Change(Entry, frozen=True, kw_only=True):
    act: str


class Changes(Request, frozen=True, kw_only=True):
    queues: tuple[int, ...]
    act: str


class Wanted(Request, frozen=True, kw_only=True):
    """Which entries; what is empty is not asked for."""

    domain: str = ""
    """Of a recipient who waits; ``.domain`` for what lies below it."""
    sender: str = ""
    """An address, or a domain as above; ``<>`` for the null reverse-path."""
    age: int = 0
    """At least so many seconds old; 0 for any age, of a clock that has jumped as well (row 69)."""
    answer: str = ""
    """What the last answer to a recipient who waits was about (``mail.answers``)."""
    after: int = 0
    limit: int = 0
    """0: all of them."""

    def takes(self, entry: QueueEntry, now: int) -> bool:
        """Is it one of them?"""
        if (self.age and entry.created > now - self.age) or not self._sent_by(entry.reverse_path.lower()):
            return False
        if not (self.domain or self.answer):
            return True
        return any(self._waits(r) for r in entry.recipients if r.state == "waiting")

    def _sent_by(self, sender: str) -> bool:
        wanted = self.sender.lower()
        if not wanted or wanted == (sender or NULL_SENDER):
            return True
        return bool(sender) and is_of(wanted, sender.rpartition("@")[2])

    def _waits(self, recipient: QueuedRecipient) -> bool:
        domain = recipient.address.rpartition("@")[2].lower()
        return is_of(self.domain.lower(), domain) and self.answer in ("", answer_to(recipient))


def answer_to(recipient: QueuedRecipient) -> str:
    """What the last answer to a recipient was about; empty for one that was not tried."""
    if not (recipient.code or recipient.enhanced):
        return ""
    if not recipient.code and recipient.enhanced == CONGESTED:  # we put it off ourselves
        return Answer.THROTTLED
    reply = RemoteReply(recipient.code, recipient.enhanced, recipient.text)
    return classify(reply, provider_of(recipient.host))


async def list_(office: Office, request: Wanted) -> list[dict[str, object]]:
    """Entries, oldest first. Errors: BadName, which names the filter that is none."""
    _check(request)
    found: list[dict[str, object]] = []
    after, most = request.after, request.limit or sys.maxsize
    while len(found) < most and (entries := await office.store.queue(ENTRIES_A_PAGE, after)):
        after = entries[-1].id
        seen = [e for e in entries if allow(office.subject, "queue.list", Object(e.tenant))]
        found += [show(e) for e in seen if request.takes(e, office.now)]
    return found[:most]


def _check(request: Wanted) -> None:
    """Errors: BadName."""
    if request.answer not in ("", *Answer):
        raise BadName(f"answer: {request.answer[:80]!r} is none of: {', '.join(Answer)}")
    for name in ("age", "after", "limit"):
        if getattr(request, name) < 0:
            raise BadName(f"{name}: it is 0 or more")
    sender = "" if request.sender == NULL_SENDER else request.sender.rpartition("@")[2] or request.sender
    for name, text in (("domain", request.domain), ("sender", sender)):
        if not text or (text.startswith("[") and text.endswith("]")):
            continue
        try:
            domain_name(text.removeprefix(".").replace("_", "x"))
        except BadValue as error:
            raise BadName(f"{name}: {error}") from error


async def show_(office: Office, request: Entry) -> dict[str, object]:
    """One entry with all its recipients, or what became of it. Errors: NoSuchThing."""
    try:
        entry = await _entry(office, "queue.list", request.queue)
    except NoSuchThing:
        rows = [row async for row in queue.left(office.store, queue=request.queue)]
        if not rows or not allow(office.subject, "queue.list", Object(rows[0].tenant)):
            raise
        return _gone(rows)
    return {**show(entry), "story": of_entry(entry, Schedule.of(office.settings.queue), office.now)}


def _gone(rows: list[Finished]) -> dict[str, object]:
    """An entry that has left, with what is still known of its recipients."""
    first = rows[0]
    return {
        "queue": first.queue,
        "from": first.sender,
        "created": first.created,
        "state": "finished",
        "trace": first.trace,
        "message_id": first.message_id,
        "recipients": [finished(row) for row in reversed(rows)],
        "story": of_finished(rows),
    }


def finished(row: Finished) -> dict[str, object]:
    """A recipient that has left, as verbs print it."""
    return asdict(row)


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


async def changes(office: Office, request: Changes) -> list[dict[str, object]]:
    """The same of many, their commits made together; those that have left are passed over.

    Errors: BadName (no such act, too many at once), and the first that one of them met."""
    if len(request.queues) > ENTRIES_A_PAGE:
        raise BadName(f"more than {ENTRIES_A_PAGE} entries at once")
    async with asyncio.TaskGroup() as tasks:
        made = [tasks.create_task(_changed(office, each, request.act)) for each in request.queues]
    found = [task.result() for task in made]
    refused = next((each for each in found if isinstance(each, MailError)), None)
    if refused is not None:
        raise refused
    return [each for each in found if isinstance(each, dict)]


async def _changed(office: Office, queue: int, act: str) -> dict[str, object] | MailError | None:
    try:
        return await change(office, Change(queue=queue, act=act))
    except NoSuchThing:
        return None
    except MailError as error:
        return error


class Suppressed(Request, frozen=True, kw_only=True):
    tenant: int = 0
    """0: of all that may be seen."""


class Listed(Request, frozen=True, kw_only=True):
    address: str
    tenant: int = 0
    """Whose senders; 0: the subject's own."""


class Suppress(Listed, frozen=True, kw_only=True):
    reason: str = "manual"
    words: str = ""
    days: int = 0
    """0: for ever."""


async def suppressions(office: Office, request: Suppressed) -> list[dict[str, object]]:
    """The addresses that nothing is sent to, and those whose refusals are being counted."""
    return [
        {
            "address": row.address,
            "tenant": row.tenant,
            "state": "suppressed" if row.what.active else "counted",
            "reason": row.what.reason,
            "words": row.what.words,
            "strikes": row.what.strikes,
            "since": row.since,
            "until": row.until,
        }
        async for row in suppression.suppressions(office.store)
        if request.tenant in (0, row.tenant) and allow(office.subject, "queue.list", Object(row.tenant))
    ]


async def suppress(office: Office, request: Suppress) -> dict[str, object]:
    """Send nothing to an address. Errors: BadName (no address, no such reason)."""
    address = clean_address(request.address)
    if request.reason not in suppression.REASONS:
        raise BadName(f"{request.reason} is none of: {', '.join(suppression.REASONS)}")
    tenant = await _tenant(office, request.tenant)
    what = suppression.Suppression(request.reason, request.words[: suppression.MAX_WORDS], active=True)
    until = office.now + request.days * suppression.DAY if request.days else 0
    await office.change("queue.suppress", address, suppression.suppress(tenant, address, what, until))
    return {"address": address, "until": until}


async def release(office: Office, request: Listed) -> dict[str, object]:
    """Send to an address again. Errors: NoSuchThing."""
    address = clean_address(request.address)
    tenant = await _tenant(office, request.tenant)
    await office.change("queue.unsuppress", address, suppression.release(tenant, address))
    return {"address": address}


async def _tenant(office: Office, asked: int) -> TenantId:
    """The tenant whose list is changed. Errors: NoSuchThing (it has no domain, or is another's)."""
    tenant = TenantId(asked) if asked else office.subject.tenant or DEFAULT_TENANT
    require(office.subject, "queue.change", Object(tenant))
    if asked and all(domain.tenant != asked for domain in await office.store.domains()):
        raise NoSuchThing(f"no tenant {asked}")
    return tenant


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
        "message_id": entry.message_id,
        "tls": entry.tls,
        "priority": entry.priority,
        "not_before": entry.not_before,
        "deliver_by": entry.deliver_by,
        "by_mode": entry.by_mode,
        "recipients": [
            {
                "address": r.address,
                "state": r.state,
                "attempts": r.attempts,
                "answer": answer_to(r),
                "next_attempt": _next(r),
                "code": r.code,
                "enhanced": r.enhanced,
                "text": r.text,
                "host": r.host,
            }
            for r in entry.recipients
        ],
    }
