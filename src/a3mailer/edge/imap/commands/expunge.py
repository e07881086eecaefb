"""EXPUNGE and UID EXPUNGE (RFC 9051 sections 6.4.3 and 6.4.9, RFC 4315 section 2.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Final

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import Completed, Failed, Response
from a3mailer.edge.imap.selected import Selected
from a3mailer.edge.imap.session import Session
from a3mailer.mail.flags import DELETED
from a3mailer.mail.ids import Uid
from a3mailer.store.operations import Expunge as ExpungeMessages
from a3mailer.store.operations import Expunged
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.sequence import SequenceSet, parse_sequence_set

READ_ONLY: Final = Failed(b"CANNOT", b"the mailbox is read-only")
NO_RIGHT: Final = Failed(b"NOPERM", b"the owner of the mailbox has not allowed that")
_DELETED: Final = bytes(1 if bits & DELETED else 0 for bits in range(256))


@dataclass(frozen=True, slots=True)
class Expunge:
    name: ClassVar = b"EXPUNGE"
    action: ClassVar = "message.expunge"
    states: ClassVar = state.SELECTED
    expunges: ClassVar = True
    uids: SequenceSet | None = None

    # "EXPUNGE"     uid-expunge = "EXPUNGE" SP sequence-set
    @classmethod
    def parse(cls, p: Parser, *, uid: bool = False) -> Expunge:
        uids = None
        if uid:
            p.space()
            uids = parse_sequence_set(p)
        p.end()
        return cls(uids)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        if (refused := refusal(session.chosen, "e")) is not None:
            yield refused
            return
        modseq = await expunge_deleted(session, self.uids)
        if modseq and session.qresync:
            yield Completed(b"HIGHESTMODSEQ %d" % modseq)


def refusal(selected: Selected, rights: str) -> Failed | None:
    """Why the selected mailbox cannot be changed so; None when it can."""
    if selected.read_only:
        return READ_ONLY
    return None if set(rights) <= set(selected.rights) else NO_RIGHT


async def expunge_deleted(session: Session, among: SequenceSet | None) -> int:
    """Expunge what is \\Deleted; the modseq of it, 0 when nothing was."""
    view = session.view
    if view.mailbox.stale:
        await view.mailbox.refresh()
    spans = [(0, view.count)] if among is None else session.chosen.spans(among, uid=True)
    uids = view.uids
    wanted = tuple(Uid(uids[at]) for at in _deleted_places(session, spans))
    if not wanted:
        return 0
    (result,) = await session.commit(
        ExpungeMessages(session.chosen.account, session.chosen.mailbox, wanted, only_deleted=True)
    )
    assert isinstance(result, Expunged)
    if result.uids:
        view.mailbox.hint(result.modseq)
    return result.modseq


def _deleted_places(session: Session, spans: list[tuple[int, int]]) -> list[int]:
    view = session.view
    if not view.current:
        return [at for low, high in spans for at in range(low, high) if view.flags(at)[0] & DELETED]
    marks = view.columns.flags.translate(_DELETED)
    places: list[int] = []
    for low, high in spans:
        at = marks.find(1, low, high)
        while at >= 0:
            places.append(at)
            at = marks.find(1, at + 1, high)
    return places
