"""Metrics and health over HTTP/1.1 (RFC 9112): three paths, GET and HEAD only, on httptools.

``/healthz/live`` answers while this process's loop turns; ``/healthz/ready`` only while the store can be
read and written; ``/metrics`` is the sum over all processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import httptools

from a3mailer.edge.connection import Connection
from a3mailer.telemetry import metrics

MAX_REQUEST: Final = 16 * 1024
"""Octets of one request; a body is never read."""
IDLE_SECONDS: Final = 30.0

_REASONS: Final = {200: b"OK", 400: b"Bad Request", 404: b"Not Found", 405: b"Method Not Allowed",
                   503: b"Service Unavailable"}  # fmt: skip


class _Request:
    """What the parser tells: one request at a time."""

    __slots__ = ("complete", "url")

    def __init__(self) -> None:
        self.url = b""
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_message_complete(self) -> None:
        self.complete = True


@dataclass(frozen=True, slots=True)
class HealthDoor:
    """Serves the private listener. ``ready`` returns "" or the reason why mail cannot be served now."""

    ready: Callable[[], Awaitable[str]]
    gauge: Callable[[], Awaitable[None]]
    """Sets the gauges that are looked up when they are asked for."""

    async def serve(self, connection: Connection, _trace: str) -> None:
        """One connection, kept alive between requests."""
        while True:
            connection.deadline = asyncio.get_running_loop().time() + IDLE_SECONDS
            request = _Request()
            parser = httptools.HttpRequestParser(request)
            size = 0
            while not request.complete:
                octets = await connection.read()
                size += len(octets)
                if not octets:
                    return
                try:
                    parser.feed_data(octets)
                except (httptools.HttpParserError, httptools.HttpParserUpgrade):
                    size = MAX_REQUEST + 1
                if size > MAX_REQUEST:
                    connection.write(_response(400, b"bad request\n", b"GET"))
                    return
            method = parser.get_method()
            status, body = await self._answer(method, request.url.partition(b"?")[0])
            connection.write(_response(status, body, method))
            await connection.drain()
            if not parser.should_keep_alive():
                await connection.flushed()
                return

    async def _answer(self, method: bytes, path: bytes) -> tuple[int, bytes]:
        if method not in (b"GET", b"HEAD"):
            return 405, b"method not allowed\n"
        if path == b"/metrics":
            await self.gauge()
            return 200, metrics.SHARED.exposition().encode()
        if path == b"/healthz/live":
            return 200, b"live\n"
        if path == b"/healthz/ready":
            reason = await self.ready()
            return (503, reason.encode() + b"\n") if reason else (200, b"ready\n")
        return 404, b"no such page\n"


def _response(status: int, body: bytes, method: bytes) -> bytes:
    head = (
        b"HTTP/1.1 %d %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %d\r\n"
    )
    return head % (status, _REASONS[status], len(body)) + b"\r\n" + (b"" if method == b"HEAD" else body)
