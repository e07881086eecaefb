"""Dynamic update of a primary name server (RFC 2136), every message signed (TSIG, RFC 8945), over TCP."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.tsig
import dns.update

from a3mailer.ops.dns_provider import IN, ProviderFailure, ZoneRecord

TIMEOUT: Final = 10.0
"""Seconds one exchange may take."""
MAX_KEY_FILE: Final = 64 * 1024
ALGORITHMS: Final = ("hmac-sha256", "hmac-sha384", "hmac-sha512")
"""Of RFC 8945 section 6 those that are recommended."""
_KEY: Final = re.compile(r'key\s+"?([^\s"{};]+)"?\s*\{([^}]*)\}')
_STATEMENT: Final = re.compile(r'(algorithm|secret)\s+"?([^\s"{};]+)"?\s*;')


# file      = "key" name "{" *statement "}" ";"        ; as tsig-keygen prints it
# statement = "algorithm" word ";" / "secret" base64 ";"
def read_key(path: Path) -> dns.tsig.Key:
    """The first key of a file in BIND's form. Errors: ProviderFailure."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEY_FILE).decode("ascii", "replace")
    except OSError as error:
        raise ProviderFailure(f"{path}: {error.strerror}") from error
    found = _KEY.search(content)
    said = dict(_STATEMENT.findall(found[2])) if found else {}
    if found is None or "secret" not in said:
        raise ProviderFailure(f"{path} holds no key as tsig-keygen prints it")
    algorithm = said.get("algorithm", "").lower()
    if algorithm not in ALGORITHMS:
        raise ProviderFailure(f"{path}: the algorithm is none of {', '.join(ALGORITHMS)}")
    try:
        return dns.tsig.Key(found[1], base64.b64decode(said["secret"], validate=True), algorithm)
    except (dns.exception.DNSException, ValueError) as error:
        raise ProviderFailure(f"{path}: the key cannot be used") from error


class Rfc2136:
    """``DnsProvider`` over dynamic updates."""

    __slots__ = ("_host", "_key", "_port")

    def __init__(self, host: str, port: int, key: dns.tsig.Key) -> None:
        self._host = host
        self._port = port
        self._key = key

    async def zone_of(self, name: str) -> str:
        answer = await self._ask(name, "SOA")
        for rrset in (*answer.answer, *answer.authority):
            if rrset.rdtype == dns.rdatatype.SOA:
                return rrset.name.to_text(omit_final_dot=True).lower()
        raise ProviderFailure(f"{self._host} keeps no zone for {name}")

    async def read(self, zone: str, name: str, kind: str) -> tuple[str, ...]:
        answer = await self._ask(name, kind)
        wanted = dns.rdatatype.from_text(kind)
        rrset = answer.get_rrset(answer.answer, _name(name), IN, wanted)
        return tuple(rdata.to_text() for rdata in rrset) if rrset is not None else ()

    async def change(self, zone: str, remove: Sequence[ZoneRecord], add: Sequence[ZoneRecord]) -> None:
        message = dns.update.UpdateMessage(_name(zone))
        for record in remove:
            message.delete(_name(record.name), _rdata(record))
        for record in add:
            message.add(_name(record.name), record.ttl, _rdata(record))
        await self._exchange(message)

    async def _ask(self, name: str, kind: str) -> dns.message.Message:
        query = dns.message.make_query(_name(name), kind)
        query.flags &= ~dns.flags.RD
        return await self._exchange(query, dns.rcode.NXDOMAIN)

    async def _exchange(
        self, message: dns.message.Message, *also_good: dns.rcode.Rcode
    ) -> dns.message.Message:
        """Signed there, and signed back (RFC 8945 section 5)."""
        message.use_tsig(self._key)
        try:
            async with asyncio.timeout(TIMEOUT):
                octets = await self._send(message.to_wire())
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            raise ProviderFailure(
                f"{self._host} port {self._port}: {str(error) or 'no answer in time'}"
            ) from error
        try:
            answer = dns.message.from_wire(octets, keyring=self._key, request_mac=message.mac)
        except (dns.exception.DNSException, ValueError) as error:
            raise ProviderFailure(f"{self._host}: the answer cannot be used: {error}") from error
        code = answer.rcode()
        if not answer.had_tsig or not message.is_response(answer):
            said = dns.rcode.to_text(code)
            raise ProviderFailure(f"{self._host} does not know the key (unsigned answer, {said})")
        if code not in (dns.rcode.NOERROR, *also_good):
            raise ProviderFailure(f"{self._host} answers {dns.rcode.to_text(code)}: nothing was changed")
        return answer

    async def _send(self, octets: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(len(octets).to_bytes(2, "big") + octets)
            return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        finally:
            writer.close()


def _name(text: str) -> dns.name.Name:
    try:
        return dns.name.from_text(text)
    except dns.exception.DNSException as error:
        raise ProviderFailure(f"{text} is no name of the DNS") from error


def _rdata(record: ZoneRecord) -> dns.rdata.Rdata:
    try:
        return dns.rdata.from_text(IN, dns.rdatatype.from_text(record.kind), record.data)
    except dns.exception.DNSException as error:
        raise ProviderFailure(f"{record.kind} {record.data}: {error}") from error
