"""NAMESPACE (RFC 2342, RFC 9051 section 6.3.10): one's own, other people's and shared mailboxes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.access.rights import OTHERS, SHARED
from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import Response
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Namespace:
    name: ClassVar = b"NAMESPACE"
    action: ClassVar = "mailbox.list"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True

    # namespace-command = "NAMESPACE"
    @classmethod
    def parse(cls, p: Parser) -> Namespace:
        p.end()
        return cls()

    async def run(self, session: Session) -> AsyncIterator[Response]:
        yield b'* NAMESPACE (("" "/")) (("%b/" "/")) (("%b/" "/"))\r\n' % (OTHERS.encode(), SHARED.encode())
