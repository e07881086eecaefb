"""A mail server that is polite but for what a test makes it do at one stage of a session: real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeAlias

PIECE = 64 * 1024
LIMIT = 64 << 20
"""Octets of one content."""
STAGES = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "content")
"""What a client waits for, in order; ``STARTTLS`` and ``EHLO in TLS`` where the peer has a certificate."""


@dataclass(slots=True)
class Talk:
    """One connection as its act sees it."""

    peer: Peer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    secure: bool = False

    async def say(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()


Act: TypeAlias = Callable[[Talk], Awaitable[bool]]
"""Instead of the polite answer; False: the connection is over."""


def says(octets: bytes) -> Act:
    """Another answer, and on it goes."""

    async def act(talk: Talk) -> bool:
        await talk.say(octets)
        return True

    return act


async def cuts(talk: Talk) -> bool:
    """Hang up, with a FIN."""
    return not talk.peer


async def resets(talk: Talk) -> bool:
    """Hang up, with a RST."""
    sock = talk.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    talk.writer.transport.abort()
    return False


async def hangs(talk: Talk) -> bool:
    """Not a word until the client has gone."""
    while await talk.reader.read(PIECE):
        pass
    return False


def drips(octet: bytes, first: bytes = b"") -> Act:
    """Never silent for long, never done."""

    async def act(talk: Talk) -> bool:
        await talk.say(first)
        while True:
            await talk.say(octet)
            await asyncio.sleep(0.01)

    return act


def floods(piece: bytes, first: bytes = b"", most: int = 10 << 20) -> Act:
    """So many octets as fast as they are taken; then not a word."""

    async def act(talk: Talk) -> bool:
        await talk.say(first)
        for _ in range(most // len(piece)):
            await talk.say(piece)
            talk.peer.flooded += len(piece)
        return await hangs(talk)

    return act


@dataclass(slots=True)
class Peer:
    """``acts`` says where it is not polite. ``clear`` is all it heard outside TLS, ``taken`` the contents it
    said 250 to."""

    acts: Mapping[str, Act] = field(default_factory=dict)
    offers: tuple[bytes, ...] = (b"PIPELINING", b"8BITMIME")
    context: ssl.SSLContext | None = None
    clear: bytearray = field(default_factory=bytearray)
    taken: list[bytes] = field(default_factory=list)
    flooded: int = 0
    sessions: int = 0
    open: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self, address: str, port: int = 0) -> int:
        """Listen; the port."""
        self._server = await asyncio.start_server(self._serve, address, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def listen(self, sock: socket.socket) -> None:
        """Listen on one that somebody has opened."""
        self._server = await asyncio.start_server(self._serve, sock=sock, limit=LIMIT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.sessions += 1
        self.open += 1
        try:
            await self._talk(Talk(self, reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has had enough
        finally:
            self.open -= 1
            writer.close()

    async def _talk(self, talk: Talk) -> None:
        if not await self._act("greeting", talk):
            return
        while line := await talk.reader.readline():
            if not talk.secure:
                self.clear += line
            verb = line.split(None, 1)[0].partition(b":")[0].decode("latin-1").upper() if line.strip() else ""
            stage = f"{verb} in TLS" if talk.secure and f"{verb} in TLS" in self.acts else verb
            if not await self._act(stage, talk):
                return

    async def _act(self, stage: str, talk: Talk) -> bool:
        if stage in self.acts:
            return await self.acts[stage](talk)
        return await POLITE.get(stage, says(b"500 5.5.1 what?\r\n"))(talk)


async def _ehlo(talk: Talk) -> bool:
    offers = talk.peer.offers
    if talk.peer.context is not None and not talk.secure:
        offers = (*offers, b"STARTTLS")
    lines = [b"mx.b.test", *offers]
    await talk.say(b"".join(b"250-" + line + b"\r\n" for line in lines[:-1]) + b"250 " + lines[-1] + b"\r\n")
    return True


async def _starttls(talk: Talk) -> bool:
    await talk.say(b"220 2.0.0 go\r\n")
    assert talk.peer.context is not None
    await talk.writer.start_tls(talk.peer.context)
    talk.secure = True
    return True


async def _data(talk: Talk) -> bool:
    await talk.say(b"354 go\r\n")
    content = await talk.reader.readuntil(b"\r\n.\r\n")
    if not talk.secure:
        talk.peer.clear += content
    if "content" in talk.peer.acts:
        return await talk.peer.acts["content"](talk)
    talk.peer.taken.append(content)
    await talk.say(b"250 2.0.0 taken\r\n")
    return True


async def _quit(talk: Talk) -> bool:
    await talk.say(b"221 2.0.0 bye\r\n")
    return False


POLITE: dict[str, Act] = {
    "greeting": says(b"220 mx.b.test\r\n"),
    "EHLO": _ehlo,
    "STARTTLS": _starttls,
    "MAIL": says(b"250 2.1.0 ok\r\n"),
    "RCPT": says(b"250 2.1.5 ok\r\n"),
    "RSET": says(b"250 2.0.0 ok\r\n"),
    "DATA": _data,
    "QUIT": _quit,
}
