"""AUTHENTICATE (RFC 9051 section 6.2.2) with an initial response (RFC 4959); mechanisms are identity's."""

from __future__ import annotations

import binascii
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Final

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import Completed, Response
from a3mailer.edge.imap.session import Session
from a3mailer.identity.principal import Principal
from a3mailer.identity.sasl.offer import begin
from a3mailer.wire.imap import limits
from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.parser import Parser

_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="


@dataclass(frozen=True, slots=True)
class Authenticate:
    name: ClassVar = b"AUTHENTICATE"
    action: ClassVar = "session.login"
    states: ClassVar = state.NOT_AUTHENTICATED
    expunges: ClassVar = False
    mechanism: str
    initial: bytes | None

    # authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp] *(CRLF base64)
    # initial-resp = (base64 / "=")
    @classmethod
    def parse(cls, p: Parser) -> Authenticate:
        p.space()
        mechanism = p.atom().decode("ascii")
        initial = None
        if not p.done():
            p.space()
            text = p.run(_BASE64, limits.CONTINUATION_LINE)
            if not text:
                raise p.fail("not base64")
            initial = b"" if text == b"=" else decoded(text)
        p.end()
        return cls(mechanism, initial)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        exchange = await begin(self.mechanism, session.context())
        response = self.initial
        while not isinstance(step := await exchange.step(response), Principal):
            line = await session.continuation(binascii.b2a_base64(step, newline=False))
            if line == b"*":
                raise BadSyntax("authentication cancelled")
            response = decoded(line)
        session.logged_in(step)
        yield Completed(b"CAPABILITY " + await session.capabilities(), b"authenticated")


def decoded(text: bytes) -> bytes:
    """Base64, strictly (RFC 4648 section 4). Errors: BadSyntax."""
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except binascii.Error as error:
        raise BadSyntax("not base64") from error
