"""Small HTTP/1.1 doors (RFC 9112): requests without a body, answered whole from memory, on httptools."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import httptools

from a3mailer.edge.connection import Connection

MAX_REQUEST: Final = 16 * 1024
"""Octets of one request; a body is never read."""
IDLE_SECONDS: Final = 30.0
"""For a whole request, from the first wait for it."""
TEXT: Final = b"text/plain; charset=utf-8"

_REASONS: Final = {200: b"OK", 400: b"Bad Request", 404: b"Not Found", 405: b"Method Not Allowed",
                   503: b"Service Unavailable"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered."""

    status: int
    body: bytes
    media: bytes = TEXT


NO_SUCH_PAGE: Final = Page(404, b"no such page\n")
Answer = Callable[[bytes, bytes], Awaitable[Page]]
"""(the Host field in lower case without its port, the path without its query) -> the page."""


class _Request:
    """What the parser tells: one request at a time."""

    __slots__ = ("complete", "hosts", "url")

    def __init__(self) -> None:
        self.url = b""
        self.hosts: list[bytes] = []
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"host":
            self.hosts.append(value)

    def on_message_complete(self) -> None:
        self.complete = True

    @property
    def host(self) -> bytes:
        """Empty where there is none, or more than one (RFC 9112 section 3.2)."""
        return self.hosts[0].strip().lower().partition(b":")[0] if len(self.hosts) == 1 else b""


async def serve_requests(connection: Connection, answer: Answer) -> None:
    """One connection, kept alive between requests; GET and HEAD only."""
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
                connection.write(_response(Page(400, b"bad request\n"), b"GET"))
                return
        method, path = parser.get_method(), request.url.partition(b"?")[0]
        page = Page(405, b"method not allowed\n")
        if method in (b"GET", b"HEAD"):
            page = await answer(request.host, path)
        connection.write(_response(page, method))
        await connection.drain()
        if not parser.should_keep_alive():
            await connection.flushed()
            return


def _response(page: Page, method: bytes) -> bytes:
    head = b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    return head % (page.status, _REASONS[page.status], page.media, len(page.body)) + (
        b"" if method == b"HEAD" else page.body
    )
