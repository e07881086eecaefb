"""COPY and UID COPY (RFC 9051 section 6.4.7, RFC 4315 section 3): all or none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.copying import copy, parse_copy
from a3mailer.edge.imap.limiting import newest, refused
from a3mailer.edge.imap.response import Completed, Response
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.sequence import SequenceSet


@dataclass(frozen=True, slots=True)
class Copy:
    name: ClassVar = b"COPY"
    action: ClassVar = "message.append"
    states: ClassVar = state.SELECTED
    expunges: ClassVar = True
    messages: SequenceSet
    mailbox: str
    uid: bool

    # copy = "COPY" SP sequence-set SP mailbox
    @classmethod
    def parse(cls, p: Parser, *, uid: bool = False) -> Copy:
        messages, mailbox = parse_copy(p)
        return cls(messages, mailbox, uid)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        spans, limit = newest(session, session.view, session.chosen.spans(self.messages, uid=self.uid))
        if limit:  # all or none
            yield refused(limit)
            return
        _, code = await copy(session, spans, self.mailbox, move=False)
        yield Completed(code)
