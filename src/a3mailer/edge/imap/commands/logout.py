"""LOGOUT (RFC 9051 section 6.1.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import DONE, Completed
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Logout:
    name: ClassVar = b"LOGOUT"
    action: ClassVar = "session.use"
    states: ClassVar = state.ANY
    expunges: ClassVar = True

    # "LOGOUT"
    @classmethod
    def parse(cls, p: Parser) -> Logout:
        p.end()
        return cls()

    def run(self, session: Session) -> Completed:
        session.unselect()
        session.state = state.LOGOUT
        session.write(b"* BYE logging out\r\n")
        return DONE
