"""DNS-01 (RFC 8555 section 8.4): a TXT record below the name; the only kind there is for wildcards."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import ClassVar, Final, Self

from a3mailer.ops.acme.challenges.responder import ChallengeFailure, Means
from a3mailer.ops.acme.jose import base64url
from a3mailer.ops.dns_provider import DnsProvider, ProviderFailure, ZoneRecord

TTL: Final = 60


class Dns:
    """Puts the record into the zone through a ``DnsProvider``."""

    kind: ClassVar[str] = "dns-01"
    __slots__ = ("_pause", "_provider", "_settle")

    def __init__(
        self, provider: DnsProvider, settle_seconds: float, pause: Callable[[float], Awaitable[None]]
    ) -> None:
        self._provider = provider
        self._settle = settle_seconds
        self._pause = pause

    @classmethod
    def of(cls, means: Means) -> Self | None:
        return cls(means.provider, means.settle_seconds, means.pause) if means.provider else None

    async def present(self, name: str, token: str, authorization: str) -> None:
        record = _record(name, authorization)
        try:
            await self._provider.change(await self._provider.zone_of(record.name), (), (record,))
        except ProviderFailure as error:
            raise ChallengeFailure(f"{record.name}: {error}") from error

    async def settled(self) -> None:
        """What other name servers of the zone do is not ours to see: wait."""
        await self._pause(self._settle)

    async def withdraw(self, name: str, token: str, authorization: str) -> None:
        record = _record(name, authorization)
        with suppress(ProviderFailure):
            await self._provider.change(await self._provider.zone_of(record.name), (record,), ())


def _record(name: str, authorization: str) -> ZoneRecord:
    """``name`` is without ``*.``, as an authorization's identifier is (section 7.1.3)."""
    digest = base64url(hashlib.sha256(authorization.encode("ascii")).digest())
    return ZoneRecord(f"_acme-challenge.{name}", "TXT", f'"{digest}"', TTL)
