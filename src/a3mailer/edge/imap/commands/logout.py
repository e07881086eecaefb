"""LOGOUT (RFC 9051 section 6.1.3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import Response
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

    async def run(self, session: Session) -> AsyncIterator[Response]:
        session.unselect()
        session.state = state.LOGOUT
        yield b"* BYE logging out\r\n"
