"""What the world asks the HTTPS port for (RFC 8615): the MTA-STS policy of a domain of ours (RFC 8461)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from a3mailer.config.tree import Settings
from a3mailer.edge.connection import Connection
from a3mailer.edge.http.requests import NO_SUCH_PAGE, Page, serve_requests
from a3mailer.msgauth.mta_sts import MEDIA, PATH, encode_policy, own_policy

_PREFIX = b"mta-sts."


@dataclass(frozen=True, slots=True)
class WellKnownDoor:
    """Serves the https listener. ``is_ours`` knows the domains whose mail ends here."""

    settings: Callable[[], Settings]
    is_ours: Callable[[str], Awaitable[bool]]

    async def serve(self, connection: Connection, _trace: str) -> None:
        """One connection."""
        await serve_requests(connection, self._answer)

    async def _answer(self, host: bytes, path: bytes) -> Page:
        if path != PATH.encode() or not host.startswith(_PREFIX) or not host.isascii():
            return NO_SUCH_PAGE
        domain = host.removeprefix(_PREFIX).decode("ascii")
        settings = self.settings()
        if settings.web.mta_sts == "none" or not domain or not await self.is_ours(domain):
            return NO_SUCH_PAGE
        policy = own_policy(settings.server.hostname, settings.web.mta_sts)
        return Page(200, encode_policy(policy), MEDIA.encode())
