"""GETMETADATA (RFC 5464 section 4.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Final

from a3mailer.edge.imap import state
from a3mailer.edge.imap.annotations import annotated, metadata_line, named
from a3mailer.edge.imap.response import Completed, Response
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.metadata import parse_entries, parse_options
from a3mailer.wire.imap.parser import Parser

OPTIONS: Final = (b"(MAXSIZE ", b"(DEPTH ")
"""How options begin that stand where entries do."""


@dataclass(frozen=True, slots=True)
class GetMetadata:
    name: ClassVar = b"GETMETADATA"
    action: ClassVar = "mailbox.list"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    mailbox: str
    entries: dict[str, bytes]
    most: int
    depth: int

    # getmetadata = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries
    # QUIRK: the examples of RFC 5464 have the options behind the mailbox (errata 2785), and so have MailKit's
    # commands; both are taken (tests/transcripts/imap/getmetadata.transcript)
    @classmethod
    def parse(cls, p: Parser) -> GetMetadata:
        most, depth = -1, 0
        p.space()
        before = p.peek() == b"("
        if before:
            most, depth = parse_options(p)
            p.space()
        mailbox = p.mailbox()
        p.space()
        if not before and p.octets[p.at : p.at + 9].upper().startswith(OPTIONS):
            most, depth = parse_options(p)
            p.space()
        entries = named(parse_entries(p), top=depth > 0)
        p.end()
        return cls(mailbox, entries, most, depth)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        row = await annotated(session, self.mailbox)
        line, longest = await metadata_line(session, row, self.entries, most=self.most, depth=self.depth)
        yield line
        if longest:
            yield Completed(b"METADATA LONGENTRIES %d" % longest)
