"""Where mail programs ask for their settings; everybody may, and hears nothing but names and ports.

| who asks | what | where |
|---|---|---|
| Thunderbird, K-9, Evolution ... | clientConfig | ``autoconfig.DOMAIN``, or the domain itself; http as well |
| Outlook, phones | Autodiscover 1 and 2 | ``autodiscover.DOMAIN`` |
| iPhone, iPad, Mac | a signed profile | ``/email.mobileconfig?email=ADDRESS`` under each of these names |
| what follows PACC | JSON | ``ua-auto-config.DOMAIN`` |

No account is looked up: an address that does not exist is answered like one that does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.edge.http.exchange import JSON, BadRequest, Request, Response, problem
from a3mailer.edge.http.routes import Route
from a3mailer.ops.autoconfig import apple, autodiscover, mozilla, pacc
from a3mailer.ops.autoconfig.services import Offer, offer
from a3mailer.ops.certificates import Kept
from a3mailer.runtime.markup import BadMarkup
from a3mailer.telemetry.events import emit
from a3mailer.wire.smtp.paths import BadPath, parse_mailbox

PREFIXES: Final = (mozilla.HOST, autodiscover.HOST, pacc.HOST)
MAX_ADDRESS: Final = 320


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """``is_ours`` knows the domains whose mail ends here; ``ports`` are those of the listeners there are."""

    settings: Callable[[], Settings]
    is_ours: Callable[[str], Awaitable[bool]]
    ports: Mapping[str, int]
    certificate: Callable[[str], Kept | None]
    """The one that is shown for a host name."""

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table of https."""
        return (
            *self.plain_routes(),
            *(
                Route(("POST",), path, self._autodiscover, body=autodiscover.MAX_REQUEST,
                      gives={200: autodiscover.MEDIA}, about="Settings for Outlook (Autodiscover, POX).")
                for path in autodiscover.PATHS
            ),
            *(
                Route(("GET",), path, self._autodiscover_place, gives={200: JSON, 400: JSON},
                      about="Where Autodiscover is (version 2).")
                for path in autodiscover.JSON_PATHS
            ),
            Route(("GET",), apple.PATH, self._apple, gives={200: apple.MEDIA},
                  about="A signed profile for Apple's devices."),
            Route(("GET",), pacc.PATH, self._pacc, host=pacc.HOST, gives={200: JSON},
                  about="Settings for programs (PACC)."),
        )  # fmt: skip

    def plain_routes(self) -> tuple[Route, ...]:
        """Those of http: programs ask there where a domain's name has no certificate yet."""
        return tuple(
            Route(("GET",), path, self._mozilla, gives={200: mozilla.MEDIA},
                  about="Settings for Thunderbird and others (autoconfig).")
            for path in (mozilla.PATH, mozilla.WELL_KNOWN)
        )  # fmt: skip

    async def _mozilla(self, request: Request) -> Response:
        found = await self._offer(request, request.query.get("emailaddress", ""))
        return Response(200, mozilla.encode(found), mozilla.MEDIA)

    async def _autodiscover(self, request: Request) -> Response:
        try:
            asked = autodiscover.parse(await request.read_body())
        except BadMarkup as error:
            raise BadRequest(400, str(error)) from error
        if asked.schema and asked.schema != autodiscover.OUTLOOK:
            return _refused(autodiscover.NO_PROVIDER, "only mail accounts are served")
        address, domain = _parsed(asked.address)
        found = self._of(domain)
        if not address or not await self.is_ours(domain) or not found:
            return _refused(autodiscover.NO_SUCH_ADDRESS, "The email address cannot be found.")
        return Response(200, autodiscover.encode(found, address), autodiscover.MEDIA)

    async def _autodiscover_place(self, request: Request) -> Response:
        query = {name.lower(): value for name, value in request.query.items()}
        address = request.parameters.get("email") or query.get("email", "")
        found = await self._offer(request, address)
        if query.get("protocol", "").lower() != autodiscover.VERSION_1 or not found.web:
            return Response(400, autodiscover.encode_refusal(), JSON)
        return Response(200, autodiscover.encode_place(found), JSON)

    async def _apple(self, request: Request) -> Response:
        address, domain = _parsed(request.query.get("email", ""))
        if not address:
            return problem(400, "which address? /email.mobileconfig?email=you@example.org")
        found = self._of(domain)
        if not await self.is_ours(domain) or not found:
            return problem(404)
        kept = self.certificate(found.hostname)
        if kept is None:
            return problem(503, "there is no certificate to sign with")
        try:
            body = apple.signed(apple.profile(found, address), kept)
        except (OSError, ValueError) as error:
            emit("autoconfig.unsigned", level="error", error=str(error))
            return problem(503, "the certificate's key cannot sign")
        name = (("Content-Disposition", 'attachment; filename="email.mobileconfig"'),)
        return Response(200, body, apple.MEDIA, name)

    async def _pacc(self, request: Request) -> Response:
        domain = request.head.host.removeprefix(pacc.HOST)
        body = pacc.encode(self._of(domain)) if domain and await self.is_ours(domain) else b""
        return Response(200, body, JSON) if body else problem(404)

    def _of(self, domain: str) -> Offer:
        return offer(domain, self.settings().server.hostname.lower(), self.ports)

    async def _offer(self, request: Request, address: str) -> Offer:
        """For the domain of the address, or of the host. Errors: BadRequest (404): nothing to tell."""
        host = request.head.host
        prefix = next((each for each in PREFIXES if host.startswith(each)), "")
        for domain in (_parsed(address)[1], host.removeprefix(prefix)):
            if domain and await self.is_ours(domain) and (found := self._of(domain)):
                return found
        raise BadRequest(404, "")


def _parsed(text: str) -> tuple[str, str]:
    """An address as it is used, and its domain; empty where it is none."""
    try:
        found = parse_mailbox(text[: MAX_ADDRESS + 1].encode())
    except (BadPath, UnicodeEncodeError):
        return "", ""
    if len(text) > MAX_ADDRESS or not text.isprintable():
        return "", ""
    return str(found), found.domain.lower()


def _refused(code: int, text: str) -> Response:
    return Response(200, autodiscover.encode_error(code, text), autodiscover.MEDIA)
