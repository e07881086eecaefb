"""FETCH of one message, what clients send most: the same answer as for many, without what many need."""

from __future__ import annotations

from typing import Final

from a3mailer.access.view import View
from a3mailer.edge.imap import sections
from a3mailer.edge.imap.fetching import DAMAGED, MISSING, Chunk, Plan
from a3mailer.edge.imap.response import DONE, Answer, Completed, Failed
from a3mailer.edge.imap.selected import Selected
from a3mailer.edge.imap.session import Session
from a3mailer.mail.errors import DamagedContent, NoSuchMessage
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import BlobId, Uid
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
        session.write(_head(plan, Chunk(view, [at]), at)[:-1] + b")\r\n")
        return DONE
    if at != selected.last:
        selected.streak = selected.streak + 1 if at == selected.last + 1 else 0
        selected.last = at
    row = selected.ahead.get(view.columns.uids[at])
    if row is not None:
        octets = session.services.contents.find(session.account, row.blob)
        if octets is not None:
            return _say(session, plan, at, row, octets)
    return _read(session, plan, at, row)


def _say(session: Session, plan: Plan, at: int, row: Message, octets: bytes | None) -> Completed | Failed:
    chunk = Chunk(session.view, [at], {row.uid: row})
    out = [_head(plan, chunk, at)]
    sections.small(out, sections.Source(row, None, octets, octets is None), plan.sections)
    out.append(b")\r\n")
    session.write(b"".join(out))
    return DAMAGED if octets is None else DONE


def _head(plan: Plan, chunk: Chunk, at: int) -> bytes:
    if not plan.values:
        return b"* %d FETCH (" % (at + 1)
    return (plan.head % (at + 1, *[one for fill in plan.values for one in fill(chunk)])).encode("ascii")


async def _read(session: Session, plan: Plan, at: int, row: Message | None) -> Completed | Failed:
    """Write the response when its message was read. Errors: TryLater."""
    selected = session.chosen
    view = selected.view
    if row is None:
        row = await _row(session, selected, at)
        if row is None:
            return MISSING
    return _say(session, plan, at, row, await _octets(session, selected, view, at, row))


async def _row(session: Session, selected: Selected, at: int) -> Message | None:
    """The row of one message, and of the next few where the client goes through them in order."""
    view = selected.view
    end = min(at + AHEAD_MESSAGES, view.count) if selected.streak else at + 1
    uids = view.uids[at:end]
    found = await session.services.store.messages(
        session.account, selected.mailbox, [Uid(one) for one in uids]
    )
    selected.ahead = {row.uid: row for row in found}
    return selected.ahead.get(uids[0])


async def _octets(session: Session, selected: Selected, view: View, at: int, row: Message) -> bytes | None:
    """The content of one message, and of the next few likewise; None when it is damaged or gone."""
    store, contents, account = session.services.store, session.services.contents, session.account
    wanted = _wanted(selected, view, at, row)
    if len(wanted) == 1:
        try:
            octets = await store.octets(account, row.blob)
        except (DamagedContent, NoSuchMessage):
            return None
        contents.keep(account, row.blob, octets)
        return octets
    found = await store.many_octets(account, wanted)
    for blob, one in zip(wanted, found, strict=True):
        if one is not None:
            contents.keep(account, blob, one)
    return found[0]


def _wanted(selected: Selected, view: View, at: int, row: Message) -> list[BlobId]:
    """This content and those after it, the more the longer the streak, as far as they are known and small."""
    wanted = [row.blob]
    octets = row.size
    for uid in view.columns.uids[at + 1 : min(at + min(selected.streak, AHEAD_MESSAGES), view.count)]:
        following = selected.ahead.get(uid)
        if following is None or octets + following.size > AHEAD_OCTETS:
            break
        octets += following.size
        wanted.append(following.blob)
    return wanted
