"""STARTTLS (RFC 9051 section 6.2.1). What came in clear behind it ends the connection: attack row 3."""

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
class StartTls:
    name: ClassVar = b"STARTTLS"
    action: ClassVar = "session.use"
    states: ClassVar = state.NOT_AUTHENTICATED
    expunges: ClassVar = False

    # "STARTTLS"
    @classmethod
    def parse(cls, p: Parser) -> StartTls:
        p.end()
        return cls()

    async def run(self, session: Session) -> AsyncIterator[Response]:
        if session.services.tls is None or session.connection.secure:
            raise BadSyntax("TLS is active already" if session.connection.secure else "there is no TLS here")
        if session.engine.pending:
            session.state = state.LOGOUT
            yield b"* BYE octets after STARTTLS\r\n"
            return
        session.secures = True
        yield Completed(text=b"begin TLS now")
