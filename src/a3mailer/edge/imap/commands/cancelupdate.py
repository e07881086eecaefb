"""CANCELUPDATE (RFC 5267 section 4.3.5): no more updates of the results of these searches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import DONE, Answer
from a3mailer.edge.imap.session import Session
from a3mailer.edge.imap.updating import cancel
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class CancelUpdate:
    name: ClassVar = b"CANCELUPDATE"
    action: ClassVar = "message.read"
    states: ClassVar = state.SELECTED
    expunges: ClassVar = True
    tags: tuple[bytes, ...]

    # "CANCELUPDATE" 1*(SP quoted)
    @classmethod
    def parse(cls, p: Parser) -> CancelUpdate:
        tags: list[bytes] = []
        while not (tags and p.done()):
            p.space()
            if p.peek() != b'"':
                raise p.fail("a tag in double quotes expected")
            tags.append(p.string())
        return cls(tuple(tags))

    def run(self, session: Session) -> Answer:
        cancel(session, self.tags)
        return DONE
