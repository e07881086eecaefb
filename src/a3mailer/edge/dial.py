"""Dialing out: the only place that opens a connection to another mail server."""

from __future__ import annotations

import asyncio
import os
import socket

from a3mailer.edge.connection import Connection, ConnectionLost


async def dial_filter(where: str, seconds: float) -> Connection:
    """Connect to ``unix:PATH`` or ``ADDRESS:PORT`` of this operator's own. Errors: ConnectionLost."""
    if not where.startswith("unix:"):
        host, _, port = where.rpartition(":")
        return await dial(host.strip("[]"), int(port), seconds)
    path = where.removeprefix("unix:")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(sock, path)
    except (OSError, TimeoutError) as error:
        sock.close()
        raise ConnectionLost(f"{where}: {str(error) or 'no answer'}") from error
    return Connection(sock, (path, 0), ("", 0))


def cannot_send_from(address: str) -> str:
    """Why this machine cannot use an address of ``queue.rules``, in words; empty: it can."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.bind((address, 0))
    except OSError as error:
        return f"this machine cannot send from {address}: {error.strerror or error}"
    return ""


async def dial(address: str, port: int, seconds: float, source: str = "") -> Connection:
    """Connect to one IP address (never a name: who resolves decides) within ``seconds``.

    Errors: ConnectionLost, with the reason in words.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        if source:
            sock.bind((source, 0))
    except OSError as error:
        sock.close()
        raise ConnectionLost(f"this machine cannot send from {source}: {error.strerror or error}") from error
    try:
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except TimeoutError as error:
        sock.close()
        raise ConnectionLost(f"no answer from {address}:{port} in {seconds:g} s") from error
    except OSError as error:
        sock.close()
        why = os.strerror(error.errno) if error.errno else error  # asyncio's own text names no reason
        raise ConnectionLost(f"{address}:{port}: {why}") from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Connection(sock, (address, port))
