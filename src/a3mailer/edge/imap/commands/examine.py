"""EXAMINE (RFC 9051 section 6.3.3): SELECT, read-only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import opening, state
from a3mailer.edge.imap.response import Response
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.resync import SelectOptions, parse_select_options


@dataclass(frozen=True, slots=True)
class Examine:
    name: ClassVar = b"EXAMINE"
    action: ClassVar = "mailbox.select"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    mailbox: str
    options: SelectOptions
    given: str = ""

    # examine = "EXAMINE" SP mailbox [select-params]
    @classmethod
    def parse(cls, p: Parser) -> Examine:
        p.space()
        mailbox = p.mailbox()
        given = p.given
        options = parse_select_options(p)
        p.end()
        return cls(mailbox, options, given)

    def run(self, session: Session) -> AsyncIterator[Response]:
        return opening.enter(session, self.mailbox, self.options, self.given, read_only=True)
