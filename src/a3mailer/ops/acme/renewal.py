"""Fetching certificates in time: one worker of an instance does it for all (ADR 0026).

Each certificate fails alone, is told of, and is tried again after a pause. What was fetched is put where
every worker looks once a second; nobody is told, nothing restarts.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from a3mailer.config.fields import BadValue
from a3mailer.config.syntax import host_port
from a3mailer.config.tree import Acme, Settings
from a3mailer.mail.errors import MailError
from a3mailer.ops import pkix
from a3mailer.ops.acme.answers import Answers
from a3mailer.ops.acme.challenges.responder import Means
from a3mailer.ops.acme.client import AcmeClient, Http
from a3mailer.ops.acme.documents import AcmeFailure
from a3mailer.ops.acme.jose import AccountKey, from_base64url
from a3mailer.ops.acme.memory import Memory
from a3mailer.ops.acme.order import issue, responders
from a3mailer.ops.acme.schedule import (
    Trial,
    Wish,
    failed,
    is_due,
    renewal_id,
    warning_seconds,
    wishes,
    within,
)
from a3mailer.ops.certificates import ACME, NEXT_KEY, CertificateStore, Kept, key_of, write_whole
from a3mailer.ops.dns_provider import DnsProvider, ProviderFailure
from a3mailer.ops.dns_providers.rfc2136 import Rfc2136, read_key
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.resolver import Resolver, ResolverFailure
from a3mailer.runtime.rest import rest
from a3mailer.store.ports import DirectoryReader
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import count, state

LOOK_SECONDS: Final = 1.0
"""How often it is looked whether somebody asked for a renewal, or the settings changed."""
ROUND_SECONDS: Final = 600.0
"""How often it is looked whether one is due."""
ADVICE_SECONDS: Final = 6 * 3600.0
"""How often an authority is asked when it would have a certificate renewed, where it does not say (RFC 9773
section 4.3.2 wants at least that)."""
WARN_SECONDS: Final = 86_400.0
"""A certificate near its end is told of once in so long."""

_RANDOM: Final = random.SystemRandom()

Pause = Callable[[float], Awaitable[None]]


class Renewal:
    """``run`` is the work of an instance's first worker; ``round`` is one look, for tests."""

    def __init__(
        self,
        directory: Path,
        store: DirectoryReader,
        resolver: Resolver,
        http: Http,
        clock: Clock,
        settings: Callable[[], Settings],
        pause: Pause = asyncio.sleep,
        draw: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self._directory = directory
        self._domains = store
        self._resolver = resolver
        self._http = http
        self._clock = clock
        self._settings = settings
        self._pause = pause
        self._draw = draw
        self._memory = Memory(directory)
        self._certificates = CertificateStore(directory, settings())
        self._warned: dict[str, float] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set."""
        obeyed, next_round = None, 0.0
        while not stop.is_set():
            wanted, now = self._settings().acme, self._clock.monotonic()
            if wanted != obeyed or now >= next_round or self._memory.is_asked():
                obeyed, next_round = wanted, now + ROUND_SECONDS
                await self.round(stop)
            await rest(stop, LOOK_SECONDS)

    async def round(self, stop: asyncio.Event) -> None:
        """Fetch what is due. Nothing is raised for what an authority, a disk or the store refuses."""
        settings = self._settings()
        try:
            with self._memory.alone() as held:
                if not held:
                    return
                Answers(self._directory).clear()
                self._certificates.reconfigure(settings)
                self._certificates.look(self._clock.now())
                if settings.acme.directory:
                    await _Round(self, settings, stop).run()
                self._certificates.look(self._clock.now())
                self._warn()
        except (OSError, MailError) as error:
            emit("cert.round.put_off", level="warning", error=str(error))

    def _warn(self) -> None:
        """Of the certificates that are shown and end soon."""
        now = self._clock.now()
        shown = {kept.certificate: kept for kept in self._certificates.look(now).values()}
        host = self._certificates.pick(self._settings().server.hostname.lower(), now)
        state("a3_certificate_seconds", "", round(host.chain.ends - now) if host is not None else 0)
        for kept in shown.values():
            if kept.chain.ends - now > warning_seconds(kept.chain):
                continue
            if now < self._warned.get(kept.name, 0.0) + WARN_SECONDS:
                continue
            self._warned[kept.name] = now
            emit(
                "cert.expiring",
                level="error" if kept.chain.ends <= now else "warning",
                certificate=kept.name,
                source=kept.source,
                ends=kept.chain.ends,
            )


class _Round:
    """One look: at most one conversation with the authority, begun when it is needed."""

    def __init__(self, of: Renewal, settings: Settings, stop: asyncio.Event) -> None:
        self._of = of
        self._settings = settings
        self._stop = stop
        self._account: AccountKey | None = None
        self._client: AcmeClient | None = None
        self._registered = False

    async def run(self) -> None:
        """Errors: OSError, MailError."""
        of = self._of
        trials, asked = of._memory.trials(), of._memory.asked()
        domains = sorted(domain.name for domain in await of._domains.domains())
        wanted = wishes(self._settings, domains)
        self._forget({wish.name for wish in wanted})
        for wish in wanted:
            if self._stop.is_set():
                return
            forced = asked is not None and (not asked or bool(set(asked) & {wish.name, *wish.names}))
            trial = trials.get(wish.name, Trial())
            after = await self._one(wish, trial, forced)
            if after != trial:
                trials[wish.name] = after
                of._memory.keep(trials)

    def _forget(self, wanted: set[str]) -> None:
        """What was fetched for names that are ours no more goes when it ends."""
        of = self._of
        for kept in of._certificates.kept:
            if kept.source == ACME and kept.name not in wanted and kept.chain.ends <= of._clock.now():
                of._certificates.remove(ACME, kept.name)
                emit("cert.forgotten", certificate=kept.name)

    async def _one(self, wish: Wish, trial: Trial, forced: bool) -> Trial:
        of, now = self._of, self._of._clock.now()
        if not forced and now < trial.not_before:
            return trial
        forced |= trial.directory not in ("", self._settings.acme.directory)  # another authority from now on
        known = next((k for k in of._certificates.kept if (k.source, k.name) == (ACME, wish.name)), None)
        try:
            trial = await self._advice(known, trial)
            if not forced and not is_due(wish, of._certificates.kept, trial, now):
                return trial
            reachable = await self._reachable(wish, known)
            if reachable is None or not (forced or is_due(reachable, of._certificates.kept, trial, now)):
                return trial
            await self._fetch(reachable, known)
        except (AcmeFailure, OSError, ValueError) as error:
            retry_after = error.retry_after if isinstance(error, AcmeFailure) else 0.0
            after = failed(trial, str(error), of._clock.now(), retry_after, of._draw())
            count("a3_certificates_total", "failed")
            emit(
                "cert.failed",
                level="error",
                certificate=wish.name,
                error=after.error,
                kind=error.kind if isinstance(error, AcmeFailure) else type(error).__name__,
                failures=after.failures,
                again=round(after.not_before),
            )
            return after
        return Trial(at=of._clock.now(), directory=self._settings.acme.directory)

    async def _reachable(self, wish: Wish, known: Kept | None) -> Wish | None:
        """A domain's names as far as the DNS has addresses for them; while it is silent those we have."""
        if wish.host:
            return wish
        names = []
        for name in wish.names:
            try:
                kinds = [await self._of._resolver.lookup(name, kind) for kind in ("A", "AAAA")]
                there = any(answer.strings for answer in kinds)
            except ResolverFailure:
                there = known is not None and name in known.chain.names
            if there:
                names.append(name)
        return Wish(wish.name, tuple(names)) if names else None

    async def _advice(self, known: Kept | None, trial: Trial) -> Trial:
        """When the authority would have a certificate renewed (RFC 9773); its silence is no failure."""
        clock = self._of._clock
        if known is None or clock.now() < trial.ask_again:
            return trial
        advised, again = 0.0, ADVICE_SECONDS
        try:
            found = await (await self._conversation()).renewal(renewal_id(known.chain.leaf))
        except AcmeFailure as error:
            emit("cert.advice.failed", level="warning", certificate=known.name, error=str(error))
            advised = trial.advised
        else:
            if found is not None:
                window, again = found[0].window, found[1] or ADVICE_SECONDS
                advised = within(window.start.timestamp(), window.end.timestamp(), known.chain)
        return msgspec.structs.replace(trial, advised=advised, ask_again=clock.now() + again)

    async def _conversation(self) -> AcmeClient:
        """With a directory, and no account yet. Errors: AcmeFailure, OSError, ValueError."""
        if self._client is None:
            self._account = self._of._memory.account()
            client = AcmeClient(
                self._of._http, self._settings.acme.directory, self._account, self._of._clock, self._of._pause
            )
            await client.begin()
            self._client = client
        return self._client

    async def _fetch(self, wish: Wish, known: Kept | None) -> None:
        """Errors: AcmeFailure, OSError, ValueError."""
        of, acme = self._of, self._settings.acme
        client = await self._conversation()
        assert self._account is not None
        if not self._registered:
            contact = [f"mailto:{address}" for address in acme.contact]
            await client.register(contact, acme.agree, _external(of._directory, acme))
            self._registered = True
        means = Means(Answers(of._directory), _keeper(of._directory, acme), acme.dns_seconds, of._pause)
        ways = responders(acme.challenges, means)
        key, taken = self._key(wish, known)
        replaces = renewal_id(known.chain.leaf) if known else ""
        chain = await issue(client, self._account, key, wish.names, ways, of._clock.now(), replaces)
        of._certificates.put(ACME, wish.name, chain, key)
        if taken:
            write_whole(of._directory / NEXT_KEY, pkix.key_pem(pkix.new_key()))
        count("a3_certificates_total", "issued")
        emit("cert.issued", certificate=wish.name, names=wish.names, ends=chain.ends)

    def _key(self, wish: Wish, known: Kept | None) -> tuple[pkix.ServerKey, bool]:
        """The key for a certificate, and whether it is the next one, which is then used up."""
        of = self._of
        if self._settings.acme.new_key:
            path = of._directory / NEXT_KEY
            if wish.host and path.exists():
                return pkix.read_key(path.read_bytes()), True
            return pkix.new_key(), False
        former = known or (of._certificates.pick(wish.name, of._clock.now()) if wish.host else None)
        if former is not None:
            with suppress(OSError, ValueError):  # lost, or one that no client would take any more
                return key_of(former), False
        return pkix.new_key(), False


def _external(directory: Path, acme: Acme) -> tuple[str, bytes] | None:
    """Errors: OSError, ValueError."""
    if not acme.eab_kid:
        return None
    return acme.eab_kid, from_base64url((directory / acme.eab_key_file).read_text("ascii", "replace"))


def _keeper(directory: Path, acme: Acme) -> DnsProvider | None:
    """Who changes zones. Errors: ValueError."""
    if not acme.dns_server:
        return None
    try:
        return Rfc2136(*host_port(acme.dns_server), read_key(directory / acme.dns_key_file))
    except (ProviderFailure, BadValue) as error:
        raise ValueError(str(error)) from error
