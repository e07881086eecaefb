"""OAUTHBEARER (RFC 7628): a bearer token of ours in the place of a password.

kvsep       = %x01        key = 1*(ALPHA)        value = *(VCHAR / SP / HTAB / CR / LF)
client-resp = (gs2-header kvsep *(key "=" value kvsep) kvsep) / kvsep
gs2-header  = ("n" / "y") "," ["a=" saslname] ","
"""

from __future__ import annotations

from typing import ClassVar

from a3mailer.identity.sasl.bearer import KVSEP, BearerExchange
from a3mailer.identity.sasl.exchange import BadExchange
from a3mailer.identity.sasl.scram import saslname


class OAuthBearer(BearerExchange):
    """The second response is %x01 (RFC 7628 section 3.2.3)."""

    __slots__ = ()
    name: ClassVar[str] = "OAUTHBEARER"
    refusal: ClassVar[bytes] = b'{"status":"invalid_token"}'
    """RFC 7628 section 3.2.2: the status is one of RFC 6750 section 3.1."""

    def _read(self, said: str) -> tuple[str, str]:
        header, kvsep, fields = said.partition(KVSEP)
        if not kvsep:
            raise BadExchange("OAUTHBEARER: no kvsep")
        return _authzid(header), fields


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
