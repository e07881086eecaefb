"""What COPY and MOVE share (RFC 9051 sections 6.4.7 and 6.4.8, RFC 4315, RFC 6851)."""

from __future__ import annotations

from a3mailer.edge.imap.session import Session
from a3mailer.mail.ids import Uid
from a3mailer.store.operations import Copied
from a3mailer.store.operations import Copy as CopyMessages
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.sequence import SequenceSet, parse_sequence_set, print_set


# sequence-set SP mailbox
def parse_copy(p: Parser) -> tuple[SequenceSet, str]:
    """The arguments of COPY and MOVE. Errors: BadSyntax."""
    p.space()
    messages = parse_sequence_set(p)
    p.space()
    mailbox = p.mailbox()
    p.end()
    return messages, mailbox


async def copy(session: Session, messages: SequenceSet, mailbox: str, *, uid: bool, move: bool) -> Copied:
    """Copy or move in one transaction. Errors: NoSuchTarget, OverQuota, BadSyntax."""
    target = await session.target(mailbox)
    uids = session.view.uids
    wanted = tuple(
        Uid(uids[at]) for low, high in session.chosen.spans(messages, uid=uid) for at in range(low, high)
    )
    if not wanted:
        return Copied(target.uid_validity, (), target.modseq)
    source = session.chosen.mailbox
    (result,) = await session.commit(CopyMessages(session.account, source, wanted, target.id, move))
    assert isinstance(result, Copied)
    if move or source == target.id:
        session.view.mailbox.hint(result.modseq)
    return result


# resp-code-copy = "COPYUID" SP nz-number SP uid-set SP uid-set
def copyuid(copied: Copied) -> bytes:
    """The response code that pairs old and new uids; b"" when nothing was copied."""
    if not copied.pairs:
        return b""
    old = print_set(source for source, _target in copied.pairs)
    new = print_set(target for _source, target in copied.pairs)
    return b"COPYUID %d %b %b" % (copied.uid_validity, old, new)
