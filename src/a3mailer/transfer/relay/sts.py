"""The MTA-STS policies of other domains: fetched, kept on disk, looked at again in time (RFC 8461).

A policy that was once fetched holds for its ``max_age``, whatever the DNS or the web say meanwhile: that is
what keeps somebody between us and them from taking it away. It is fetched anew when the record's id changes
and when half of its time is over. One file a domain, named by a digest, written beside and renamed, shared
by all processes of the data directory.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import OrderedDict
from pathlib import Path
from typing import Final, Protocol

import msgspec

from a3mailer.msgauth.mta_sts import (
    MAX_POLICY,
    MEDIA,
    PATH,
    BadPolicy,
    StsPolicy,
    parse_policy,
    parse_record,
)
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.http import HttpAnswer, HttpFailure
from a3mailer.runtime.resolver import Resolver, ResolverFailure
from a3mailer.telemetry.events import emit

FETCH_SECONDS: Final = 30.0
"""For a policy (RFC 8461 section 3.3 advises a minute; mail waits for it)."""
RETRY_SECONDS: Final = 300.0
"""After a fetch that failed (section 3.3)."""
IN_MEMORY: Final = 10_000
"""Domains a process remembers; the one used longest ago goes first."""
ON_DISK: Final = 50_000
"""Policies on disk; beyond that new ones are kept in memory only."""
FAILURES: Final = {"tls": "sts-webpki-invalid"}
"""Kinds of HttpFailure that RFC 8460 section 4.3 has a word for; the others are sts-policy-fetch-error."""


class Web(Protocol):
    """``runtime.http.HttpClient``."""

    async def get(self, url: str, *, most: int, seconds: float) -> HttpAnswer:
        """Errors: HttpFailure."""
        ...


class Kept(msgspec.Struct, frozen=True):
    """A policy as it is kept. Times are seconds since the epoch."""

    domain: str
    id: str
    fetched: int
    policy: StsPolicy

    def holds(self, now: float) -> bool:
        """A clock that jumped back far does not make it new again."""
        return self.fetched - 86_400 <= now < self.fetched + self.policy.max_age


class Found(msgspec.Struct, frozen=True):
    """What holds for a domain now."""

    policy: StsPolicy | None = None
    failure: str = ""
    """A result type of RFC 8460 section 4.3.2.2 where a policy should be and could not be had anew."""
    reason: str = ""
    """... in words."""


class _Entry:
    """What is known of one domain."""

    __slots__ = ("failed", "kept", "loaded", "lock", "retry_at")

    def __init__(self) -> None:
        self.kept: Kept | None = None
        self.loaded = False
        self.retry_at = 0.0
        self.failed = Found()
        self.lock = asyncio.Lock()


class StsPolicies:
    """One object a process. ``folder`` is made when it is needed; ``port`` is 443 but in rigs."""

    __slots__ = ("_clock", "_entries", "_folder", "_port", "_resolver", "_web")

    def __init__(self, resolver: Resolver, web: Web, clock: Clock, folder: Path, port: int = 443) -> None:
        self._resolver = resolver
        self._web = web
        self._clock = clock
        self._folder = folder
        self._port = port
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    async def find(self, domain: str) -> Found:
        """The policy in force for mail to ``domain`` (A-labels), none where there is none. Never an error."""
        domain = domain.lower()
        entry = self._entries.setdefault(domain, _Entry())
        self._entries.move_to_end(domain)
        if len(self._entries) > IN_MEMORY:
            self._entries.popitem(last=False)
        async with entry.lock:
            return await self._find(domain, entry)

    async def _find(self, domain: str, entry: _Entry) -> Found:
        if not entry.loaded:
            entry.kept = await asyncio.to_thread(_load, self._path(domain), domain)
            entry.loaded = True
        now = self._clock.now()
        kept = entry.kept if entry.kept is not None and entry.kept.holds(now) else None
        identity = await self._identity(domain)
        if not identity:
            return Found(_in_force(kept))
        fresh = kept is not None and kept.id == identity and now < kept.fetched + kept.policy.max_age / 2
        if not fresh:
            if entry.retry_at > self._clock.monotonic():
                return msgspec.structs.replace(entry.failed, policy=_in_force(kept))
            try:
                kept = entry.kept = await self._fetch(domain, identity, entry)
            except (HttpFailure, BadPolicy) as error:
                return self._missed(domain, entry, kept, error)
        return Found(_in_force(kept))

    async def _identity(self, domain: str) -> str:
        """The id of the domain's record; empty when there is none or the DNS does not say."""
        try:
            answer = await self._resolver.lookup(f"_mta-sts.{domain}", "TXT")
        except ResolverFailure:
            return ""
        return parse_record(answer.texts)

    async def _fetch(self, domain: str, identity: str, entry: _Entry) -> Kept:
        """Errors: HttpFailure, BadPolicy."""
        port = "" if self._port == 443 else f":{self._port}"
        url = f"https://mta-sts.{domain}{port}{PATH}"
        answer = await self._web.get(url, most=MAX_POLICY, seconds=FETCH_SECONDS)
        if answer.status != 200:
            raise HttpFailure("status", f"{url} answers {answer.status}")
        if answer.media != MEDIA:
            raise BadPolicy(f"it is of the type {answer.media or 'unknown'}, not {MEDIA}")
        kept = Kept(domain, identity, int(self._clock.now()), parse_policy(answer.body))
        entry.retry_at = 0.0
        await asyncio.to_thread(_save, self._path(domain), kept)
        emit("sts.fetched", domain=domain, mode=kept.policy.mode, max_age=kept.policy.max_age)
        return kept

    def _missed(self, domain: str, entry: _Entry, kept: Kept | None, error: HttpFailure | BadPolicy) -> Found:
        """What is kept goes on to hold; without it there is no policy (section 5.1)."""
        entry.retry_at = self._clock.monotonic() + RETRY_SECONDS
        kind = "sts-policy-invalid"
        if isinstance(error, HttpFailure):
            kind = FAILURES.get(error.kind, "sts-policy-fetch-error")
        reason = f"the MTA-STS policy of {domain} could not be had: {error}"
        entry.failed = Found(None, kind, reason)
        emit(
            "sts.missed", level="warning", domain=domain, kind=kind, reason=str(error), kept=kept is not None
        )
        return Found(_in_force(kept), kind, reason)

    def _path(self, domain: str) -> Path:
        return self._folder / f"{hashlib.blake2b(domain.encode(), digest_size=16).hexdigest()}.json"


def _in_force(kept: Kept | None) -> StsPolicy | None:
    return None if kept is None or kept.policy.mode == "none" else kept.policy


def _load(path: Path, domain: str) -> Kept | None:
    """What is on disk; what cannot be read is not there."""
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=Kept)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return kept if kept.domain == domain else None


def _save(path: Path, kept: Kept) -> None:
    """Beside, then renamed: a reader sees one whole or the other. A full disk costs the memory of it only."""
    beside = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists() and sum(1 for _ in path.parent.iterdir()) >= ON_DISK:
            return
        with beside.open("wb") as file:
            file.write(msgspec.json.encode(kept))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        emit("sts.not_kept", level="warning", domain=kept.domain, error=str(error))
