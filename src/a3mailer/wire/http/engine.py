"""HTTP/1.1 requests from octets (RFC 9112), sans I/O: strict rules over httptools (llhttp).

    engine.receive(octets); while (event := engine.next_event()) is not None: ...

A request is Head, any number of Data, End; what breaks a rule is one Bad and then nothing more. llhttp
itself refuses bare LF, folded fields, several or odd Content-Length, Content-Length beside
Transfer-Encoding, odd chunk sizes and control characters; the rules here add the rest of attack row 43.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import httptools
import msgspec

MAX_HEAD: Final = 16 * 1024
"""Octets of a request line and its fields; also those of trailers."""
MAX_FIELDS: Final = 100
PIECE: Final = 16 * 1024
"""Octets given to the parser at once: a head can be no more than this longer than allowed."""
FRAMING: Final = 8
"""Octets of chunk framing one octet of a chunked body may cost, beyond MAX_HEAD."""
_VERSIONS: Final = ("1.0", "1.1")


class Head(msgspec.Struct, frozen=True):
    """The request line and the fields."""

    method: str
    target: bytes
    """In origin form, or ``*``; an absolute form (RFC 9112 section 3.2.2) has become ``host`` and this."""
    host: str
    """Lower case, without its port; empty only in HTTP/1.0."""
    authority: str
    """As it was sent, with its port."""
    fields: tuple[tuple[bytes, bytes], ...]
    """Names in lower case."""
    length: int
    """Octets of the body; -1 where it is chunked."""
    keep_alive: bool
    http10: bool


class Data(msgspec.Struct, frozen=True):
    """Octets of the body."""

    octets: bytes


class End(msgspec.Struct, frozen=True):
    """The request is whole."""


class Bad(msgspec.Struct, frozen=True):
    """No request, or none we take; the connection ends with the status."""

    status: int
    text: str


Event = Head | Data | End | Bad


class RequestEngine:
    """One connection's requests, in their order."""

    __slots__ = (
        "_body",
        "_done",
        "_events",
        "_fields",
        "_in_body",
        "_octets",
        "_parser",
        "_size",
        "_target",
        "rest",
    )

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._done = False
        self.rest = b""
        """What came behind a request that asks for another protocol."""
        self._renew()
        self._parser = httptools.HttpRequestParser(self)

    def _renew(self) -> None:
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._size = 0
        """Octets of the head as they were told."""
        self._octets = 0
        """Octets that came for this request."""
        self._body = 0
        self._in_body = False

    def next_event(self) -> Event | None:
        """The next one, None until more octets came."""
        return self._events.popleft() if self._events else None

    def receive(self, octets: bytes) -> None:
        """Octets of the client, cut anywhere."""
        for at in range(0, len(octets), PIECE):
            if self._done:
                return
            piece = octets[at : at + PIECE]
            self._octets += len(piece)
            try:
                self._parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                # where nobody takes it up it is ignored as RFC 9110 section 7.8 allows; nothing may follow
                self._done = True
                self.rest = piece[upgrade.args[0] :] + octets[at + PIECE :]
            except httptools.HttpParserError as error:
                self._refuse(400, str(error) or "not HTTP/1.1")
            self._look()

    def _look(self) -> None:
        """What came without being told yet has a limit."""
        allowed = 2 * PIECE + MAX_HEAD + (self._body * (1 + FRAMING) if self._in_body else 0)
        if not self._done and self._octets > allowed:
            self._refuse(400 if self._in_body else 431, "too much that is no body")

    def _refuse(self, status: int, text: str) -> None:
        if not self._done:
            self._done = True
            self._events.append(Bad(status, text))

    # --- what the parser tells; errors raised here would come back wrapped, so they are events -----------

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._grow(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._grow(len(name) + len(value) + 4)
        if not self._in_body:  # a trailer says nothing we would listen to
            self._fields.append((name.lower(), value.strip(b" \t")))

    def _grow(self, octets: int) -> None:
        self._size += octets
        if self._size > MAX_HEAD or len(self._fields) >= MAX_FIELDS:
            self._refuse(431, "request header fields too large")

    def on_headers_complete(self) -> None:
        self._in_body = True
        if self._done:
            return
        made = self._head()
        if isinstance(made, Bad):
            self._refuse(made.status, made.text)
        else:
            self._events.append(made)

    def on_body(self, octets: bytes) -> None:
        self._body += len(octets)
        if not self._done:
            self._events.append(Data(octets))

    def on_message_complete(self) -> None:
        if not self._done:
            self._events.append(End())
        self._renew()

    # --- rules on top ------------------------------------------------------------------------------------

    def _head(self) -> Head | Bad:
        version = self._parser.get_http_version()
        if version not in _VERSIONS:
            return Bad(505, "HTTP/1.1 is spoken here")
        http10 = version == "1.0"
        hosts = [value for name, value in self._fields if name == b"host"]
        if len(hosts) > 1 or not (hosts or http10):
            return Bad(400, "exactly one Host field is needed")
        coding = [value.lower() for name, value in self._fields if name == b"transfer-encoding"]
        if coding and (http10 or coding != [b"chunked"]):
            return Bad(400 if http10 else 501, "the one transfer coding is chunked")
        authority, target = _split(self._target, hosts[0] if hosts else b"")
        host = _host(authority)
        if host is None or not target or b"#" in target or not _is_plain(target):
            return Bad(400, "bad request target or host")
        return Head(
            self._parser.get_method().decode("ascii"),
            target,
            host,
            authority.decode("ascii"),
            tuple(self._fields),
            -1 if coding else self._length(),
            self._parser.should_keep_alive() and not (http10 or self._parser.should_upgrade()),
            http10,
        )

    def _length(self) -> int:
        return next((int(value) for name, value in self._fields if name == b"content-length"), 0)


def _split(target: bytes, host: bytes) -> tuple[bytes, bytes]:
    """(authority, origin form); an empty target where it is none we take (RFC 9112 section 3.2)."""
    if target.startswith(b"/") or target == b"*":
        return host, target
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in {b"http", b"https"}:
        return host, b""
    authority, slash, path = rest.partition(b"/")
    return authority, slash + path if slash else b"/"


# host = IP-literal / IPv4address / reg-name, [":" port]: only what names a host of ours or is its address
_HOST: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-._:[]")


def _host(authority: bytes) -> str | None:
    """Lower case, without the port; None where it cannot be a host."""
    folded = authority.lower()
    if len(folded) > 300 or not _HOST.issuperset(folded):
        return None
    if folded.startswith(b"["):
        return folded.partition(b"]")[0].decode("ascii") + "]"
    return folded.partition(b":")[0].decode("ascii")


def _is_plain(target: bytes) -> bool:
    return target.isascii() and not any(octet <= 0x20 or octet == 0x7F for octet in target)
