"""COMPRESS=DEFLATE (RFC 4978): from the line after its OK on, both sides compress."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import Completed, Response
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Compress:
    name: ClassVar = b"COMPRESS"
    action: ClassVar = "session.use"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True

    # compress = "COMPRESS" SP algorithm        algorithm = "DEFLATE"
    @classmethod
    def parse(cls, p: Parser) -> Compress:
        p.space()
        if p.keyword() != b"DEFLATE":
            raise p.fail("DEFLATE is all there is")
        p.end()
        return cls()

    async def run(self, session: Session) -> AsyncIterator[Response]:
        if session.deflate is not None:
            raise BadSyntax("compressed already")
        session.compresses = True
        yield Completed(text=b"DEFLATE active")
