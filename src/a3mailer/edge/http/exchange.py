"""One request and its answer, as the handlers behind the HTTP door see them (RFC 9110)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from a3mailer.edge.connection import Connection
from a3mailer.edge.http.lasting import Lasting
from a3mailer.identity.principal import ANONYMOUS, Principal
from a3mailer.identity.standing import Standing
from a3mailer.mail.envelope import Client
from a3mailer.wire.http.engine import Head

MAX_QUERY: Final = 50
"""Parameters of a query."""
TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
REASONS: Final = {
    101: "Switching Protocols", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content",
    206: "Partial Content", 301: "Moved Permanently", 304: "Not Modified",
    308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 409: "Conflict", 411: "Length Required", 413: "Content Too Large",
    415: "Unsupported Media Type", 416: "Range Not Satisfiable", 417: "Expectation Failed",
    422: "Unprocessable Content", 426: "Upgrade Required", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented",
    503: "Service Unavailable", 505: "HTTP Version Not Supported",
    507: "Insufficient Storage",
}  # fmt: skip
"""Every status that is answered here (RFC 9110 section 15)."""


class BadRequest(Exception):
    """The door answers with this status (a key of REASONS) and these words; nothing was done."""

    def __init__(self, status: int, text: str, fields: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. The body is read when it is wanted, and never before."""

    head: Head
    peer: str
    """The client's address; behind a trusted proxy what its PROXY header says."""
    secure: bool
    read_body: Callable[[], Awaitable[bytes]]
    """All of it, within the route's limit. Errors: BadRequest (413), ConnectionLost."""
    principal: Principal = ANONYMOUS
    """Who asks."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What the path's placeholders matched."""
    standing: Standing = field(default_factory=Standing)
    """Who was let in on its connection."""

    @property
    def path(self) -> str:
        """Percent-decoded; octets that are no UTF-8 become replacement characters."""
        return path_of(self.head.target)

    @property
    def query(self) -> dict[str, str]:
        """What follows the ``?``. Errors: BadRequest (a name twice, or too many)."""
        text = self.head.target.partition(b"?")[2].decode("ascii")
        try:
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_QUERY)
        except ValueError as error:
            raise BadRequest(400, "too many query parameters") from error
        if len({name for name, _ in pairs}) != len(pairs):
            raise BadRequest(400, "a query parameter occurs twice")
        return dict(pairs)

    @property
    def submitter(self) -> Client:
        """Who submits mail by it (RFC 6409): rules and trace are those of SMTP submission."""
        who, tls = self.principal, "HTTPS" if self.secure else ""
        return Client(self.peer, 0, tls=tls, account=who.account, login=who.login, protocol="submission")

    def header(self, name: bytes) -> str | None:
        """The one value of a field (lower-case name). Errors: BadRequest (400) where there are several."""
        values = [value for each, value in self.head.fields if each == name]
        if len(values) > 1:
            raise BadRequest(400, f"more than one {name.decode()} field")
        return values[0].decode("latin-1") if values else None


def path_of(target: bytes) -> str:
    """The path of a target in origin form, decoded once."""
    return unquote_to_bytes(target.partition(b"?")[0]).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered, whole."""

    status: int
    body: bytes = b""
    media: str = TEXT
    fields: tuple[tuple[str, str], ...] = ()
    lasting: Callable[[Connection, bytes], Lasting] | None = None
    """What the connection goes on as, given the octets that came behind the request."""


class _Problem(msgspec.Struct, omit_defaults=True):
    title: str
    status: int
    detail: str = ""
    type: str = "about:blank"


def problem(status: int, detail: str = "", fields: tuple[tuple[str, str], ...] = ()) -> Response:
    """An error as RFC 9457 wants it told."""
    body = msgspec.json.encode(_Problem(REASONS[status], status, detail))
    return Response(status, body, PROBLEM, fields)


Handler = Callable[[Request], Awaitable[Response]]
