"""REPLACE and UID REPLACE (RFC 8508): a message takes the place of another as one act."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Final

from a3mailer.edge.imap import state
from a3mailer.edge.imap.appending import Appendix, append, parse_appendix, read_over
from a3mailer.edge.imap.commands.expunge import refusal
from a3mailer.edge.imap.response import Completed, Failed, Response
from a3mailer.edge.imap.session import Session
from a3mailer.mail.ids import Uid
from a3mailer.store.operations import Expunge, Expunged
from a3mailer.wire.imap.engine import MessageStart
from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.sequence import SequenceSet, parse_sequence_set

NOTHING: Final = Failed(b"NONEXISTENT", b"no such message")


@dataclass(frozen=True, slots=True)
class Replace:
    name: ClassVar = b"REPLACE"
    action: ClassVar = "message.expunge"
    states: ClassVar = state.SELECTED
    expunges: ClassVar = True
    message: SequenceSet
    mailbox: str
    first: Appendix
    start: MessageStart
    uid: bool

    @classmethod
    def parse(cls, p: Parser, *, uid: bool = False) -> Replace:
        """A REPLACE that holds no message's literal: there is none that would be right."""
        raise BadSyntax("REPLACE needs a literal")

    # replace = "REPLACE" SP seq-number SP mailbox append-message
    @classmethod
    def begin(cls, p: Parser, start: MessageStart, *, uid: bool = False) -> Replace:
        """Read up to the message. Errors: BadSyntax."""
        p.space()
        message = parse_sequence_set(p)
        if message.saved or len(message.ranges) != 1 or message.ranges[0][0] != message.ranges[0][1]:
            raise BadSyntax("one message is replaced")
        p.space()
        mailbox = p.mailbox()
        return cls(message, mailbox, parse_appendix(p), start, uid)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        selected = session.chosen
        spans: list[tuple[int, int]] = []
        refused = refusal(selected, "te")
        if refused is None:
            try:
                spans = selected.spans(self.message, uid=self.uid)
            except BadSyntax:
                await read_over(session)
                raise
        if refused is not None or not spans:
            await read_over(session)
            yield refused or NOTHING
            return
        old = Uid(session.view.uids[spans[0][0]])
        gone = Expunge(*selected.key, (old,))
        done = await append(session, self.mailbox, self.first, self.start, most=1, before=(gone,))
        (expunged,) = done.before
        assert isinstance(expunged, Expunged)
        session.view.mailbox.hint(expunged.modseq)
        if done.code:
            yield b"* OK [%b] it is there\r\n" % done.code
        if session.qresync:
            yield Completed(b"HIGHESTMODSEQ %d" % done.appended[-1].modseq)
