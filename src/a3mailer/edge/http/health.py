"""Metrics and health over HTTP/1.1 (RFC 9112): three paths, GET and HEAD only, on httptools.

``/healthz/live`` answers while this process's loop turns; ``/healthz/ready`` only while the store can be
read and written; ``/metrics`` is the sum over all processes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from a3mailer.edge.connection import Connection
from a3mailer.edge.http.requests import NO_SUCH_PAGE, Page, serve_requests
from a3mailer.telemetry import metrics

EXPOSITION: Final = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class HealthDoor:
    """Serves the private listener. ``ready`` returns "" or the reason why mail cannot be served now."""

    ready: Callable[[], Awaitable[str]]
    gauge: Callable[[], Awaitable[None]]
    """Sets the gauges that are looked up when they are asked for."""

    async def serve(self, connection: Connection, _trace: str) -> None:
        """One connection."""
        await serve_requests(connection, self._answer)

    async def _answer(self, _host: bytes, path: bytes) -> Page:
        if path == b"/metrics":
            await self.gauge()
            return Page(200, metrics.SHARED.exposition().encode(), EXPOSITION)
        if path == b"/healthz/live":
            return Page(200, b"live\n")
        if path == b"/healthz/ready":
            reason = await self.ready()
            return Page(503, reason.encode() + b"\n") if reason else Page(200, b"ready\n")
        return NO_SUCH_PAGE
