"""PLAIN (RFC 4616): name and password in one response."""

from __future__ import annotations

from typing import ClassVar

from a3mailer.identity.principal import Principal
from a3mailer.identity.sasl.exchange import MAX_RESPONSE, BadExchange, Context, text
from a3mailer.telemetry.events import Secret


class Plain:
    """message = [authzid] UTF8NUL authcid UTF8NUL passwd (RFC 4616 section 2)."""

    __slots__ = ("_asked", "_context")
    name: ClassVar[str] = "PLAIN"
    shows_password: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        self._context = context
        self._asked = False

    async def step(self, response: bytes | None) -> bytes | Principal:
        """One response; authzid is whom to act for."""
        if response is None and not self._asked:
            self._asked = True
            return b""
        if response is None or len(response) > MAX_RESPONSE or response.count(b"\0") != 2:
            raise BadExchange("PLAIN wants [authzid] NUL authcid NUL passwd")
        authzid, authcid, password = map(text, response.split(b"\0"))
        if not authcid or not password:
            raise BadExchange("PLAIN wants a name and a password")
        principal = await self._context.authenticator.password(authcid, Secret(password), self._context.ip)
        return await self._context.authenticator.acting(principal, authzid)
