"""UNAUTHENTICATE (RFC 8437): the connection begins anew, for another user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import DONE, Completed
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Unauthenticate:
    name: ClassVar = b"UNAUTHENTICATE"
    action: ClassVar = "session.use"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = False

    # "UNAUTHENTICATE"
    @classmethod
    def parse(cls, p: Parser) -> Unauthenticate:
        p.end()
        return cls()

    async def run(self, session: Session) -> Completed:
        """There is no NO: what follows may be on its way already (section 3)."""
        session.forget_login()
        return DONE
