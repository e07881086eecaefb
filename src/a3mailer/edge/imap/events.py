"""What IMAP tells scripts of (RFC 6785): messages that were stored, copied or moved, and flags that changed.

Said after the commit and before the command's answer. Where no script is named this is a look into a dict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from a3mailer.edge.imap.session import Session
from a3mailer.mail.event import FLAG, Event
from a3mailer.mail.flags import SEEN, SYSTEM_FLAGS
from a3mailer.mail.ids import AccountId, MailboxId, Uid

Flags = tuple[int, str]
"""Flags and keywords of a message."""
NOBODY: Final[Mapping[Uid, Flags]] = {}


async def stored(
    session: Session, cause: str, place: tuple[AccountId, MailboxId], uids: Iterable[Uid]
) -> None:
    """Messages have come into a mailbox."""
    events = session.services.events
    if events is None or events.is_idle(*place):
        return
    event = Event(cause, session.principal.login, session.principal.address)
    await _happened(session, place, [(uid, event) for uid in uids])


async def before(session: Session, uids: Iterable[Uid]) -> Mapping[Uid, Flags]:
    """The flags that messages of the selected mailbox have, where a script wants to hear of others."""
    events, key, tenant = session.services.events, session.chosen.key, session.principal.tenant
    if events is None or events.is_idle(*key) or not await events.wanted(tenant, *key):
        return NOBODY
    view = session.view
    return {uid: view.flags(view.place(uid))[:2] for uid in uids}


async def flagged(session: Session, had: Mapping[Uid, Flags], changed: Iterable[Uid]) -> None:
    """Messages of the selected mailbox have other flags than before.

    A reader's own mark on another's mail is no flag of it."""
    if not had:
        return
    view, mask = session.view, ~SEEN if session.chosen.reader else ~0
    who = session.principal
    told: list[tuple[Uid, Event]] = []
    for uid in changed:
        place = view.place(uid)
        if place >= 0 and uid in had:
            bits, words, _modseq = view.flags(place)
            names = others(had[uid], (bits, words), mask)
            if names:
                told.append((uid, Event(FLAG, who.login, who.address, names)))
    if told:
        await _happened(session, session.chosen.key, told)


def others(had: Flags, have: Flags, mask: int) -> str:
    """The flags that two of them differ in."""
    differ = (had[0] ^ have[0]) & mask
    system = [name for name, bit in SYSTEM_FLAGS.items() if differ & bit]
    return " ".join((*system, *sorted(set(had[1].split()) ^ set(have[1].split()))))


async def _happened(
    session: Session, place: tuple[AccountId, MailboxId], told: list[tuple[Uid, Event]]
) -> None:
    events = session.services.events
    assert events is not None
    modseq = await events.happened(session.principal.tenant, place, told, session.labour(len(told)))
    selected = session.selected
    if modseq and selected is not None and selected.account == place[0]:
        selected.view.mailbox.hint(modseq)
