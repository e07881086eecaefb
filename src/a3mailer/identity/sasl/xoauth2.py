"""XOAUTH2 (Google's, before RFC 7628): user and bearer token; older clients know nothing else for tokens.

client-resp = "user=" user %x01 "auth=Bearer " token %x01 %x01
"""

from __future__ import annotations

from typing import ClassVar

from a3mailer.identity.sasl.bearer import KVSEP, BearerExchange
from a3mailer.identity.sasl.exchange import BadExchange


class XOAuth2(BearerExchange):
    """The second response is empty."""

    __slots__ = ()
    name: ClassVar[str] = "XOAUTH2"
    refusal: ClassVar[bytes] = b'{"status":"401","schemes":"bearer","scope":"mail"}'

    def _read(self, said: str) -> tuple[str, str]:
        user, _, fields = said.partition(KVSEP)
        key, _, name = user.partition("=")
        if key != "user" or not name:
            raise BadExchange("XOAUTH2 wants user, then auth")
        return name, fields
