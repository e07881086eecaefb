"""LOGIN (RFC 9051 section 6.2.3): a name and a password; refused where anybody could read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import Completed
from a3mailer.edge.imap.session import Session
from a3mailer.identity.sasl.exchange import NotConfidential
from a3mailer.telemetry.events import Secret
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Login:
    name: ClassVar = b"LOGIN"
    action: ClassVar = "session.login"
    states: ClassVar = state.NOT_AUTHENTICATED
    expunges: ClassVar = False
    userid: str
    password: Secret

    # login = "LOGIN" SP userid SP password
    @classmethod
    def parse(cls, p: Parser) -> Login:
        p.space()
        userid = p.astring()
        p.space()
        password = p.astring()
        p.end()
        try:
            return cls(userid.decode(), Secret(password.decode()))
        except UnicodeDecodeError as error:
            raise p.fail("name and password are UTF-8") from error

    async def run(self, session: Session) -> Completed:
        context = session.context()
        if not context.confidential:
            raise NotConfidential("LOGIN")
        principal = await context.authenticator.password(self.userid, self.password, context.ip)
        session.logged_in(principal)
        return Completed(b"CAPABILITY " + await session.capabilities(), b"logged in")
