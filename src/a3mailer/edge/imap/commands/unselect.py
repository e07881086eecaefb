"""UNSELECT (RFC 3691, RFC 9051 section 6.4.2): leave the mailbox, expunge nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import DONE, Answer
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Unselect:
    name: ClassVar = b"UNSELECT"
    action: ClassVar = "mailbox.select"
    states: ClassVar = state.SELECTED
    expunges: ClassVar = False

    # unselect = "UNSELECT"
    @classmethod
    def parse(cls, p: Parser) -> Unselect:
        p.end()
        return cls()

    def run(self, session: Session) -> Answer:
        session.unselect()
        return DONE
