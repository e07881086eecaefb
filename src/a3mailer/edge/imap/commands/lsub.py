"""LSUB (RFC 3501 section 6.3.9): the subscribed mailboxes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.mailboxes import list_lines
from a3mailer.edge.imap.response import Response
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap import limits
from a3mailer.wire.imap.listing import ListRequest
from a3mailer.wire.imap.names import decode_mailbox
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Lsub:
    name: ClassVar = b"LSUB"
    action: ClassVar = "mailbox.list"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    request: ListRequest

    # lsub = "LSUB" SP mailbox SP list-mailbox
    @classmethod
    def parse(cls, p: Parser) -> Lsub:
        p.space()
        reference = p.mailbox()
        p.space()
        pattern = p.list_mailbox()
        if len(pattern) > limits.PATTERN:
            raise p.fail("pattern too long")
        p.end()
        name = decode_mailbox(pattern, utf8=p.utf8)
        return cls(ListRequest(reference, (name,), frozenset((b"SUBSCRIBED", b"RECURSIVEMATCH"))))

    async def run(self, session: Session) -> AsyncIterator[Response]:
        async for octets in list_lines(session, self.request, b"LSUB"):
            yield octets
