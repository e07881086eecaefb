"""CAPABILITY (RFC 9051 section 6.1.1): what this server can do in the present state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import Response
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Capability:
    name: ClassVar = b"CAPABILITY"
    action: ClassVar = "session.use"
    states: ClassVar = state.ANY
    expunges: ClassVar = True

    # "CAPABILITY"
    @classmethod
    def parse(cls, p: Parser) -> Capability:
        p.end()
        return cls()

    async def run(self, session: Session) -> AsyncIterator[Response]:
        yield b"* CAPABILITY %b\r\n" % await session.capabilities()
