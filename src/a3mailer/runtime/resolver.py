"""The resolver door, and the stub resolver behind it (RFC 1034, 1035, 2181, 2308, 5452, 6891, 7766).

Asks recursive servers over UDP, over TCP when an answer is truncated; answers are cached with their time
to live, negative ones too, both bounded. An answer is believed only when it comes from the server's
address and port to a random port of ours, repeats our random id and our question; of what it holds only
the records of the name asked for, and of its aliases in order, are taken (bailiwick, attack row 15). With a
validator (``runtime/unbound.py``) it asks instead, and what contradicts its signatures is no answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import msgspec
from dns.rcode import NOERROR, NXDOMAIN, to_text
from dns.rdtypes.ANY.MX import MX as MxData
from dns.rdtypes.ANY.TLSA import TLSA as TlsaData
from dns.rdtypes.ANY.TXT import TXT as TxtData

from a3mailer.runtime.clock import Clock
from a3mailer.runtime.unbound import Bogus, Failed, Unbound

MAX_CACHED: Final = 20_000
"""Answers kept a process; the one used longest ago goes first."""
MAX_TTL: Final = 86_400.0
"""Seconds an answer is kept at most."""
MAX_NEGATIVE_TTL: Final = 3_600.0
"""Seconds a negative answer is kept at most (RFC 2308 section 5)."""
FAILURE_TTL: Final = 5.0
"""Seconds a failure is remembered, so that a dead zone is not asked for by every mail (RFC 9520)."""
MAX_ALIASES: Final = 8
"""CNAME records that may follow one another."""
MAX_RECORDS: Final = 500
"""Records taken of one answer; more is a failure."""
UDP_PAYLOAD: Final = 1232
"""Octets a server may send in one datagram: no fragments on any path (RFC 6891 section 6.2.5)."""
MAX_IN_FLIGHT: Final = 256
"""Questions on the wire at once; others wait within their deadline."""
TRIES: Final = 2
"""Rounds over all servers inside one question's deadline."""
RESOLV_CONF: Final = Path("/etc/resolv.conf")


class ResolverFailure(Exception):
    """No answer in time, or one that says nothing (SERVFAIL, REFUSED, nonsense): ask again later."""


@dataclass(frozen=True, slots=True)
class Mx:
    """One MX record; ``exchange`` is "." for the null MX (RFC 7505)."""

    preference: int
    exchange: str


@dataclass(frozen=True, slots=True)
class Tlsa:
    """One TLSA record (RFC 6698 section 2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes


Record = str | bytes | Mx | Tlsa
"""A, AAAA: the address; CNAME, NS, PTR: the name without its final dot; TXT: its strings joined; MX; TLSA."""


class Answer(msgspec.Struct, frozen=True):
    """What the DNS says. No records and ``exists``: the name is there, but not with this type."""

    name: str
    kind: str
    records: tuple[Record, ...] = ()
    exists: bool = True
    """False on NXDOMAIN."""
    authentic: bool = False
    """Validated from the trust anchor down, aliases included: by our validator, or by a resolver on this
    machine (the AD bit, RFC 6840 section 5.8)."""
    ttl: float = 0.0
    canonical: str = ""
    """Where aliases lead to, in lower case; empty when the name is no alias."""

    @property
    def strings(self) -> tuple[str, ...]:
        """Addresses or names."""
        return tuple([r for r in self.records if isinstance(r, str)])

    @property
    def texts(self) -> tuple[bytes, ...]:
        """TXT."""
        return tuple([r for r in self.records if isinstance(r, bytes)])

    @property
    def exchanges(self) -> tuple[Mx, ...]:
        """MX."""
        return tuple([r for r in self.records if isinstance(r, Mx)])

    @property
    def associations(self) -> tuple[Tlsa, ...]:
        """TLSA."""
        return tuple([r for r in self.records if isinstance(r, Tlsa)])


class Resolver(Protocol):
    """Where everyone who needs the DNS asks."""

    async def lookup(self, name: str, kind: str) -> Answer:
        """Records of ``kind`` (A, AAAA, MX, TXT, PTR, CNAME, NS, TLSA) of an absolute name in A-labels.

        Errors: ResolverFailure."""
        ...

    def known(self, name: str, kind: str) -> Answer | None:
        """The same from memory; None where it has to be asked for. Errors: ResolverFailure."""
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """A recursive resolver."""

    address: str
    port: int = 53

    @property
    def local(self) -> bool:
        """On this machine: nobody between it and us, so that its AD bit can be believed."""
        return ipaddress.ip_address(self.address.partition("%")[0]).is_loopback


# server = address [":" port] / "[" IPv6-address "]" [":" port]
def parse_server(text: str) -> Server:
    """One entry of ``dns.servers``. Errors: ValueError."""
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    else:
        address, port = text, ""
    ipaddress.ip_address(address.partition("%")[0])
    return Server(address, int(port) if port else 53)


def system_servers(path: Path = RESOLV_CONF) -> tuple[Server, ...]:
    """The nameserver lines of resolv.conf(5), else this machine."""
    found = []
    try:
        lines = path.read_text("ascii", "replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.append(parse_server(f"[{words[1]}]"))
            except ValueError:
                continue
    return tuple(found[:3]) or (Server("127.0.0.1"),)


class _Datagrams(asyncio.DatagramProtocol):
    """One question's socket: connected, so the kernel drops what comes from elsewhere."""

    def __init__(self, query: dns.message.Message) -> None:
        self.query = query
        self.answer: asyncio.Future[dns.message.Message] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Take the first datagram that answers the question; a forged or broken one is not an answer."""
        if self.answer.done():
            return
        message = _parse(data, self.query)
        if message is not None:
            self.answer.set_result(message)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(ResolverFailure(str(exc)))


def _parse(data: bytes, query: dns.message.Message) -> dns.message.Message | None:
    """The message, if it answers the query: same id, same question (RFC 5452 section 9.1)."""
    message = _message(data)
    if message is None or not query.is_response(message) or message.question != query.question:
        return None
    return message


def _message(data: bytes) -> dns.message.Message | None:
    try:
        return dns.message.from_wire(data, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError, IndexError):
        return None


_Cache = OrderedDict[tuple[str, str], tuple[float, Answer | None]]
"""Until when (monotonic), and what; None for a failure."""


class StubResolver:
    """Asks ``servers`` in order, skipping those that were just silent. ``timeout``: seconds a question."""

    __slots__ = ("_asking", "_believes", "_cache", "_clock", "_gate", "_servers", "_silent", "_timeout",
                 "_validator")  # fmt: skip

    def __init__(
        self,
        servers: Sequence[Server],
        timeout: float,
        clock: Clock,
        validator: Unbound | None = None,
        *,
        believes: bool = True,
    ) -> None:
        """``believes``: without a validator, the AD bit of a resolver on this machine."""
        self._servers = tuple(servers)
        self._timeout = timeout
        self._validator = validator
        self._believes = believes
        self._clock = clock
        self._cache: _Cache = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._silent: dict[Server, float] = {}
        self._gate = asyncio.Semaphore(MAX_IN_FLIGHT)

    def reconfigure(
        self,
        servers: Sequence[Server],
        timeout: float,
        validator: Unbound | None = None,
        *,
        believes: bool = True,
    ) -> None:
        """Ask these from now on. What other servers have said, and what they are still asked, is not kept."""
        if (tuple(servers), believes) != (self._servers, self._believes) or validator is not self._validator:
            self._servers = tuple(servers)
            self._cache = OrderedDict()
            self._silent.clear()
        if validator is not self._validator:
            self.close()
        self._validator = validator
        self._believes = believes
        self._timeout = timeout

    @property
    def validator(self) -> Unbound | None:
        """What validates, if anything does."""
        return self._validator

    @property
    def believes(self) -> bool:
        """Is the AD bit of a resolver on this machine believed?"""
        return self._believes

    @property
    def asks_here(self) -> bool:
        """Are all the servers on this machine?"""
        return all(server.local for server in self._servers)

    def close(self) -> None:
        """End the validator, if there is one."""
        if self._validator is not None:
            self._validator.close()
            self._validator = None

    async def lookup(self, name: str, kind: str) -> Answer:
        """See ``Resolver``. Equal questions at the same time are asked once."""
        while True:
            kept = self.known(name, kind)
            if kept is not None:
                return kept
            key = (name.lower().removesuffix("."), kind)
            asked = self._asking.get(key)
            if asked is None:
                break
            await asyncio.wait((asked,))
        over = self._asking[key] = asyncio.get_running_loop().create_future()
        try:
            return await self._ask(key)
        finally:
            del self._asking[key]
            over.set_result(None)

    def known(self, name: str, kind: str) -> Answer | None:
        """See ``Resolver``."""
        key = (name.lower().removesuffix("."), kind)
        kept = self._cache.get(key)
        if kept is None:
            return None
        left = kept[0] - self._clock.monotonic()
        if left <= 0:
            del self._cache[key]
            return None
        self._cache.move_to_end(key)
        known = kept[1]
        if known is None:
            raise ResolverFailure(f"{key[1]} of {key[0]} failed a moment ago")
        return Answer(
            known.name, known.kind, known.records, known.exists, known.authentic, left, known.canonical
        )

    def _keep(self, cache: _Cache, key: tuple[str, str], answer: Answer | None) -> None:
        """In the cache that was there when it was asked for."""
        ttl = FAILURE_TTL if answer is None else answer.ttl
        if ttl > 0:
            cache[key] = (self._clock.monotonic() + ttl, answer)
            if len(cache) > MAX_CACHED:
                cache.popitem(last=False)

    async def _ask(self, key: tuple[str, str]) -> Answer:
        try:
            name = dns.name.from_text(key[0].encode("ascii").decode() or ".")
        except (dns.exception.DNSException, UnicodeError):
            return Answer(*key, exists=False)  # no name of the DNS: nothing can have it
        cache = self._cache
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._follow(key, name)
        except (TimeoutError, ResolverFailure) as error:
            self._keep(cache, key, None)
            raise ResolverFailure(f"{key[1]} of {key[0]}: {str(error) or 'no answer in time'}") from error
        self._keep(cache, key, answer)
        return answer

    async def _follow(self, key: tuple[str, str], name: dns.name.Name) -> Answer:
        """Ask for the name, and for the target of an alias that the server did not follow itself."""
        kind = dns.rdatatype.from_text(key[1])
        ttl, authentic = MAX_TTL, True
        first = name
        for _ in range(MAX_ALIASES):
            message, proven = await self._question(name, kind)
            found = _read(message, name, kind)
            authentic = authentic and proven
            ttl = min(ttl, found.ttl)
            if found.alias is None:
                canonical = "" if found.name == first else _text(found.name).lower()
                return Answer(*key, found.records, found.exists, authentic, ttl, canonical)
            name = found.alias
        raise ResolverFailure(f"more than {MAX_ALIASES} aliases")

    async def _question(
        self, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> tuple[dns.message.Message, bool]:
        """An answer, and whether it is proven."""
        validator = self._validator
        if validator is not None and await validator.usable():
            async with self._gate:
                return await _validated(validator, name, kind)
        message, server = await self._exchange(name, kind)
        return message, self._believes and server.local and bool(message.flags & dns.flags.AD)

    async def _exchange(
        self, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> tuple[dns.message.Message, Server]:
        """One question, to the first server that has an answer; each gets its part of the time."""
        failure: Exception = ResolverFailure("no server")
        now = self._clock.monotonic()
        servers = sorted(self._servers, key=lambda s: self._silent.get(s, 0.0) > now)
        share = self._timeout / (TRIES * max(1, len(servers)))
        async with self._gate:
            for server in (*servers,) * TRIES:
                try:
                    async with asyncio.timeout(share):
                        message = await self._once(server, name, kind)
                except (TimeoutError, OSError, ResolverFailure) as error:
                    failure = error
                    self._silent[server] = now + 10 * FAILURE_TTL
                    continue
                if message.rcode() in (NOERROR, NXDOMAIN):
                    self._silent.pop(server, None)
                    return message, server
                failure = ResolverFailure(f"{server.address} answers {to_text(message.rcode())}")
        raise ResolverFailure(str(failure) or "no answer in time") from failure

    async def _once(
        self, server: Server, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> dns.message.Message:
        query = dns.message.make_query(name, kind, use_edns=0, payload=UDP_PAYLOAD, id=secrets.randbits(16))
        query.flags |= dns.flags.AD
        loop = asyncio.get_running_loop()
        transport, datagrams = await loop.create_datagram_endpoint(
            lambda: _Datagrams(query), remote_addr=(server.address, server.port)
        )
        try:
            transport.sendto(query.to_wire())
            message = await datagrams.answer
        finally:
            transport.close()
        return await _over_tcp(server, query) if message.flags & dns.flags.TC else message


async def _validated(
    validator: Unbound, name: dns.name.Name, kind: dns.rdatatype.RdataType
) -> tuple[dns.message.Message, bool]:
    """What the validator says, as a message. Errors: ResolverFailure."""
    try:
        packet, proven = await validator.ask(name.to_text(), kind)
    except (Bogus, Failed) as error:
        raise ResolverFailure(f"validation: {error}") from error
    message = _message(packet)
    if message is None:
        raise ResolverFailure("the validator's answer cannot be read")
    if message.rcode() not in (NOERROR, NXDOMAIN):
        raise ResolverFailure(f"the servers answer {to_text(message.rcode())}")
    return message, proven


async def _over_tcp(server: Server, query: dns.message.Message) -> dns.message.Message:
    """RFC 7766: two octets of length before each message."""
    reader, writer = await asyncio.open_connection(server.address, server.port)
    try:
        wire = query.to_wire()
        writer.write(len(wire).to_bytes(2, "big") + wire)
        size = int.from_bytes(await reader.readexactly(2), "big")
        message = _parse(await reader.readexactly(size), query)
    except (asyncio.IncompleteReadError, OSError) as error:
        raise ResolverFailure(f"{server.address} over TCP: {error}") from error
    finally:
        writer.close()
    if message is None:
        raise ResolverFailure(f"{server.address} over TCP: not an answer to the question")
    return message


@dataclass(frozen=True, slots=True)
class _Found:
    records: tuple[Record, ...]
    exists: bool
    ttl: float
    name: dns.name.Name
    """Where the aliases of this answer end."""
    alias: dns.name.Name | None = None
    """Where the chain of aliases leads out of this answer."""


def _read(message: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> _Found:
    """The records of ``name`` in the answer section, through its aliases; all else is ignored.

    Errors: ResolverFailure."""
    ttl, seen = MAX_TTL, {name}
    for _ in range(MAX_ALIASES):
        rrset = _rrset(message, name, kind)
        if rrset is not None:
            if len(rrset) > MAX_RECORDS:
                raise ResolverFailure(f"more than {MAX_RECORDS} records")
            return _Found(tuple(_value(rdata) for rdata in rrset), True, min(ttl, float(rrset.ttl)), name)
        alias = _rrset(message, name, dns.rdatatype.CNAME)
        if alias is None:
            break
        name, ttl = alias[0].target, min(ttl, float(alias.ttl))
        if name in seen:
            raise ResolverFailure("aliases in a circle")
        seen.add(name)
    else:
        raise ResolverFailure(f"more than {MAX_ALIASES} aliases")
    if len(seen) > 1 and message.rcode() != NXDOMAIN and not _says_no(message, name):
        return _Found((), True, ttl, name, name)
    return _Found((), message.rcode() != NXDOMAIN, min(ttl, _negative_ttl(message, name)), name)


def _rrset(
    message: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType
) -> dns.rrset.RRset | None:
    return message.get_rrset(message.answer, name, dns.rdataclass.IN, kind)


def _soa(message: dns.message.Message, name: dns.name.Name) -> dns.rrset.RRset | None:
    """The SOA record of a zone that holds the name (RFC 2308 section 3)."""
    for rrset in message.authority:
        if rrset.rdtype == dns.rdatatype.SOA and name.is_subdomain(rrset.name):
            return rrset
    return None


def _says_no(message: dns.message.Message, name: dns.name.Name) -> bool:
    return _soa(message, name) is not None


def _negative_ttl(message: dns.message.Message, name: dns.name.Name) -> float:
    """Without a SOA record a negative answer is not kept (RFC 2308 section 5)."""
    soa = _soa(message, name)
    return 0.0 if soa is None else min(float(soa.ttl), float(soa[0].minimum), MAX_NEGATIVE_TTL)


def _text(name: dns.name.Name) -> str:
    """Without the final dot, but for the root."""
    return name.to_text(omit_final_dot=True) or "."


def _value(rdata: dns.rdata.Rdata) -> Record:
    """The plain value of one record."""
    if isinstance(rdata, MxData):
        return Mx(rdata.preference, _text(rdata.exchange))
    if isinstance(rdata, TxtData):
        return b"".join(rdata.strings)
    if isinstance(rdata, TlsaData):
        return Tlsa(rdata.usage, rdata.selector, rdata.mtype, rdata.cert)
    return rdata.to_text().rstrip(".") or "."
