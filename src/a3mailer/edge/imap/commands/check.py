"""CHECK (RFC 3501 section 6.4.1): everything here is durable when it is answered, so this is a NOOP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import DONE, Answer
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Check:
    name: ClassVar = b"CHECK"
    action: ClassVar = "session.use"
    states: ClassVar = state.SELECTED
    expunges: ClassVar = True

    # "CHECK"
    @classmethod
    def parse(cls, p: Parser) -> Check:
        p.end()
        return cls()

    def run(self, session: Session) -> Answer:
        return DONE
