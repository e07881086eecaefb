"""The one guarded client for outbound HTTPS (RFC 9110, RFC 9112; attack row 50): nothing else asks the web.

A stranger's DNS, mail or form chooses what is asked here, so: https only; every address of the name is
looked up by our own resolver, all of them must be public, and the connection goes to one of those that were
checked (no rebinding); no redirects, cookies, credentials, proxies or content encodings; limits of size and
time for the whole; a host that fails is left alone for a while. Where ``inside`` is set (rigs), addresses
inside and plain http are allowed, too.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult

from a3mailer.runtime.clock import Clock
from a3mailer.runtime.reach import is_public
from a3mailer.runtime.resolver import Resolver, ResolverFailure

MAX_OCTETS: Final = 1 << 20
"""Of a body, unless the caller says less."""
SECONDS: Final = 60.0
"""For one exchange in all, unless the caller says less."""
MAX_HEADER: Final = 8192
"""Octets of one header line and of one header value."""
MAX_URL: Final = 2048
MAX_ADDRESSES: Final = 8
"""Addresses of a name that are tried."""
MAX_FIELDS: Final = 100
"""Header fields of an answer that are kept."""
PIECE: Final = 16 * 1024
AT_ONCE: Final = 32
"""Exchanges of one process at once."""
BREAK_AFTER: Final = 3
"""Failures in a row after which a host is left alone."""
BREAK_SECONDS: Final = 60.0
"""... for so long, doubled each time."""
BREAK_MOST: Final = 3600.0
HOSTS: Final = 1000
"""Hosts whose failures are remembered."""

_Way: TypeAlias = tuple[Any, Any, int, str, tuple[Any, ...]]
"""What ``getaddrinfo`` gives: family, type, protocol, name, socket address."""


class HttpFailure(Exception):
    """No answer that could be used. ``kind`` in one word, the text in words."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        """``refused`` (by our rules), ``dns``, ``tls``, ``connect``, ``timeout``, ``size`` or ``resting``."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole answer, whatever its status."""

    status: int
    media: str
    """Content type without parameters, in lower case."""
    body: bytes
    fields: tuple[tuple[str, str], ...] = ()
    """The header, names in lower case."""

    def field(self, name: str) -> str:
        """The first of this name (in lower case); empty where there is none."""
        return next((value for key, value in self.fields if key == name), "")


class _Refused(OSError):
    """Our own rules forbid an address."""


class _Checked(AbstractResolver):
    """Gives aiohttp the addresses of a name, all of which were checked."""

    def __init__(self, resolver: Resolver, inside: bool) -> None:
        self._resolver = resolver
        self.inside = inside

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        """Errors: OSError, as aiohttp wants it."""
        found: list[str] = []
        failure = f"{host} has no address"
        for kind in ("A", "AAAA"):
            try:
                found += (await self._resolver.lookup(host, kind)).strings
            except ResolverFailure as error:
                failure = str(error)
        if not found:
            raise OSError(None, failure)
        for text in found:
            if not (self.inside or is_public(ipaddress.ip_address(text))):
                raise _Refused(None, f"{host} is at {text}, which is not a public address")
        return [
            ResolveResult(
                hostname=host,
                host=text,
                port=port,
                family=10 if ":" in text else 2,
                proto=0,
                flags=4,
            )
            for text in found[:MAX_ADDRESSES]
        ]

    async def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True)
class _Host:
    failures: int = 0
    until: float = 0.0
    """Left alone until then (monotonic)."""


class HttpClient:
    """One object a process; made and closed inside its loop."""

    __slots__ = ("_checked", "_clock", "_context", "_gate", "_hosts", "_rest_most", "_session")

    def __init__(
        self,
        resolver: Resolver,
        clock: Clock,
        context: ssl.SSLContext,
        *,
        inside: bool = False,
        rest_most: float = BREAK_MOST,
    ) -> None:
        """``rest_most``: the longest a host that fails is left alone."""
        self._rest_most = rest_most
        self._checked = _Checked(resolver, inside)
        self._clock = clock
        self._context = context
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, *, most: int = MAX_OCTETS, seconds: float = SECONDS) -> HttpAnswer:
        """Errors: HttpFailure."""
        return await self._guarded("GET", url, b"", {}, most, seconds)

    async def post(
        self,
        url: str,
        body: bytes,
        media: str,
        *,
        most: int = MAX_OCTETS,
        seconds: float = SECONDS,
        fields: Mapping[str, str] = MappingProxyType({}),
    ) -> HttpAnswer:
        """Send ``body``, which is of the type ``media``, with these header fields. Errors: HttpFailure."""
        return await self._guarded("POST", url, body, {"Content-Type": media, **fields}, most, seconds)

    async def close(self) -> None:
        """Let go of everything, without waiting for what other ends have to say to it."""
        if self._session is not None:
            if self._session.connector is not None:
                await self._session.connector.close(abort_ssl=True)
            await self._session.close()
            self._session = None

    # --- the guard ---------------------------------------------------------------------------------

    async def _guarded(
        self, method: str, text: str, body: bytes, header: dict[str, str], most: int, seconds: float
    ) -> HttpAnswer:
        url = self.permitted(text)
        host = self._host(f"{url.host}:{url.port}")
        left = host.until - self._clock.monotonic()
        if left > 0:
            raise HttpFailure("resting", f"{url.host} failed and is left alone for {left:.0f} s")
        try:
            async with self._gate, asyncio.timeout(seconds):
                answer = await self._exchange(method, url, body, header, most)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError, HttpFailure) as error:
            host.failures += 1
            if host.failures >= BREAK_AFTER:
                pause = BREAK_SECONDS * 2.0 ** min(host.failures - BREAK_AFTER, 10)
                host.until = self._clock.monotonic() + min(pause, self._rest_most)
            raise _failure(url.host or "", error, seconds) from error
        host.failures, host.until = 0, 0.0
        return answer

    def permitted(self, text: str) -> yarl.URL:
        """A URL that our rules let us ask, as far as it says itself. Errors: HttpFailure."""
        try:
            url = yarl.URL(text)
            port, name = url.port, url.host
        except ValueError as error:
            raise HttpFailure("refused", "this is no URL") from error
        if len(text) > MAX_URL or not text.isascii() or not name or not port:
            raise HttpFailure("refused", "this is no URL that is asked")
        if url.scheme != "https" and not (self._checked.inside and url.scheme == "http"):
            raise HttpFailure("refused", f"{url.scheme or 'no scheme'} is not https")
        if url.user is not None or url.password is not None:
            raise HttpFailure("refused", "a URL with credentials is not asked")
        try:
            literal = ipaddress.ip_address(name)
        except ValueError:
            # QUIRK: 127.1, 0x7f.1 and 2130706433 are addresses to inet_aton, and so to some libraries
            if name.rpartition(".")[2][:1].isdigit():
                raise HttpFailure("refused", f"{name} is no host name") from None
            return url
        if not (self._checked.inside or is_public(literal)):
            raise HttpFailure("refused", f"{name} is not a public address")
        return url

    def _socket(self, way: _Way) -> socket.socket:
        """The last look, at the very address that is about to be connected to."""
        if not (self._checked.inside or is_public(ipaddress.ip_address(way[4][0]))):
            raise _Refused(None, f"{way[4][0]} is not a public address")
        return socket.socket(way[0], way[1], way[2])

    def _host(self, key: str) -> _Host:
        host = self._hosts.setdefault(key, _Host())
        self._hosts.move_to_end(key)
        if len(self._hosts) > HOSTS:
            self._hosts.popitem(last=False)
        return host

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=self._checked, use_dns_cache=False, force_close=True, socket_factory=self._socket
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_line_size=MAX_HEADER,
                max_field_size=MAX_HEADER,
                timeout=aiohttp.ClientTimeout(total=None),
                headers={"User-Agent": "a3mailer", "Accept-Encoding": "identity"},
            )
        return self._session

    async def _exchange(
        self, method: str, url: yarl.URL, body: bytes, header: dict[str, str], most: int
    ) -> HttpAnswer:
        request = self._open_session().request(
            method, url, data=body or None, headers=header, allow_redirects=False, ssl=self._context
        )
        async with request as response:
            pieces, size = [], 0
            async for piece in response.content.iter_chunked(PIECE):
                size += len(piece)
                if size > most:
                    raise HttpFailure("size", f"{url.host} sends more than {most} octets")
                pieces.append(piece)
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise HttpFailure("refused", f"{url.host} sends an encoding that was not asked for")
            media = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            fields = tuple((key.lower(), value) for key, value in response.headers.items())
            return HttpAnswer(response.status, media, b"".join(pieces), fields[:MAX_FIELDS])


def _failure(host: str, error: Exception, seconds: float) -> HttpFailure:
    """What went wrong, in our words and kinds."""
    if isinstance(error, HttpFailure):
        return error
    if isinstance(error, TimeoutError):
        return HttpFailure("timeout", f"{host} gave no whole answer in {seconds:g} s")
    if isinstance(error.__cause__, _Refused):
        return HttpFailure("refused", str(error.__cause__.strerror))
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return HttpFailure("dns", str(error.strerror or error))
    if isinstance(error, aiohttp.ClientSSLError):
        return HttpFailure("tls", f"{host}: {error}")
    return HttpFailure("connect", f"{host}: {error}")
