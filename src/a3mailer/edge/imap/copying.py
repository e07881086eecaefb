"""What COPY and MOVE share (RFC 9051 sections 6.4.7 and 6.4.8, RFC 4315, RFC 6851)."""

from __future__ import annotations

from a3mailer.access.crossing import Flags, cross
from a3mailer.access.rights import mask_of
from a3mailer.access.view import View
from a3mailer.edge.imap import events
from a3mailer.edge.imap.mailboxes import may_read
from a3mailer.edge.imap.session import Session
from a3mailer.mail.event import COPY
from a3mailer.mail.flags import ALL_FLAGS
from a3mailer.mail.ids import Uid
from a3mailer.store.operations import Copied
from a3mailer.store.operations import Copy as CopyMessages
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.sequence import SequenceSet, Span, parse_sequence_set, print_set


# sequence-set SP mailbox
def parse_copy(p: Parser) -> tuple[SequenceSet, str]:
    """The arguments of COPY and MOVE. Errors: BadSyntax."""
    p.space()
    messages = parse_sequence_set(p)
    p.space()
    mailbox = p.mailbox()
    p.end()
    return messages, mailbox


async def copy(session: Session, spans: list[Span], mailbox: str, *, move: bool) -> tuple[Copied, bytes]:
    """Copy or move messages by place, in one transaction; what became of them, and COPYUID.

    Errors: NoSuchTarget, NotPermitted, OverQuota, TooMany, BadSyntax."""
    target = await session.target(mailbox)
    uids = session.view.uids
    wanted = tuple(Uid(uids[at]) for low, high in spans for at in range(low, high))
    if not wanted:
        return Copied(target.uid_validity, (), target.modseq), b""
    selected = session.chosen
    source = selected.key
    mask, words = ALL_FLAGS, True
    if target.account != session.account:
        rights = session.services.rights
        mask, words = mask_of(await rights.allowed(session.principal, target.account, target.id))
    if target.account == selected.account:
        result, *_ = await session.commit(
            CopyMessages(*source, wanted, target.id, move, selected.reader, mask, words)
        )
        assert isinstance(result, Copied)
    else:
        result = await cross(
            session.services.store,
            session.account,
            session.principal.tenant,
            source,
            target,
            {uid: _flags(session.view, uid, mask, words=words) for uid in wanted},
            move=move,
        )
    if move or source == (target.account, target.id):
        session.view.mailbox.hint(result.modseq)
    await events.stored(session, COPY, (target.account, target.id), [uid for _source, uid in result.pairs])
    return result, copyuid(result) if await may_read(session, target) else b""


def _flags(view: View, uid: Uid, mask: int, *, words: bool) -> Flags:
    bits, keywords, _modseq = view.flags(view.place(uid))
    return bits & mask, tuple(keywords.split()) if words else ()


# resp-code-copy = "COPYUID" SP nz-number SP uid-set SP uid-set
def copyuid(copied: Copied) -> bytes:
    """The response code that pairs old and new uids; b"" when nothing was copied.

    Of a mailbox that the user may not read nothing is said (RFC 4315 section 3)."""
    if not copied.pairs:
        return b""
    old = print_set(source for source, _target in copied.pairs)
    new = print_set(target for _source, target in copied.pairs)
    return b"COPYUID %d %b %b" % (copied.uid_validity, old, new)
