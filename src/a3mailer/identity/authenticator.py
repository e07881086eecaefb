"""The door of every login: a name and a proof in, a Principal out; every wrong one costs and answers alike.

Wrong, unknown and disabled are one error, AuthenticationFailed, after one hash each (RFC 4422 section 6.2 and
attack row 53).  Failures are delayed by ``throttle``; crossing into a delay is written to the audit record,
at most once a while for each account and network, so that a flood of logins is no flood of records.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

from a3mailer.config.tree import Settings
from a3mailer.identity.credentials import (
    PASSWORD,
    SCRAM,
    SCRAM_ITERATIONS,
    SCRAM_SALT,
    HashPool,
    VerifiedCache,
    Verifier,
    hash_password,
    is_of_our_cost,
    verify_password,
)
from a3mailer.identity.directory import fold
from a3mailer.identity.principal import Object, Principal
from a3mailer.identity.roles import allow
from a3mailer.identity.standing import Standing
from a3mailer.identity.throttle import FREE, Throttle, TooManyFailures
from a3mailer.identity.tokens import PREFIX, stands
from a3mailer.identity.tokens import digest as token_digest
from a3mailer.identity.tokens import verify as verify_token
from a3mailer.mail.changes import EVERYTHING, Change
from a3mailer.mail.errors import AuthenticationFailed, BadName, MailError
from a3mailer.mail.ids import AccountId
from a3mailer.runtime.clock import Clock
from a3mailer.store.operations import RenewCredential
from a3mailer.store.ports import DirectoryReader, Transaction, Writer
from a3mailer.store.rows import Account, Credential
from a3mailer.telemetry.events import Secret, emit, redact_address
from a3mailer.telemetry.metrics import count

MAX_LOGIN: Final = 320
"""Characters of a login name: the longest address."""
REMEMBERED_ADDRESS: Final = 64
"""Characters of a stranger's login name that go into the audit record."""
NOBODY: Final = AccountId(-1)
"""Read in the place of an account that does not exist, so that a name that does costs the same."""
_TOKEN: Final = "(token)"  # noqa: S105 (a place in a table)
"""What failures of bearer tokens are counted under, with the token's digest: there is no name yet."""


class AuditSink(Protocol):
    """Where acts worth keeping are written; ``ops.audit`` provides it. Errors: TryLater."""

    async def record(
        self, subject: str, action: str, target: str, outcome: str, detail: dict[str, str]
    ) -> None: ...


class Authenticator:
    """Checks passwords, SCRAM proofs and tokens against one store's directory."""

    __slots__ = ("_audit", "_cache", "_clock", "_mock_key", "_pool", "_reader", "_scram", "_settings",
                 "_sleep", "_throttle", "_writer")  # fmt: skip

    def __init__(
        self,
        reader: DirectoryReader,
        settings: Settings,
        clock: Clock,
        audit: AuditSink,
        mock_key: bytes,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        throttle: Throttle | None = None,
        writer: Writer | None = None,
        verified: VerifiedCache | None = None,
    ) -> None:
        """``mock_key`` (32 octets, the same in every process and after a restart) makes the salts that
        SCRAM shows for accounts without a verifier. ``throttle`` and ``verified`` are shared with other
        processes. With ``writer``, hashes made elsewhere are renewed at the account's next login."""
        self._reader = reader
        self._clock = clock
        self._audit = audit
        self._mock_key = mock_key
        self._sleep = sleep
        self._pool = HashPool()
        self._throttle = throttle or Throttle()
        self._writer = writer
        self._scram: bool | None = None
        self._settings = settings
        self._cache = verified or VerifiedCache(settings.auth.cache_seconds)
        self._cache.seconds = settings.auth.cache_seconds

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        self._settings = settings
        self._cache.seconds = settings.auth.cache_seconds
        self._scram = None

    def heard(self, change: Change) -> None:
        """The store's watcher: a domain may have opted into SCRAM, or out of it."""
        if change == EVERYTHING or (change.account == 0 and change.mailbox == 0):
            self._scram = None

    def close(self) -> None:
        """End the hashing threads."""
        self._pool.close()

    # --- logins ------------------------------------------------------------------------------------

    async def password(self, login: str, password: Secret, ip: str) -> Principal:
        """Check a name and its password, or a token of the account in the place of the password.

        Errors: AuthenticationFailed, TryLater (too many at once)."""
        name = self._name(login)
        await self._admit(name, ip)
        account = await self._account(name)
        if (holder := await self._holder(account, password)) is not None:
            return self._welcome(replace(holder, login=name), name, ip)
        stored = await self._stored(account, PASSWORD)
        digest = self._cache.digest(name, password, account.epoch if account else -1)
        if stored is None or not self._cache.knows(digest, self._clock.monotonic()):
            hashed = stored.secret if stored else None
            if not await self._pool.run(partial(verify_password, hashed, password)):
                raise await self._refused(name, ip)
            if stored is not None and account is not None and account.enabled:
                await self._renew(stored, password)
            self._cache.remember(digest, self._clock.monotonic())
        if account is None or not account.enabled:
            raise await self._refused(name, ip)
        return self._accepted(account, name, ip)

    async def standing(self, standing: Standing, words: str) -> Principal | None:
        """Who was let in by these words on a connection, where that session still stands."""
        who = standing.known(words, self._clock.monotonic())
        if who is None or await self.current(who):
            return who
        standing.forget()
        return None

    def stands(self, standing: Standing, words: str, principal: Principal) -> None:
        """These words let somebody in just now."""
        standing.remember(words, principal, self._clock.monotonic())

    async def _renew(self, stored: Credential, password: Secret) -> None:
        """Hash a password that was right just now as ours are, where it is not; the login goes on anyway.

        An imported hash of another cost would tell the account apart by the time a wrong guess takes."""
        if self._writer is None or is_of_our_cost(stored.secret):
            return
        try:
            secret = await self._pool.run(partial(hash_password, password))
            renewed = RenewCredential(stored.account, stored.name, stored.kind, stored.secret, secret)
            await self._writer.commit(Transaction((renewed,)))
        except MailError as error:
            emit("auth.renewal.failed", level="warning", account=stored.account, error=type(error).__name__)
        else:
            emit("auth.password.renewed", account=stored.account)

    async def _holder(self, account: Account | None, password: Secret) -> Principal | None:
        """Whose token the password is, if one of this account's; what is none costs its hash as ever."""
        if not password.reveal().startswith(PREFIX):
            return None
        try:
            holder = await verify_token(self._reader, password, self._clock.now())
        except AuthenticationFailed:
            return None
        return holder if account is not None and holder.account == account.id else None

    async def token(self, token: Secret, ip: str) -> Principal:
        """Check a bearer token. Errors: AuthenticationFailed."""
        name = (
            f"{_TOKEN}{token_digest(token).hex()[:16]}"  # guesses of others must not stand in this one's way
        )
        await self._admit(name, ip)
        try:
            principal = await verify_token(self._reader, token, self._clock.now())
        except AuthenticationFailed:
            raise await self._refused(name, ip) from None
        self._throttle.succeeded(name, ip, self._clock.monotonic())
        count("a3_logins_total", "ok")
        return principal

    async def certified(self, names: tuple[str, ...], authzid: str, ip: str) -> Principal:
        """Who a verified certificate says it is: of several of its names that of ``authzid``, else the first
        that is an account's. Errors: AuthenticationFailed."""
        known = [self._name(each) for each in names]
        wanted = self._name(authzid) if authzid else ""
        for name in sorted(known, key=lambda name: name != wanted):
            await self._admit(name, ip)
            account = await self._account(name)
            if account is not None and account.enabled:
                return self._accepted(account, name, ip)
        raise await self._refused(wanted or next(iter(known), ""), ip)

    async def acting(self, principal: Principal, authzid: str) -> Principal:
        """Whom somebody who has logged in acts for: himself, by any of his names, or where the table of roles
        has it ("account.act"), another account. Errors: AuthenticationFailed."""
        name = self._name(authzid) if authzid else principal.address
        if name in (principal.address, principal.login):
            return principal
        account = await self._account(name)
        if account is not None and account.id == principal.account:
            return principal
        if account is not None and account.enabled:
            whom = Object(account.tenant, account.id, account.address.rpartition("@")[2], account.role)
            if allow(principal, "account.act", whom):
                return replace(
                    principal, account=account.id, tenant=account.tenant, address=account.address,
                    role=account.role, login=name, epoch=account.epoch,
                )  # fmt: skip
        raise AuthenticationFailed("acting for another account is not allowed")

    async def current(self, principal: Principal) -> bool:
        """Does a session of this principal still stand: enabled, of the present credential epoch, and its
        token (if it has one) neither revoked nor over?"""
        account = await self._reader.account(principal.account)
        if account is None or not account.enabled or account.epoch != principal.epoch:
            return False
        return not principal.token or await stands(self._reader, principal.token, self._clock.now())

    # --- SCRAM (the mechanism is in sasl/scram.py) ---------------------------------------------------

    async def scram_offered(self) -> bool:
        """Is there anyone SCRAM can work for? A client that picks it seldom tries another after it."""
        if self._scram is None:
            domains = await self._reader.domains()
            self._scram = any(wants_scram(d.settings, self._settings.auth.scram) for d in domains)
        return self._scram

    async def scram_verifier(self, login: str, ip: str) -> tuple[Verifier, Account | None]:
        """The account's verifier, or a mock that never fits and always looks the same (no account)."""
        name = self._name(login)
        await self._admit(name, ip)
        account = await self._account(name)
        stored = await self._stored(account, SCRAM)
        mock = self._mock(name)
        if stored is not None and account is not None and account.enabled:
            with contextlib.suppress(BadName):
                return Verifier.decode(stored.secret), account
        return mock, None

    async def scram_finished(self, login: str, account: Account | None, ip: str) -> Principal:
        """After the proof: None refuses, as an account disabled or changed meanwhile does."""
        name = self._name(login)
        now = await self._reader.account(account.id) if account else None
        if now is None or account is None or not now.enabled or now.epoch != account.epoch:
            raise await self._refused(name, ip)
        return self._accepted(now, name, ip)

    def _mock(self, name: str) -> Verifier:
        text = name.encode()
        salt, stored, server = (
            hmac.digest(self._mock_key, label + text, "sha256")
            for label in (b"salt ", b"stored ", b"server ")
        )
        return Verifier(SCRAM_ITERATIONS, salt[:SCRAM_SALT], stored, server)

    # --- steps all logins share ----------------------------------------------------------------------

    def _name(self, login: str) -> str:
        """A login name as an address: lower case, the first domain where none is given."""
        local_part, at, domain = login[: MAX_LOGIN + 1].rpartition("@")
        if not at:
            local_part, domain = domain, self._settings.server.domain
        name = f"{fold(local_part)}@{domain.lower()}"
        return name.encode("utf-8", "replace").decode()  # no surrogates beyond this point

    async def _account(self, name: str) -> Account | None:
        """By its address, or by an alias that leads to it alone: a renamed account's clients go on."""
        entry = await self._reader.address(name) if len(name) <= MAX_LOGIN else None
        return await self._reader.account((entry and entry.account) or NOBODY)

    async def _stored(self, account: Account | None, kind: str) -> Credential | None:
        now = self._clock.now()
        for credential in await self._reader.credentials(account.id if account else NOBODY):
            if credential.kind == kind and not 0 < credential.expires <= now:
                return credential
        return None

    async def _admit(self, name: str, ip: str) -> None:
        """Wait as long as earlier failures ask for. Errors: AuthenticationFailed when that is too long."""
        if self._settings.limits.profile == "off":
            return
        try:
            wait = self._throttle.begin(name, ip, self._clock.monotonic())
        except TooManyFailures:
            raise await self._refused(name, ip) from None
        if wait:
            await self._sleep(wait)

    async def _refused(self, name: str, ip: str) -> AuthenticationFailed:
        count("a3_logins_total", "failed")
        emit("auth.login.failed", level="warning", login=redact_address(name), ip=ip)
        failures = self._throttle.failures(name, ip, self._clock.monotonic())
        if FREE < failures <= FREE + 1:
            detail = {"ip": ip, "failures": f"{failures:.0f}"}
            try:
                await self._audit.record(
                    name[:REMEMBERED_ADDRESS], "session.login", name[:REMEMBERED_ADDRESS], "throttled", detail
                )
            except MailError as error:  # mail keeps flowing when the record cannot be written
                emit("audit.lost", level="error", error=type(error).__name__)
        return AuthenticationFailed("wrong name or password")

    def _accepted(self, account: Account, name: str, ip: str) -> Principal:
        principal = Principal(
            account.id, account.tenant, account.address, account.role, name, frozenset(), account.epoch
        )
        return self._welcome(principal, name, ip)

    def _welcome(self, principal: Principal, name: str, ip: str) -> Principal:
        self._throttle.succeeded(name, ip, self._clock.monotonic())
        count("a3_logins_total", "ok")
        emit("auth.login.accepted", account=principal.account, ip=ip)
        return principal


def wants_scram(domain_settings: str, default: bool) -> bool:
    """Does a domain (its settings are a JSON object) opt into SCRAM verifiers?"""
    settings = json.loads(domain_settings or "{}")
    return bool(settings.get("scram", default)) if isinstance(settings, dict) else default
