"""The http listener (port 80): answers of HTTP-01 (RFC 8555 section 8.3); all else is led to https."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from a3mailer.config.fields import BadValue
from a3mailer.config.syntax import domain_name
from a3mailer.config.tree import Settings
from a3mailer.edge.http.exchange import Request, Response, problem
from a3mailer.edge.http.routes import Route
from a3mailer.ops.acme.answers import HTTP_PATH, Answers
from a3mailer.telemetry.events import emit

HTTPS: Final = 443
OCTETS: Final = "application/octet-stream"
MAX_TARGET: Final = 2048
"""Octets of what is led elsewhere."""


class Plain:
    """Everybody may ask here, and nobody learns anything."""

    __slots__ = ("_answers", "_settings")

    def __init__(self, answers: Answers, settings: Callable[[], Settings]) -> None:
        self._answers = answers
        self._settings = settings

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        return (Route(("GET",), f"{HTTP_PATH}{{token}}", self._challenge),)

    async def _challenge(self, request: Request) -> Response:
        body = self._answers.http(request.parameters["token"])
        if body is None:
            return problem(404)
        emit("acme.challenge.shown", kind="http-01", host=request.head.host, peer=request.peer)
        return Response(200, body, OCTETS)

    async def elsewhere(self, request: Request) -> Response:
        """The same under https. A client that sends a body, or credentials, has sent them in clear already:
        it learns of its mistake here instead of having it mended."""
        head = request.head
        try:
            domain_name(head.host)
        except BadValue:
            return problem(404)
        target = head.target.decode("latin-1")
        usable = target.startswith("/") and target.isascii() and target.isprintable()
        if head.method not in ("GET", "HEAD") or not usable or len(target) > MAX_TARGET:
            return problem(403, "this is served over https only")
        port = self._settings().server.port_base + HTTPS
        where = head.host if port == HTTPS else f"{head.host}:{port}"
        return Response(308, fields=(("Location", f"https://{where}{target}"),))
