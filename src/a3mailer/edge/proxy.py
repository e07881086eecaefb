"""The PROXY header of trusted proxies, read before TLS and before any protocol (``Acceptor.before``).

A peer in ``server.proxy_from`` must send one, or its connection is closed; from anybody else nothing is
read here, so its header meets the protocol itself and is a bad command there.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.edge.connection import Connection, ConnectionLost
from a3mailer.telemetry.events import emit
from a3mailer.wire.errors import RemoteProtocolError
from a3mailer.wire.proxy import MAX_V2, parse_proxy

PAUSE_SECONDS: Final = 0.02
"""Between two looks at a header that came in pieces."""
LOOKS: Final = 250


@lru_cache(16)
def _networks(texts: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def is_trusted(ip: str, networks: tuple[str, ...]) -> bool:
    """Whether ``ip`` may speak for others."""
    if not networks or not ip:
        return False
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in _networks(networks))


class ProxyProtocol:
    """Call it with each new connection: its ``peer`` is the client's afterwards. Raises ConnectionLost."""

    __slots__ = ("_settings",)

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings

    async def __call__(self, connection: Connection) -> None:
        if not is_trusted(connection.peer[0], self._settings().server.proxy_from):
            return
        try:
            source = await _read_header(connection)
        except RemoteProtocolError as error:
            emit("proxy.refused", level="warning", peer=connection.peer[0], reason=str(error))
            connection.close()
            raise ConnectionLost(str(error)) from error
        if source is not None:
            connection.peer = source


async def _read_header(connection: Connection) -> tuple[str, int] | None:
    """Take exactly the header from the socket: what follows it may be a TLS handshake."""
    for _ in range(LOOKS):
        await connection.readable()
        try:
            seen = connection.raw.recv(MAX_V2, socket.MSG_PEEK)
            header = parse_proxy(seen)
            if not seen:
                break
            if header is not None:
                connection.raw.recv(header.length)
                return header.source
        except BlockingIOError:
            continue
        except OSError as error:
            raise ConnectionLost(str(error)) from error
        await asyncio.sleep(PAUSE_SECONDS)
    raise RemoteProtocolError("no PROXY header in time")
