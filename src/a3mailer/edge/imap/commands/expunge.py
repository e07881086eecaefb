"""EXPUNGE and UID EXPUNGE (RFC 9051 sections 6.4.3 and 6.4.9, RFC 4315 section 2.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from a3mailer.edge.imap import state
from a3mailer.edge.imap.limiting import ended, latest
from a3mailer.edge.imap.response import DONE, Completed, Failed, Response
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
        modseq, limit = await expunge_deleted(session, self.uids)
        yield ended(
            session, limit, Completed(b"HIGHESTMODSEQ %d" % modseq) if modseq and session.qresync else DONE
        )


def refusal(selected: Selected, rights: str) -> Failed | None:
    """Why the selected mailbox cannot be changed so; None when it can."""
    if selected.read_only:
        return READ_ONLY
    return None if set(rights) <= set(selected.rights) else NO_RIGHT


async def expunge_deleted(session: Session, among: SequenceSet | None) -> tuple[int, bytes]:
    """Expunge what is \\Deleted; the modseq of it, 0 when nothing was; and a code where not all was.

    EXPUNGE and CLOSE know no limit (RFC 9738 section 3.1)."""
    view = session.view
    if view.mailbox.stale:
        await view.mailbox.refresh()
    spans = [(0, view.count)] if among is None else session.chosen.spans(among, uid=True)
    uids = view.uids
    found: Sequence[int] = [uids[at] for at in _deleted_places(session, spans)]
    limit = b""
    if among is not None:
        found, limit = latest(session, found)
    wanted = tuple(Uid(uid) for uid in found)
    if not wanted:
        return 0, b""
    (result,) = await session.commit(
        ExpungeMessages(session.chosen.account, session.chosen.mailbox, wanted, only_deleted=True)
    )
    assert isinstance(result, Expunged)
    if result.uids:
        view.mailbox.hint(result.modseq)
    return result.modseq, limit


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
