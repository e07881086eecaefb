"""A name server on loopback for tests: a zone by hand, over UDP and TCP, with every vice on request.

async with NameServer() as server:
    server.put("example.test. 300 IN MX 10 mx.example.test.")
    StubResolver([Server("127.0.0.1", server.port)], ...)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self, cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Twist = Callable[[dns.message.Message, dns.message.Message], Iterable[bytes]]
"""(query, honest response) -> the datagrams to send, in order; none of them: silence."""

NEGATIVE_TTL = 60
SOA = f"ns.test. hostmaster.test. 1 3600 600 86400 {NEGATIVE_TTL}"


class NameServer:
    """``zone`` maps (name, type) to record sets; ``asked`` is every question and its transport."""

    def __init__(self) -> None:
        self.zone: dict[tuple[dns.name.Name, int], dns.rrset.RRset] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.ids: list[int] = []
        self.ports: list[int] = []
        self.truncate = False
        """Answer over UDP with the TC flag and nothing else."""
        self.twist: Twist | None = None
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None

    def put(self, *records: str) -> None:
        """Add records in master-file form, names absolute."""
        for record in records:
            name, ttl, _, kind, data = record.split(None, 4)
            rrset = dns.rrset.from_text(name, int(ttl), "IN", kind, data)
            known = self.zone.setdefault((rrset.name, rrset.rdtype), rrset)
            for rdata in rrset:
                known.add(rdata)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._stream, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Endpoint(self), local_addr=("127.0.0.1", self.port)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._transport is not None:
            self._transport.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def answer(self, wire: bytes, transport: str) -> list[bytes]:
        """The responses to one query."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        self.asked.append((question.name.to_text(True), dns.rdatatype.to_text(question.rdtype), transport))
        self.ids.append(query.id)
        response = dns.message.make_response(query, recursion_available=True)
        if self.truncate and transport == "udp":
            response.flags |= dns.flags.TC
        else:
            self._fill(response, question)
        if self.twist is not None and transport == "udp":
            return list(self.twist(query, response))
        return [response.to_wire(max_size=65535)]

    def _fill(self, response: dns.message.Message, question: dns.rrset.RRset) -> None:
        name = question.name
        for _ in range(20):
            found = self.zone.get((name, question.rdtype))
            if found is not None:
                response.answer.append(found)
                return
            alias = self.zone.get((name, dns.rdatatype.CNAME))
            if alias is None:
                break
            response.answer.append(alias)
            name = alias[0].target
        if not any(known == name for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        response.authority.append(
            dns.rrset.from_text(name.parent() if len(name) > 1 else name, NEGATIVE_TTL, "IN", "SOA", SOA)
        )

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        for wire in self.answer(await reader.readexactly(size), "tcp"):
            writer.write(len(wire).to_bytes(2, "big") + wire)
        await writer.drain()
        writer.close()


class _Endpoint(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.ports.append(addr[1])
        assert self._transport is not None
        for wire in self._server.answer(data, "udp"):
            self._transport.sendto(wire, addr)
