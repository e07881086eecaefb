"""XOAUTH2 (Google's, before RFC 7628): user and bearer token; older clients know nothing else for tokens.

client-resp = "user=" user %x01 "auth=Bearer " token %x01 %x01
"""

from __future__ import annotations

from typing import ClassVar, Final

from a3mailer.identity.principal import Principal
from a3mailer.identity.sasl.bearer import KVSEP, bearer, pairs
from a3mailer.identity.sasl.exchange import BadExchange, Context, text
from a3mailer.mail.errors import AuthenticationFailed

REFUSAL: Final = b'{"status":"401","schemes":"bearer","scope":"mail"}'


class XOAuth2:
    """One response; where it is refused an empty second one ends the exchange."""

    __slots__ = ("_asked", "_context", "_refused")
    name: ClassVar[str] = "XOAUTH2"
    shows_password: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        self._context = context
        self._asked = False
        self._refused = False

    async def step(self, response: bytes | None) -> bytes | Principal:
        """The token; or the empty response after the refusal."""
        if self._refused:
            raise AuthenticationFailed("the token is not valid")
        if response is None:
            if self._asked:
                raise BadExchange("no response")
            self._asked = True
            return b""
        user, _, rest = text(response).partition(KVSEP)
        key, _, name = user.partition("=")
        if key != "user" or not name:
            raise BadExchange("XOAUTH2 wants user, then auth")
        try:
            return await bearer(self._context, pairs(rest).get("auth", ""), name)
        except AuthenticationFailed:
            self._refused = True
            return REFUSAL
