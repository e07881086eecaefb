"""What OAUTHBEARER and XOAUTH2 share: a token and whom it acts for, and a refusal that takes two steps.

The refusal is a challenge in JSON; only when the client has answered it does the exchange fail.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import ClassVar, Final

from a3mailer.identity.principal import Principal
from a3mailer.identity.sasl.exchange import BadExchange, Context, text
from a3mailer.mail.errors import AuthenticationFailed
from a3mailer.telemetry.events import Secret

KVSEP: Final = "\x01"
MAX_PAIRS: Final = 32
# b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="        (RFC 6750 section 2.1)
_BEARER: Final = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/-]{1,8192}={0,2})")
_KEY: Final = re.compile(r"[A-Za-z]{1,64}")


def pairs(said: str) -> dict[str, str]:
    """``*kvpair kvsep`` (RFC 7628 section 3.1), the first of a name. Errors: BadExchange."""
    *fields, last, end = ("x", *said.split(KVSEP))[-MAX_PAIRS - 3 :]
    if last or end or fields.pop(0) != "x":
        raise BadExchange("key=value pairs end in %x01, all of them in another one")
    found: dict[str, str] = {}
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals or not _KEY.fullmatch(key) or not _is_value(value):
            raise BadExchange("not a key=value pair")
        found.setdefault(key.lower(), value)
    return found


# value = *(VCHAR / SP / HTAB / CR / LF)
def _is_value(value: str) -> bool:
    return value.isascii() and all(character.isprintable() or character in "\t\r\n" for character in value)


async def bearer(context: Context, credentials: str, authzid: str) -> Principal:
    """Whose token it is, or whom he acts for. ``credentials`` is the value of ``auth``.

    Errors: AuthenticationFailed, TryLater."""
    found = _BEARER.fullmatch(credentials)
    if found is None:
        raise AuthenticationFailed("a bearer token was expected")
    principal = await context.authenticator.token(Secret(found[1]), context.ip)
    return await context.authenticator.acting(principal, authzid)


class BearerExchange(ABC):
    """One response; where it is refused a second one, whatever it says, ends the exchange."""

    __slots__ = ("_asked", "_context", "_refused")
    shows_password: ClassVar[bool] = True
    refusal: ClassVar[bytes]
    """The challenge that says so."""

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
        authzid, fields = self._read(text(response))
        try:
            return await bearer(self._context, pairs(fields).get("auth", ""), authzid)
        except AuthenticationFailed:
            self._refused = True
            return self.refusal

    @abstractmethod
    def _read(self, said: str) -> tuple[str, str]:
        """Whom the response wants to be, and its key=value pairs. Errors: BadExchange."""
