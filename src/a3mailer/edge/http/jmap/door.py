"""The routes of JMAP: the session resource (RFC 8620 section 2) and the API (section 3).

Errors are problem documents whose types are those of section 3.6.1.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from a3mailer.edge.http.exchange import JSON, Request, Response
from a3mailer.edge.http.jmap.binary import Binary
from a3mailer.edge.http.jmap.dispatch import Dispatcher
from a3mailer.edge.http.jmap.events import Events
from a3mailer.edge.http.jmap.limits import MAX_SIZE_REQUEST
from a3mailer.edge.http.jmap.methods import METHODS
from a3mailer.edge.http.jmap.news import Hub
from a3mailer.edge.http.jmap.problems import problem_of, whole_body
from a3mailer.edge.http.jmap.services import Services
from a3mailer.edge.http.jmap.session import API, session
from a3mailer.edge.http.jmap.types import TYPES
from a3mailer.edge.http.jmap.websocket import WebSockets
from a3mailer.edge.http.routes import Route
from a3mailer.identity.principal import Principal
from a3mailer.wire.jmap.errors import RequestError

WELL_KNOWN: Final = "/.well-known/jmap"
"""RFC 8620 section 2.2, and RFC 8615."""
ROOT: Final = "/jmap/"
UNKEPT: Final = (("Cache-Control", "no-cache, no-store, must-revalidate"),)
ANYBODY: Final = "session.login"
"""The rule of who may come in at all; methods have their own."""


TOO_LARGE: Final = problem_of(
    RequestError("limit", f"at most {MAX_SIZE_REQUEST} octets", limit="maxSizeRequest")
)


@dataclass(frozen=True, slots=True)
class Jmap:
    """The handlers."""

    services: Services
    dispatcher: Dispatcher
    hub: Hub

    @classmethod
    def of(cls, services: Services, current: Callable[[Principal], Awaitable[bool]]) -> Jmap:
        """With all methods and types there are. ``current``: do the credentials still stand?"""
        dispatcher = Dispatcher(services, METHODS)
        return cls(services, dispatcher, Hub(services, services.store, TYPES, dispatcher.accounts, current))

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        told = {200: JSON}
        return (
            *(
                Route(("GET",), path, self._session, ANYBODY, gives=told,
                      about="The session object of JMAP (RFC 8620 section 2).")
                for path in (WELL_KNOWN, ROOT)
            ),
            Route(("POST",), API, self._api, ANYBODY, body=MAX_SIZE_REQUEST, over=TOO_LARGE, gives=told,
                  about="Calls of JMAP (RFC 8620 section 3)."),
            *Events(self.hub).routes(),
            *WebSockets(self.dispatcher, self.hub).routes(),
            *Binary(self.services, self.dispatcher, self.services.blobs).routes(),
        )  # fmt: skip

    async def _session(self, request: Request) -> Response:
        who = request.principal
        told = session(self.services, who, await self.dispatcher.accounts(who), origin_of(request))
        return Response(200, msgspec.json.encode(told), JSON, UNKEPT)

    async def _api(self, request: Request) -> Response:
        try:
            answer = await self.dispatcher.answer(request.principal, request.submitter, await _body(request))
        except RequestError as error:
            return problem_of(error)
        return Response(200, msgspec.json.encode(answer), JSON, UNKEPT)


async def _body(request: Request) -> bytes:
    """Errors: RequestError (``notJSON``, ``limit``), BadRequest."""
    octets = await whole_body(request, "maxSizeRequest")
    media = (request.header(b"content-type") or "").partition(";")[0].strip().lower()
    if media != JSON:
        raise RequestError("notJSON", f"the content type is to be {JSON}")
    return octets


def origin_of(request: Request) -> str:
    """Scheme and authority as the client asked, for URLs it is told (it can have asked for no other)."""
    scheme = "https" if request.secure else "http"
    return f"{scheme}://{request.head.authority}"
