"""EXTERNAL (RFC 4422 appendix A): who it is, the client's certificate has said (``tls.client_authorities``).

initial-response = *( UTF8-char-no-nul )        ; whom to act for; empty: oneself
"""

from __future__ import annotations

from typing import ClassVar

from a3mailer.identity.principal import Principal
from a3mailer.identity.sasl.exchange import BadExchange, Context, text


class External:
    """One response, which may be empty."""

    __slots__ = ("_asked", "_context")
    name: ClassVar[str] = "EXTERNAL"
    shows_password: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:
        self._context = context
        self._asked = False

    async def step(self, response: bytes | None) -> bytes | Principal:
        """Whom to act for."""
        if response is None:
            if self._asked:
                raise BadExchange("no response")
            self._asked = True
            return b""
        authzid = text(response)
        if "\0" in authzid:
            raise BadExchange("EXTERNAL: NUL")
        context = self._context
        principal = await context.authenticator.certified(context.certified, authzid, context.ip)
        return await context.authenticator.acting(principal, authzid)
