"""NOOP (RFC 9051 section 6.1.2): does nothing, and tells what happened meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import DONE, Answer
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Noop:
    name: ClassVar = b"NOOP"
    action: ClassVar = "session.use"
    states: ClassVar = state.ANY
    expunges: ClassVar = True

    # "NOOP"
    @classmethod
    def parse(cls, p: Parser) -> Noop:
        p.end()
        return cls()

    def run(self, session: Session) -> Answer:
        return DONE
