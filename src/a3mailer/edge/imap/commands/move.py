"""MOVE and UID MOVE (RFC 6851): copy and expunge as one act, so that no client sees half of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.commands.expunge import refusal
from a3mailer.edge.imap.copying import copy, parse_copy
from a3mailer.edge.imap.limiting import ended, newest
from a3mailer.edge.imap.response import DONE, Completed, Response
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.sequence import SequenceSet


@dataclass(frozen=True, slots=True)
class Move:
    name: ClassVar = b"MOVE"
    action: ClassVar = "message.expunge"
    states: ClassVar = state.SELECTED
    expunges: ClassVar = True
    messages: SequenceSet
    mailbox: str
    uid: bool

    # move = "MOVE" SP sequence-set SP mailbox
    @classmethod
    def parse(cls, p: Parser, *, uid: bool = False) -> Move:
        messages, mailbox = parse_copy(p)
        return cls(messages, mailbox, uid)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        if (refused := refusal(session.chosen, "te")) is not None:
            yield refused
            return
        named = session.chosen.spans(self.messages, uid=self.uid)
        spans, limit = newest(session, session.view, named)
        moved, code = await copy(session, spans, self.mailbox, move=True)
        if code:
            yield b"* OK [%b] moved\r\n" % code
        end = DONE
        if session.qresync and moved.pairs:
            end = Completed(b"HIGHESTMODSEQ %d" % moved.modseq)
        yield ended(session, limit, end)
