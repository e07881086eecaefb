"""Metrics and health, on the private listener.

``/healthz/live`` answers while this process's loop turns; ``/healthz/ready`` only while the store can be
read and written; ``/metrics`` is the sum over all processes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from a3mailer.edge.http.exchange import Request, Response
from a3mailer.edge.http.routes import Route
from a3mailer.telemetry import metrics

EXPOSITION: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Health:
    """``ready`` returns "" or the reason why mail cannot be served now."""

    ready: Callable[[], Awaitable[str]]
    gauge: Callable[[], Awaitable[None]]
    """Sets the gauges that are looked up when they are asked for."""

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        return (
            Route(("GET",), "/metrics", self._metrics),
            Route(("GET",), "/healthz/live", self._live),
            Route(("GET",), "/healthz/ready", self._ready),
        )

    async def _metrics(self, _request: Request) -> Response:
        await self.gauge()
        return Response(200, metrics.SHARED.exposition().encode(), EXPOSITION)

    async def _live(self, _request: Request) -> Response:
        return Response(200, b"live\n")

    async def _ready(self, _request: Request) -> Response:
        reason = await self.ready()
        return Response(503, reason.encode() + b"\n") if reason else Response(200, b"ready\n")
