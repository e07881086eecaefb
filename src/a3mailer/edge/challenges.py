"""TLS-ALPN-01 on the https listener (RFC 8737): who speaks acme-tls/1 is shown the challenge's certificate.

Python's TLS does not tell which protocols a client offers before it has chosen a certificate, so the
ClientHello is looked at in the socket. That happens only while there is a challenge: a matter of seconds.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Final

from a3mailer.edge.connection import Connection, ConnectionLost
from a3mailer.edge.tls import server_context
from a3mailer.ops.acme.answers import ALPN_PROTOCOL, Answers
from a3mailer.telemetry.events import emit
from a3mailer.wire.tls_hello import MAX_HELLO, NOTHING, Hello, parse_hello

PAUSE_SECONDS: Final = 0.02
"""Between two looks at a ClientHello that came in pieces."""
LOOKS: Final = 250


class AlpnChallenges:
    """``Listener.special``: call it with a connection before TLS. Raises ConnectionLost."""

    __slots__ = ("_answers",)

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def __call__(self, connection: Connection) -> ssl.SSLContext | None:
        """A context for this connection alone, which is closed after the handshake; None: it is ordinary."""
        if not self._answers.awaited():
            return None
        hello = await _hello(connection)
        path = self._answers.alpn(hello.name) if ALPN_PROTOCOL.encode() in hello.protocols else None
        if path is None:
            return None
        try:
            context = server_context(path, path)
        except OSError:
            return None  # it was taken away at this moment
        context.set_alpn_protocols([ALPN_PROTOCOL])
        emit("acme.challenge.shown", kind="tls-alpn-01", host=hello.name, peer=connection.peer[0])
        return context


async def _hello(connection: Connection) -> Hello:
    """What the client begins with, left in the socket for the handshake."""
    for _ in range(LOOKS):
        await connection.readable()
        try:
            seen = connection.raw.recv(MAX_HELLO, socket.MSG_PEEK)
        except BlockingIOError:
            continue
        except OSError as error:
            raise ConnectionLost(str(error)) from error
        found = parse_hello(seen)
        if found is not None or not seen:
            return found or NOTHING
        await asyncio.sleep(PAUSE_SECONDS)
    return NOTHING
