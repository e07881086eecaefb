"""FETCH of one message, what clients send most: the same answer as for many, without what many need."""

from __future__ import annotations

from typing import Final

from a3mailer.edge.imap import sections
from a3mailer.edge.imap.fetching import DAMAGED, MISSING, READ_AHEAD, Chunk, Plan
from a3mailer.edge.imap.response import DONE, Completed, Failed
from a3mailer.edge.imap.session import Session
from a3mailer.mail.errors import DamagedContent, NoSuchMessage
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import Uid
from a3mailer.store.rows import Message

AHEAD_OCTETS: Final = 64 * 1024
"""Contents read ahead for a client that takes one message after the other."""
AHEAD_MESSAGES: Final = 8


def possible(session: Session, plan: Plan, at: int) -> bool:
    """Whether this is columns only, or a small message that shows by itself where its header ends."""
    if plan.fragments:
        return False
    if not plan.sections:
        return not plan.rows
    view = session.view
    if view.columns.sizes[at] > sections.WHOLE or any(section.part for section in plan.sections):
        return False
    return not plan.sets_seen or session.chosen.read_only or bool(view.flags(at)[0] & SEEN)


async def fetch(session: Session, plan: Plan, at: int) -> Completed | Failed:
    """Write the response; how it ended. Errors: TryLater."""
    chunk = Chunk(session.view, [at])
    if not plan.sections:
        session.write(f"{_head(plan, chunk, at)[:-1]})\r\n".encode("ascii"))
        return DONE
    (uid,) = chunk.uids
    row = await _row(session, at, uid)
    if row is None:
        return MISSING
    chunk.rows = {uid: row}
    octets = await _octets(session, at, row)
    out = [_head(plan, chunk, at).encode("ascii")]
    sections.small(out, sections.Source(row, None, octets, octets is None), plan.sections)
    out.append(b")\r\n")
    session.write(b"".join(out))
    return DAMAGED if octets is None else DONE


def _head(plan: Plan, chunk: Chunk, at: int) -> str:
    if not plan.values:
        return plan.head % (at + 1)
    return plan.head % (at + 1, *[one for fill in plan.values for one in fill(chunk)])


async def _row(session: Session, at: int, uid: int) -> Message | None:
    """The row of one message, and of the next few where the client goes through them in order."""
    selected, view = session.chosen, session.view
    row = selected.ahead.get(uid)
    if row is None:
        end = min(at + READ_AHEAD, view.count) if at == selected.last + 1 else at + 1
        uids = [Uid(one) for one in view.uids[at:end]]
        found = await session.services.store.messages(session.account, selected.mailbox, uids)
        selected.ahead = {row.uid: row for row in found}
        row = selected.ahead.get(uid)
    return row


async def _octets(session: Session, at: int, row: Message) -> bytes | None:
    """The content of one message, and of the next few likewise; None when it is damaged or gone."""
    selected, store = session.chosen, session.services.store
    follows, selected.last = at == selected.last + 1, at
    found = selected.bodies.pop(row.uid, None)
    if found is not None:
        return found
    selected.bodies.clear()
    wanted = _following(session, at, row) if follows else [row]
    if len(wanted) == 1:
        try:
            return await store.octets(session.account, row.blob)
        except (DamagedContent, NoSuchMessage):
            return None
    contents = await store.many_octets(session.account, [one.blob for one in wanted])
    for one, octets in zip(wanted[1:], contents[1:], strict=True):
        if octets is not None:
            selected.bodies[one.uid] = octets
    return contents[0]


def _following(session: Session, at: int, row: Message) -> list[Message]:
    """This message and those after it whose rows are known, as far as they are small."""
    selected, view = session.chosen, session.view
    found = [row]
    octets = row.size
    for uid in view.uids[at + 1 : min(at + AHEAD_MESSAGES, view.count)]:
        following = selected.ahead.get(uid)
        if following is None or octets + following.size > AHEAD_OCTETS:
            break
        octets += following.size
        found.append(following)
    return found
