"""The control socket: verbs of the command line, performed by a worker on the store that is open.

One JSON object a line (RFC 8259), one request after another on a connection:

    request:  {"verb": "account add", "arguments": {...}}
    answers:  {"progress": [3, 10]} ... {"items": [...]} ... then one of
              {"result": ...} or {"error": "NoSuchAccount", "text": "no account x@y"}

Who may connect is who may open the data directory: the socket's mode is 0600 and the peer's user is checked.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final

import msgspec

from a3mailer.app.verbs.office import Office
from a3mailer.app.verbs.table import perform
from a3mailer.mail.errors import BadName, MailError
from a3mailer.runtime.supervise import contained
from a3mailer.telemetry.events import emit

MAX_LINE: Final = 96 << 20
"""Octets of one request: a mail of 64 MiB in base64, and what is said of it."""
LARGE: Final = 256 * 1024
"""Octets of a request that is decoded outside the event loop."""
ITEMS_A_LINE: Final = 500
PROGRESS_WAITING: Final = 16
"""Progress lines kept for a peer that reads slowly; further ones are left out."""
MAX_CONNECTIONS: Final = 64
RECEIVE: Final = 256 * 1024
_UCRED: Final = struct.Struct("3i")


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request."""

    verb: str
    arguments: dict[str, object] = {}


_decode: Final = msgspec.json.Decoder(Call).decode
_encode: Final = msgspec.json.Encoder().encode


async def serve_control(listener: socket.socket, office: Callable[[], Office]) -> None:
    """Accept on the supervisor's socket until cancelled. ``office`` gives the surroundings of a verb, with
    the settings of the moment."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    free = asyncio.Semaphore(MAX_CONNECTIONS)
    async with asyncio.TaskGroup() as tasks:
        while True:
            await free.acquire()
            connection, _ = await loop.sock_accept(listener)
            connection.setblocking(False)
            task = tasks.create_task(contained(_converse(connection, office), "control"))
            task.add_done_callback(lambda _task: free.release())


async def _converse(connection: socket.socket, office: Callable[[], Office]) -> None:
    with connection:
        if not _is_ours(connection):
            emit("control.refused", level="warning")
            return
        try:
            async for line in _lines(connection):
                await _answer(connection, line, office())
        except ConnectionError:
            return  # the other side went away: what was committed stays committed


def _is_ours(connection: socket.socket) -> bool:
    """Is the peer root, or the user this server runs as?"""
    _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return uid in (0, os.geteuid())


async def _lines(connection: socket.socket) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    buffer = bytearray()
    while octets := await loop.sock_recv(connection, RECEIVE):
        buffer += octets
        if len(buffer) > MAX_LINE:
            await loop.sock_sendall(connection, _fault(BadName(f"a request of more than {MAX_LINE} octets")))
            return
        looked = len(buffer) - len(octets)  # no line ends before: each octet is looked at once
        while (end := buffer.find(b"\n", looked)) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            looked = 0
            yield line


async def _answer(connection: socket.socket, line: bytes, office: Office) -> None:
    """Perform one request; its progress is sent while it runs, and it runs on when the peer goes away."""
    lines: asyncio.Queue[bytes] = asyncio.Queue()

    def progress(done: int, total: int) -> None:
        if lines.qsize() < PROGRESS_WAITING:
            lines.put_nowait(_encode({"progress": [done, total]}) + b"\n")

    async with asyncio.TaskGroup() as tasks:
        sender = tasks.create_task(_send(connection, lines))
        for each in await _outcome(line, replace(office, progress=progress)):
            lines.put_nowait(each)
        lines.put_nowait(b"")
    if not sender.result():
        raise ConnectionError("the peer went away")


async def _send(connection: socket.socket, lines: asyncio.Queue[bytes]) -> bool:
    """Send until the empty line; False when the peer went away before."""
    loop = asyncio.get_running_loop()
    there = True
    while line := await lines.get():
        try:
            if there:
                await loop.sock_sendall(connection, line)
        except OSError:
            there = False
    return there


async def _outcome(line: bytes, office: Office) -> list[bytes]:
    try:
        call = _decode(line) if len(line) < LARGE else await asyncio.to_thread(_decode, line)
        result = await perform(office, call.verb, call.arguments)
    except msgspec.MsgspecError as error:
        return [_fault(BadName(f"not a request: {error}"))]
    except MailError as error:
        return [_fault(error)]
    pieces = []
    if isinstance(result, list):
        for at in range(0, len(result), ITEMS_A_LINE):
            pieces.append(_encode({"items": result[at : at + ITEMS_A_LINE]}) + b"\n")
        result = []
    return [*pieces, _encode({"result": result}) + b"\n"]


def _fault(error: MailError) -> bytes:
    return _encode({"error": type(error).__name__, "text": str(error)}) + b"\n"
