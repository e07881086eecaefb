"""The conversation with an ACME server (RFC 8555): nonces, signed requests, accounts, orders,
and the advice of RFC 9773.

Nothing of it is kept between two conversations but the account's key. A refused nonce is no failure (section
6.5): the request is signed again with the one that came with the refusal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from a3mailer.ops.acme.documents import (
    MAX_DOCUMENT,
    Account,
    AcmeFailure,
    Authorization,
    Challenge,
    Directory,
    Order,
    RenewalAdvice,
    read,
    read_problem,
    retry_after,
)
from a3mailer.ops.acme.jose import AccountKey, base64url
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.http import HttpAnswer, HttpFailure

MEDIA: Final = "application/jose+json"
NONCE_TRIES: Final = 12
"""A server that refuses so many of its own nonces in a row is broken."""
MAX_NONCES: Final = 8
SECONDS: Final = 60.0
"""For one exchange."""
POLL: Final = (0.5, 1.0, 2.0, 3.0, 5.0)
"""Seconds between looks at what the server works on, where it gives no Retry-After; the last repeats."""
POLL_MOST: Final = 30.0
"""Longest such pause we obey: it is a look, no order."""
PATIENCE: Final = 300.0
"""Seconds an authorization or an order may take."""

Pause = Callable[[float], Awaitable[None]]
Document = TypeVar("Document", bound=msgspec.Struct)


class Http(Protocol):
    """``runtime/http.HttpClient``, as far as it is needed here."""

    async def get(self, url: str, *, most: int = ..., seconds: float = ...) -> HttpAnswer: ...
    async def post(
        self, url: str, body: bytes, media: str, *, most: int = ..., seconds: float = ...
    ) -> HttpAnswer: ...


class AcmeClient:
    """One conversation: ``begin``, then the rest. Everything raises AcmeFailure."""

    __slots__ = ("_account", "_clock", "_http", "_key", "_nonces", "_pause", "_url", "directory")

    def __init__(
        self, http: Http, url: str, key: AccountKey, clock: Clock, pause: Pause = asyncio.sleep
    ) -> None:
        """``url`` is that of the directory; ``pause`` waits between two looks."""
        self._http = http
        self._url = url
        self._key = key
        self._clock = clock
        self._pause = pause
        self._account = ""
        self._nonces: list[str] = []
        self.directory = Directory("", "", "")
        """Once ``begin`` read it."""

    async def begin(self) -> None:
        """Ask for the directory."""
        self.directory = read((await self._get(self._url)).body, Directory, "the directory")

    async def register(self, contact: Sequence[str], agreed: bool, eab: tuple[str, bytes] | None) -> None:
        """Find the account of our key, or make it (RFC 8555 section 7.3). ``eab``: key id and MAC key."""
        directory = self.directory
        try:
            answer = await self._post(directory.new_account, {"onlyReturnExisting": True}, by_key=True)
        except AcmeFailure as failure:
            if failure.kind not in ("accountDoesNotExist", "externalAccountRequired"):
                raise
            answer = await self._new_account(contact, agreed, eab)
        self._account = answer.field("location")
        if not self._account:
            raise AcmeFailure("nonsense", "the account has no URL")
        account = read(answer.body, Account, "the account")
        if account.status != "valid":
            raise AcmeFailure("unauthorized", f"the account is {account.status or 'of no status'}")
        if contact and set(account.contact) != set(contact):
            await self._post(self._account, {"contact": list(contact)})

    async def _new_account(
        self, contact: Sequence[str], agreed: bool, eab: tuple[str, bytes] | None
    ) -> HttpAnswer:
        directory = self.directory
        if directory.meta.terms and not agreed:
            terms = directory.meta.terms
            raise AcmeFailure("userActionRequired", f"its terms have to be agreed to first: {terms}")
        if directory.meta.external and eab is None:
            raise AcmeFailure("externalAccountRequired", "it wants an external account's key id and key")
        wanted: dict[str, object] = {"contact": list(contact), "termsOfServiceAgreed": agreed}
        if eab is not None:
            wanted["externalAccountBinding"] = self._key.bind(directory.new_account, *eab)
        return await self._post(directory.new_account, wanted, by_key=True)

    async def order(self, names: Sequence[str], replaces: str = "") -> tuple[str, Order]:
        """A new order and its URL; ``replaces``: the renewal id of the certificate that ends (RFC 9773)."""
        wanted: dict[str, object] = {"identifiers": [{"type": "dns", "value": name} for name in names]}
        if replaces and self.directory.renewal_info:
            wanted["replaces"] = replaces
        answer = await self._post(self.directory.new_order, wanted)
        url = answer.field("location")
        if not url:
            raise AcmeFailure("nonsense", "the order has no URL")
        return url, read(answer.body, Order, "the order")

    async def authorization(self, url: str) -> Authorization:
        """What is asked of us for one name."""
        return read((await self._post(url, None)).body, Authorization, "an authorization")

    async def respond(self, challenge: Challenge) -> None:
        """Say that a challenge may be looked at (section 7.5.1)."""
        await self._post(challenge.url, {})

    async def authorized(self, url: str) -> Authorization:
        """Wait until an authorization is valid. A challenge that failed says why."""
        found = await self._until(url, Authorization, ("valid", "invalid", "revoked", "expired"))
        if found.status != "valid":
            errors = [each.error for each in found.challenges if each.error is not None]
            words = errors[0].words if errors else f"the authorization is {found.status}"
            raise AcmeFailure(
                errors[0].kind if errors else "unauthorized", f"{found.identifier.value}: {words}"
            )
        return found

    async def certificate(self, url: str, order: Order, request: bytes) -> bytes:
        """Have the order of ``url`` fulfilled for a request in DER; the chain in PEM (section 7.4)."""
        if order.status != "valid":
            ready = await self._until(url, Order, ("ready", "valid", "invalid"))
            if ready.status == "ready":
                await self._post(order.finalize, {"csr": base64url(request)})
        done = await self._until(url, Order, ("valid", "invalid"))
        if done.status != "valid" or not done.certificate:
            problem = done.error
            kind, words = (
                (problem.kind, problem.words) if problem else ("nonsense", f"the order is {done.status}")
            )
            raise AcmeFailure(kind, words)
        return (await self._post(done.certificate, None)).body

    async def renewal(self, certificate: str) -> tuple[RenewalAdvice, float] | None:
        """When the authority would have a certificate renewed, and after how many seconds to ask again.

        None where it has no opinion."""
        if not self.directory.renewal_info or not certificate:
            return None
        answer = await self._get(f"{self.directory.renewal_info.rstrip('/')}/{certificate}")
        found = read(answer.body, RenewalAdvice, "the renewal information")
        return found, retry_after(answer.field("retry-after"), self._clock.now())

    # --- exchanges ---------------------------------------------------------------------------------

    async def _until(self, url: str, form: type[Document], wanted: Sequence[str]) -> Document:
        """Ask until the document has one of these statuses."""
        deadline = self._clock.monotonic() + PATIENCE
        for look in range(1, 1 << 30):
            answer = await self._post(url, None)
            found = read(answer.body, form, "the answer")
            status = str(getattr(found, "status", ""))
            if status in wanted:
                return found
            if self._clock.monotonic() > deadline:
                raise AcmeFailure("timeout", f"still {status} after {PATIENCE:.0f} s")
            asked = retry_after(answer.field("retry-after"), self._clock.now())
            await self._pause(min(asked, POLL_MOST) or POLL[min(look, len(POLL)) - 1])
        raise AssertionError

    async def _post(self, url: str, payload: object | None, by_key: bool = False) -> HttpAnswer:
        """One signed request; with ``payload`` None it is POST-as-GET (section 6.3)."""
        for _ in range(NONCE_TRIES):
            nonce = self._nonces.pop() if self._nonces else await self._nonce()
            body = self._key.sign(url, nonce, payload, "" if by_key else self._account)
            answer = await self._exchange(
                self._http.post(url, body, MEDIA, most=MAX_DOCUMENT, seconds=SECONDS)
            )
            if answer.status < 400:
                return answer
            problem = read_problem(answer.body, answer.status)
            if problem.kind != "badNonce":
                raise self._refusal(answer)
        raise AcmeFailure("badNonce", "the server refuses every nonce it gives")

    async def _nonce(self) -> str:
        await self._get(self.directory.new_nonce)
        if not self._nonces:
            raise AcmeFailure("nonsense", "the server gives no nonce")
        return self._nonces.pop()

    async def _get(self, url: str) -> HttpAnswer:
        answer = await self._exchange(self._http.get(url, most=MAX_DOCUMENT, seconds=SECONDS))
        if answer.status >= 400:
            raise self._refusal(answer)
        return answer

    async def _exchange(self, asked: Awaitable[HttpAnswer]) -> HttpAnswer:
        try:
            answer = await asked
        except HttpFailure as error:
            raise AcmeFailure(error.kind, str(error)) from error
        nonce = answer.field("replay-nonce")
        if nonce and len(self._nonces) < MAX_NONCES:
            self._nonces.append(nonce)
        if 300 <= answer.status < 400:
            raise AcmeFailure("nonsense", f"the server leads elsewhere (status {answer.status})")
        return answer

    def _refusal(self, answer: HttpAnswer) -> AcmeFailure:
        problem = read_problem(answer.body, answer.status)
        wait = retry_after(answer.field("retry-after"), self._clock.now())
        return AcmeFailure(problem.kind, problem.words, wait)
