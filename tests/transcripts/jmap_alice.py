"""One account of a world of JMAP, for tests that ask one thing after the other."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from a3mailer.store import operations as op
from a3mailer.store.ports import Transaction
from tests.transcripts.jmap_world import JmapSession, JmapWorld


class Alice:
    """Her account, asked by JMAP; ``imap`` is what another door does to it."""

    def __init__(self, world: JmapWorld, session: JmapSession) -> None:
        self.world = world
        self.account = world.accounts["alice"]
        self._session = session

    async def ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        call = json.dumps([[method, {"accountId": f"A{self.account}", **arguments}, "0"]])
        name, answer, _ = json.loads((await self._session.feed(call.encode() + b"\r\n")).decode())
        return dict(answer) if name == method else {"error": answer["type"]}

    async def calls(self, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
        """Several calls of one request; ``accountId`` is hers."""
        made = [
            [name, {"accountId": f"A{self.account}", **given}, str(at)]
            for at, (name, given) in enumerate(calls)
        ]
        answer = await self._session.feed(json.dumps(made).encode() + b"\r\n")
        return [json.loads(line)[:2] for line in answer.decode().splitlines()]

    async def line(self, text: str) -> str:
        """The answer to a line as transcripts have it."""
        return (await self._session.feed(text.encode() + b"\r\n")).decode()

    async def upload(self, octets: bytes, media: str = "text/plain") -> str:
        """The blob id of some octets, which hold no line end."""
        line = f"POST /jmap/upload/A{self.account} <Content-Type: {media}>".encode()
        answer = await self._session.feed(line + octets + b"\r\n")
        return str(json.loads(answer.partition(b" ")[2])["blobId"])

    async def download(self, blob: str) -> bytes:
        """Its octets, which are ASCII."""
        return await self._session.feed(f"GET /jmap/download/A{self.account}/{blob}?name=a\r\n".encode())

    async def imap(self, operation: op.Operation) -> Any:
        (result,) = await self.world.store.commit(Transaction((operation,)))
        return result

    async def one(self, method: str, id: str, *properties: str) -> dict[str, Any]:
        """Some properties of a record."""
        named = {"properties": list(properties)} if properties else {}
        (found,) = (await self.ask(method, ids=[id], **named))["list"]
        return dict(found)

    async def state(self, kind: str) -> str:
        return str((await self.ask(f"{kind}/get", ids=[]))["state"])


@asynccontextmanager
async def at_home(**instructions: str) -> AsyncIterator[Alice]:
    """Alice, in a world of its own."""
    world = JmapWorld({"messages": "plain mixed"} | instructions)
    await world.fill()
    async with world.stage() as stage:
        session = JmapSession(stage.open(1), lambda octets: [octets])
        await session.greeting()
        yield Alice(world, session)
    world.close()
