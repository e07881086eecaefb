"""FETCH of one message, what clients send most: the same answer as for many, without what many need."""

from __future__ import annotations

from typing import Final

from a3mailer.access.view import View
from a3mailer.edge.imap import sections
from a3mailer.edge.imap.fetching import DAMAGED, MISSING, Chunk, Plan
from a3mailer.edge.imap.response import DONE, Answer, Completed, Failed
from a3mailer.edge.imap.selected import Selected
from a3mailer.edge.imap.session import Session
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import Uid
from a3mailer.store.rows import Message

AHEAD_MESSAGES: Final = 32
"""Rows, and at most so many contents, read at once for a client that takes one message after the other."""
AHEAD_OCTETS: Final = 256 * 1024


def possible(session: Session, plan: Plan, at: int) -> bool:
    """Whether a message is small, and reading it changes nothing; for plans that are ``alone``."""
    if not plan.sections:
        return True
    view = session.view
    if view.columns.sizes[at] > sections.WHOLE:
        return False
    return not plan.sets_seen or session.chosen.read_only or bool(view.flags(at)[0] & SEEN)


def fetch(session: Session, plan: Plan, at: int) -> Answer:
    """Write the response, at once where all is there."""
    selected = session.chosen
    view = selected.view
    if not plan.sections:
        session.name_keywords()
        session.write(_head(plan, view, at)[:-1] + b")\r\n")
        return DONE
    if at != selected.last:
        selected.streak = selected.streak + 1 if at == selected.last + 1 else 0
        selected.last = at
    uid = view.columns.uids[at]
    row = selected.ahead.get(uid) if plan.dated else None
    octets = session.services.contents.find((selected.account, selected.mailbox, uid))
    if octets is None or (row is None and plan.dated):
        return _read(session, plan, at)
    return _say(session, plan, at, row, octets)


def _say(
    session: Session, plan: Plan, at: int, row: Message | None, octets: bytes | None
) -> Completed | Failed:
    session.name_keywords()
    head = _head(plan, session.view, at, row)
    if plan.whole and octets is not None:
        octets = sections.without_nul(octets)
        session.write(b"%b%b {%d}\r\n%b)\r\n" % (head, plan.sections[0].label, len(octets), octets))
        return DONE
    out = [head]
    sections.small(out, sections.Source(row, None, octets, octets is None), plan.sections)
    out.append(b")\r\n")
    session.write(b"".join(out))
    return DAMAGED if octets is None else DONE


def _head(plan: Plan, view: View, at: int, row: Message | None = None) -> bytes:
    number = view.columns.uids[at] if plan.by_uid else at + 1
    if not plan.values:
        return (plan.head % number).encode("ascii")
    chunk = Chunk(view, [at], {} if row is None else {row.uid: row})
    return (plan.head % (number, *[one for fill in plan.values for one in fill(chunk)])).encode("ascii")


async def _read(session: Session, plan: Plan, at: int) -> Completed | Failed:
    """Write the response when its message was read. Errors: TryLater."""
    selected = session.chosen
    uid = selected.view.columns.uids[at]
    contents, account, mailbox = session.services.contents, selected.account, selected.mailbox
    row = None
    if plan.dated:
        row = selected.ahead.get(uid) or await _row(session, selected, at)
        if row is None:
            return MISSING
    octets = contents.find((account, mailbox, uid))
    if octets is None:
        found = await session.services.store.contents(account, mailbox, _wanted(selected, at))
        if uid not in found:
            return MISSING
        octets = found[uid]
        for one, content in found.items():
            if content is not None:
                contents.keep((account, mailbox, one), content)
    return _say(session, plan, at, row, octets)


async def _row(session: Session, selected: Selected, at: int) -> Message | None:
    """The row of one message, and of the next few where the client goes through them in order."""
    view = selected.view
    end = min(at + AHEAD_MESSAGES, view.count) if selected.streak else at + 1
    uids = [Uid(one) for one in view.columns.uids[at:end]]
    found = await session.services.store.messages(selected.account, selected.mailbox, uids)
    selected.ahead = {row.uid: row for row in found}
    return selected.ahead.get(uids[0])


def _wanted(selected: Selected, at: int) -> list[int]:
    """This message and those after it, the more the longer the streak, as far as they are small."""
    columns = selected.view.columns
    end = min(at + min(selected.streak, AHEAD_MESSAGES), selected.view.count)
    octets, stop = columns.sizes[at], at + 1
    while stop < end and octets + columns.sizes[stop] <= AHEAD_OCTETS:
        octets += columns.sizes[stop]
        stop += 1
    return columns.uids[at:stop].tolist()
