"""Who asks, and whether they may: the one check before every handler of the public listener.

A bearer token (RFC 6750), or name and password (RFC 7617); both over TLS only, or in clear on loopback where
``auth.plaintext`` says so. Cookies are not looked at, so no other site can act with somebody's session.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.edge.http.exchange import BadRequest, Request
from a3mailer.edge.http.replies import CHALLENGE
from a3mailer.edge.http.routes import OPEN, Route
from a3mailer.identity.authenticator import Authenticator
from a3mailer.identity.principal import Object, Principal
from a3mailer.identity.roles import allow
from a3mailer.telemetry.events import Secret

MAX_CREDENTIALS: Final = 2048


@dataclass(frozen=True, slots=True)
class Authorise:
    """Call it with a route and a request; the request comes back with its principal."""

    authenticator: Authenticator
    settings: Callable[[], Settings]

    async def __call__(self, route: Route, request: Request) -> Request:
        """Errors: BadRequest (401, 403), AuthenticationFailed, TryLater."""
        if route.action == OPEN:
            return request
        if not request.secure and not (self.settings().auth.plaintext and _is_loopback(request.peer)):
            raise BadRequest(403, "credentials are taken over TLS only")
        who = await self._who(request)
        if not allow(who, route.action, Object(who.tenant, who.account, who.domain, who.role)):
            raise BadRequest(403, f"this needs the right to {route.action}")
        return replace(request, principal=who)

    async def _who(self, request: Request) -> Principal:
        given = request.header(b"authorization") or ""
        scheme, _, credentials = given.partition(" ")
        credentials = credentials.strip()
        if not credentials or len(credentials) > MAX_CREDENTIALS:
            raise BadRequest(401, "", CHALLENGE)
        if scheme.lower() == "bearer":
            return await self.authenticator.token(Secret(credentials), request.peer)
        if scheme.lower() != "basic":
            raise BadRequest(401, "", CHALLENGE)
        if (known := await self.authenticator.standing(request.standing, given)) is not None:
            return known
        try:
            login, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise BadRequest(401, "", CHALLENGE) from error
        if not colon or not login:
            raise BadRequest(401, "", CHALLENGE)
        who = await self.authenticator.password(login, Secret(password), request.peer)
        self.authenticator.stands(request.standing, given, who)
        return who


def _is_loopback(ip: str) -> bool:
    return bool(ip) and ipaddress.ip_address(ip.partition("%")[0]).is_loopback
