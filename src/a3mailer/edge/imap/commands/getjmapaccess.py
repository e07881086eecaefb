"""GETJMAPACCESS (RFC 9698): where the same mail is by JMAP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import Response
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class GetJmapAccess:
    name: ClassVar = b"GETJMAPACCESS"
    action: ClassVar = "session.use"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True

    # "GETJMAPACCESS"
    @classmethod
    def parse(cls, p: Parser) -> GetJmapAccess:
        p.end()
        return cls()

    # resp-jmapaccess = "JMAPACCESS" SP quoted
    async def run(self, session: Session) -> AsyncIterator[Response]:
        if not session.services.jmap:
            raise BadSyntax("there is no JMAP here")
        yield b'* JMAPACCESS "%b"\r\n' % session.services.jmap.encode("ascii")
