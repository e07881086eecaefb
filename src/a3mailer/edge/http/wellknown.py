"""What the world asks the HTTPS port for (RFC 8615): the MTA-STS policy of a domain of ours (RFC 8461)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.edge.http.exchange import Request, Response, problem
from a3mailer.edge.http.routes import Route
from a3mailer.msgauth.mta_sts import MEDIA, PATH, encode_policy, own_policy

STS_HOST: Final = "mta-sts."
"""What the policy host of a domain begins with (RFC 8461 section 3.3)."""


@dataclass(frozen=True, slots=True)
class WellKnown:
    """``is_ours`` knows the domains that have no MX but us."""

    settings: Callable[[], Settings]
    is_ours: Callable[[str], Awaitable[bool]]

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        return (Route(("GET",), PATH, self._sts_policy, host=STS_HOST, gives={200: MEDIA},
                      about="How mail comes to a domain (MTA-STS, RFC 8461 section 3.2)."),)  # fmt: skip

    async def _sts_policy(self, request: Request) -> Response:
        domain = request.head.host.removeprefix(STS_HOST)
        settings = self.settings()
        if settings.web.mta_sts == "none" or not domain or not await self.is_ours(domain):
            return problem(404)
        policy = own_policy(settings.server.hostname, settings.web.mta_sts)
        return Response(200, encode_policy(policy), MEDIA)
