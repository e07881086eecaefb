"""OAUTHBEARER (RFC 7628): a bearer token of ours in the place of a password.

kvsep       = %x01        key = 1*(ALPHA)        value = *(VCHAR / SP / HTAB / CR / LF)
client-resp = (gs2-header kvsep *(key "=" value kvsep) kvsep) / kvsep
gs2-header  = ("n" / "y") "," ["a=" saslname] ","
"""

from __future__ import annotations

from typing import ClassVar, Final

from a3mailer.identity.principal import Principal
from a3mailer.identity.sasl.bearer import KVSEP, bearer, pairs
from a3mailer.identity.sasl.exchange import BadExchange, Context, text
from a3mailer.identity.sasl.scram import saslname
from a3mailer.mail.errors import AuthenticationFailed

INVALID: Final = b'{"status":"invalid_token"}'
"""RFC 7628 section 3.2.2: the status is one of RFC 6750 section 3.1."""


class OAuthBearer:
    """One response; where it is refused a second one, %x01, ends the exchange (RFC 7628 section 3.2.3)."""

    __slots__ = ("_asked", "_context", "_refused")
    name: ClassVar[str] = "OAUTHBEARER"
    shows_password: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        self._context = context
        self._asked = False
        self._refused = False

    async def step(self, response: bytes | None) -> bytes | Principal:
        """The token; or the dummy response after the refusal."""
        if self._refused:
            raise AuthenticationFailed("the token is not valid")
        if response is None:
            if self._asked:
                raise BadExchange("no response")
            self._asked = True
            return b""
        header, kvsep, rest = text(response).partition(KVSEP)
        if not kvsep:
            raise BadExchange("OAUTHBEARER: no kvsep")
        authzid = _authzid(header)
        try:
            return await bearer(self._context, pairs(rest).get("auth", ""), authzid)
        except AuthenticationFailed:
            self._refused = True
            return INVALID


def _authzid(header: str) -> str:
    """Of the gs2-header. Errors: BadExchange."""
    flag, *rest = header.split(",")
    if flag not in {"n", "y"} or len(rest) != 2 or rest[1]:
        raise BadExchange("OAUTHBEARER: bad gs2-header")
    if not rest[0]:
        return ""
    if not rest[0].startswith("a="):
        raise BadExchange("OAUTHBEARER: bad gs2-header")
    return saslname(rest[0][2:])
