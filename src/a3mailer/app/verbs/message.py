"""Where a mail is: in the queue, or what became of it there; and the picture of an author."""

from __future__ import annotations

import base64
from typing import Final

from a3mailer.app.verbs.office import Office, Request
from a3mailer.app.verbs.queue import finished, show
from a3mailer.identity.names import clean_domain
from a3mailer.identity.principal import Object
from a3mailer.identity.roles import allow
from a3mailer.mail.errors import BadName, NoSuchThing
from a3mailer.mail.ids import TenantId
from a3mailer.msgauth import bimi
from a3mailer.store.rows import Finished, QueueEntry
from a3mailer.transfer.indicators import MEDIA, shown, words
from a3mailer.transfer.queue.queue import entries, left
from a3mailer.transfer.queue.story import of_entry, of_finished
from a3mailer.transfer.schedule import Schedule

MOST: Final = 100
"""Mails that wait, and recipients that have left, told of at once; of the latter the newest."""


class About(Request, frozen=True, kw_only=True):
    about: str
    """An address, a Message-ID or a trace."""


async def where(office: Office, request: About) -> dict[str, object]:
    """What the queue knows of it, in rows and in words."""
    about = request.about.strip().removeprefix("<").removesuffix(">")
    waiting: list[QueueEntry] = []
    done: list[Finished] = []
    if about:
        async for entry in entries(office.store):
            if len(waiting) < MOST and _is_about(entry, about) and _may(office, entry.tenant):
                waiting.append(entry)
        async for row in left(office.store, about):
            if len(done) < MOST and _may(office, row.tenant):
                done.append(row)
    schedule = Schedule.of(office.settings.queue)
    story = [line for entry in waiting for line in of_entry(entry, schedule, office.now)]
    return {
        "about": about,
        "queue": [show(entry) for entry in waiting],
        "finished": [finished(row) for row in done],
        "story": [*of_finished(done), *story],
    }


def _may(office: Office, tenant: TenantId) -> bool:
    return allow(office.subject, "queue.list", Object(tenant))


def _is_about(entry: QueueEntry, about: str) -> bool:
    """As ``QueueReader.finished`` looks for what has left."""
    if about in (entry.trace, entry.message_id) or entry.trace.startswith(f"{about}-"):
        return True
    people = (entry.reverse_path, *(r.address for r in entry.recipients))
    return about.lower() in (address.lower() for address in people)


class Picture(Request, frozen=True, kw_only=True):
    domain: str
    """As ``header.d`` of ``bimi=`` in Authentication-Results says it."""
    selector: str = bimi.DEFAULT
    """... and ``header.selector``."""


async def indicator(office: Office, request: Picture) -> dict[str, object]:
    """What is shown beside mail of a domain. ``image`` is an address for an image element, in which nothing
    runs; empty: show nothing. Errors: NoSuchThing, BadName."""
    domain, selector = clean_domain(request.domain), request.selector.lower()
    if bimi.parse_selector((f"v=BIMI1; s={selector}".encode(),)) != selector:
        raise BadName("this is no selector")
    known, octets = await shown(office.store, domain, selector, office.now)
    if known is None:
        raise NoSuchThing(f"no indicator of {domain} is known")
    return {
        "domain": domain,
        "selector": selector,
        "state": known.state,
        "says": words(known),
        "title": known.title,
        "organization": known.organization,
        "certifier": known.certifier,
        "until": known.until,
        "image": f"data:{MEDIA};base64,{base64.b64encode(octets).decode()}" if octets else "",
    }
