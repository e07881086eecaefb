"""APPEND (RFC 9051 section 6.3.12), MULTIAPPEND (RFC 3502), literal8 (RFC 3516): all messages or none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.appending import Appendix, append, parse_appendix
from a3mailer.edge.imap.mailboxes import old_name
from a3mailer.edge.imap.response import Completed, Response
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap import limits
from a3mailer.wire.imap.engine import MessageStart
from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Append:
    name: ClassVar = b"APPEND"
    action: ClassVar = "message.append"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    mailbox: str
    first: Appendix
    start: MessageStart
    given: str = ""

    @classmethod
    def parse(cls, p: Parser) -> Append:
        """An APPEND that holds no message's literal: there is none that would be right."""
        raise BadSyntax("APPEND needs a literal")

    # append = "APPEND" SP mailbox 1*append-message
    # append-message = append-opts SP append-data
    @classmethod
    def begin(cls, p: Parser, start: MessageStart) -> Append:
        """Read up to the first message. Errors: BadSyntax."""
        p.space()
        mailbox = p.mailbox()
        given = p.given
        return cls(mailbox, parse_appendix(p), start, given)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        done = await append(session, self.mailbox, self.first, self.start, most=limits.APPEND_MESSAGES)
        if self.given:
            yield old_name(session, self.mailbox, self.given)
        yield Completed(done.code)
