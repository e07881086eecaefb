"""One request to the API (RFC 8620 section 3): its calls in order, each answered or an error in its place."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import msgspec

from a3mailer.config.tree import Settings
from a3mailer.edge.http.jmap.accounts import Account, Accounts, lent, own
from a3mailer.edge.http.jmap.capabilities import CAPABILITIES, CORE, MAIL, of_account, of_loan
from a3mailer.edge.http.jmap.limits import MAX_CALLS, MAX_CONCURRENT_REQUESTS, MAX_SIZE_REQUEST
from a3mailer.edge.http.jmap.method import Call, Exchange, Method
from a3mailer.edge.http.jmap.replies import method_error
from a3mailer.edge.http.jmap.services import Services
from a3mailer.edge.http.jmap.session import REMEMBERED, States
from a3mailer.identity.principal import Principal
from a3mailer.mail.envelope import Client
from a3mailer.mail.errors import MailError
from a3mailer.runtime.supervise import contained
from a3mailer.telemetry.metrics import count
from a3mailer.wire.jmap.errors import MethodError, RequestError, invalid_arguments
from a3mailer.wire.jmap.request import Arguments, Invocation, References, Request, parse

LARGE: Final = 256 * 1024
"""Octets of a request that is decoded outside the event loop."""
MAX_IMPLIED: Final = 16
"""Calls that a call makes by itself."""
# the argument that msgspec does not like: its path, or the field that is missing or unknown at the top
_NAMED: Final = re.compile(
    r"(?:at `\$\.|^Object (?:missing required|contains unknown) field `)([^`.\[]{1,100})"
)
KNOWN: Final = frozenset(each.urn for each in CAPABILITIES)


class Response(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The Response object (section 3.4)."""

    method_responses: list[Invocation]
    session_state: str
    created_ids: dict[str, str] | None = None


class Slots:
    """How many of something each account has in hand; ``limit`` names the limit it stands for."""

    __slots__ = ("_limit", "_most", "_taken")

    def __init__(self, most: int, limit: str) -> None:
        self._most = most
        self._limit = limit
        self._taken: Counter[int] = Counter()

    @contextmanager
    def taken(self, principal: Principal) -> Iterator[None]:
        """One more meanwhile. Errors: RequestError (``limit``)."""
        account = principal.account
        if self._taken[account] >= self._most:
            raise RequestError("limit", f"more than {self._most} at once", limit=self._limit, status=429)
        self._taken[account] += 1
        try:
            yield
        finally:
            self._taken[account] -= 1
            if not self._taken[account]:
                del self._taken[account]


class Dispatcher:
    """Answers requests by a table of methods."""

    __slots__ = ("_methods", "_own", "_services", "_slots", "_states")

    def __init__(self, services: Services, methods: Sequence[Method]) -> None:
        self._services = services
        self._states = States(services)
        self._own: dict[Principal, tuple[Settings, Account]] = {}
        self._methods: Mapping[str, Method] = {each.name: each for each in methods}
        self._slots = Slots(MAX_CONCURRENT_REQUESTS, "maxConcurrentRequests")

    async def accounts(self, principal: Principal) -> Accounts:
        """The accounts the asker may use, its own first. Errors: MailError."""
        mine = self._mine(principal)
        others: list[Account] = []
        for loan in await self._services.loans.of(principal):
            capabilities = of_loan(self._services, principal, loan)
            if MAIL in capabilities:
                others.append(lent(loan, capabilities))
        if others:
            mine = replace(mine, others=tuple(others))
        return {each.key: each for each in (mine, *others)}

    def _mine(self, principal: Principal) -> Account:
        """The asker's own; what there is in it is found out once for a snapshot of the settings."""
        settings = self._services.settings()
        kept = self._own.pop(principal, None)
        if kept is None or kept[0] is not settings:
            kept = settings, own(principal, of_account(self._services, principal))
        self._own[principal] = kept
        if len(self._own) > REMEMBERED:
            del self._own[next(iter(self._own))]
        return kept[1]

    async def answer(self, principal: Principal, client: Client, octets: bytes) -> Response:
        """Do what a request asks. Errors: RequestError; then nothing was done."""
        if len(octets) > MAX_SIZE_REQUEST:
            raise RequestError("limit", f"at most {MAX_SIZE_REQUEST} octets", limit="maxSizeRequest")
        with self._slots.taken(principal):
            request = parse(octets) if len(octets) < LARGE else await asyncio.to_thread(parse, octets)
            return await self.perform(principal, client, request)

    async def admitted(self, principal: Principal, client: Client, request: Request) -> Response:
        """The same for a request that is decoded already. Errors: RequestError."""
        with self._slots.taken(principal):
            return await self.perform(principal, client, request)

    async def perform(self, principal: Principal, client: Client, request: Request) -> Response:
        """The same where it is known that there is room for it. Errors: RequestError."""
        if len(request.method_calls) > MAX_CALLS:
            raise RequestError("limit", f"at most {MAX_CALLS} calls", limit="maxCallsInRequest")
        if unknown := sorted(set(request.using) - KNOWN):
            raise RequestError("unknownCapability", f"{unknown[0][:200]} is not supported here")
        accounts = await self.accounts(principal)
        exchange = Exchange(
            self._services,
            principal,
            client,
            accounts,
            frozenset(request.using),
            dict(request.created_ids or {}),
        )
        responses: list[Invocation] = []
        references = References()
        for invocation in request.method_calls:
            await self._call(exchange, invocation, references, responses)
        made = None if request.created_ids is None else exchange.created_ids
        return Response(responses, self._states.of(principal, accounts), made)

    async def _call(
        self,
        exchange: Exchange,
        invocation: Invocation,
        references: References,
        responses: list[Invocation],
    ) -> None:
        name, given, call_id = invocation
        call = Call(exchange)
        told = await contained(self._answered(call, name, given, references, responses), "jmap")
        responses.append((*(told or _failed()), call_id))
        for implied, arguments in call.implied[:MAX_IMPLIED]:
            inner = Call(exchange)
            told = await contained(self._answered(inner, implied, arguments, references, responses), "jmap")
            responses.append((*(told or _failed()), call_id))

    async def _answered(
        self,
        call: Call,
        name: str,
        given: Arguments,
        references: References,
        responses: Sequence[Invocation],
    ) -> tuple[str, Arguments]:
        try:
            method = self._method(name, call.exchange.using)
            arguments = _converted(method, references.resolved(given, responses))
            self._admit(call, method, arguments)
            answer = await method.run(call, arguments)
        except MailError as error:
            return _refused(method_error(error))
        except MethodError as error:
            return _refused(error)
        count("a3_jmap_calls_total", "ok")
        return name, answer

    def _method(self, name: str, using: frozenset[str]) -> Method:
        method = self._methods.get(name)
        if method is None or method.capability not in using:
            raise MethodError("unknownMethod", name[:100])
        return method

    def _admit(self, call: Call, method: Method, arguments: Any) -> None:
        """Find the accounts and ask whether the asker may. Errors: MethodError."""
        fields = () if method.form is None else method.form.__struct_fields__
        if "from_account_id" in fields:
            call.giver = _account(call, method, arguments.from_account_id, "fromAccount")
        if "account_id" not in fields:
            account = next(iter(call.exchange.accounts.values()))
        else:
            account = call.given = _account(call, method, arguments.account_id, "account")
            if method.writes and call.given.read_only:
                raise MethodError("accountReadOnly")
        if not account.admits(call.principal, method.action):
            raise MethodError("forbidden", f"this needs the right to {method.action}")


def _account(call: Call, method: Method, key: str, word: str) -> Account:
    account = call.exchange.accounts.get(key)
    if account is None:
        raise MethodError(f"{word}NotFound")
    if method.capability != CORE and method.capability not in account.capabilities:
        raise MethodError(f"{word}NotSupportedByMethod")
    return account


def _converted(method: Method, arguments: Arguments) -> Any:
    if method.form is None:
        return arguments
    try:
        return msgspec.convert(arguments, method.form)
    except msgspec.ValidationError as error:
        raise invalid_arguments(str(error)[:300], *_NAMED.findall(str(error))[-1:]) from error


def _refused(error: MethodError) -> tuple[str, Arguments]:
    count("a3_jmap_calls_total", "error")
    return "error", error.answer()


def _failed() -> tuple[str, Arguments]:
    return _refused(MethodError("serverFail", "an error of this server; its log knows more"))
