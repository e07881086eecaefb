"""Hooks: where an account wants to be told what becomes of its mails."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from a3mailer.edge.http.api.json import MAX_JSON, answer, read
from a3mailer.edge.http.exchange import BadRequest, Request, Response
from a3mailer.edge.http.routes import Route
from a3mailer.mail.errors import TooMany
from a3mailer.runtime.http import MAX_URL, HttpFailure
from a3mailer.store.operations import PutDocument, RemoveDocument
from a3mailer.store.ports import Store, Transaction
from a3mailer.transfer.applications.templates import document_name
from a3mailer.transfer.outcomes import EVENTS, Hook, hooks_of

MAX_HOOKS: Final = 10
"""Of one account."""
SECRET_OCTETS: Final = 24
PREFIX: Final = "whsec_"
"""What secrets begin with where they are shown (Standard Webhooks 1.0)."""


class PutHook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to post, and which events."""

    url: Annotated[str, Meta(max_length=MAX_URL)]
    events: Annotated[
        tuple[Literal["delivered", "deferred", "bounced", "complained"], ...],
        Meta(min_length=1, max_length=4),
    ] = EVENTS


@dataclass(frozen=True, slots=True)
class HooksApi:
    """The handlers. ``permitted`` knows the URLs that may be asked at all (Errors: HttpFailure)."""

    store: Store
    permitted: Callable[[str], object]

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        name = "/api/v1/hooks/{name}"
        return (
            Route(("GET",), "/api/v1/hooks", self.list_hooks, "hook.list",
                  about="Who is told what becomes of mails; without the secrets."),
            Route(("PUT",), name, self.put_hook, "hook.change", body=MAX_JSON, form=PutHook,
                  about="Tell a URL what becomes of mails; the answer shows the secret of its signatures."),
            Route(("DELETE",), name, self.remove_hook, "hook.change", about="Tell it no more."),
        )  # fmt: skip

    async def list_hooks(self, request: Request) -> Response:
        hooks = await hooks_of(self.store, request.principal.account)
        return answer([{"name": n, "url": hook.url, "events": hook.events} for n, hook in hooks.items()])

    async def put_hook(self, request: Request) -> Response:
        given, _ = await read(request, PutHook)
        name, account = document_name(request.parameters["name"]), request.principal.account
        try:
            self.permitted(given.url)
        except HttpFailure as failure:
            raise BadRequest(422, str(failure)) from failure
        kept = await hooks_of(self.store, account)
        if len(kept) >= MAX_HOOKS and name not in kept:
            raise TooMany(f"more than {MAX_HOOKS} hooks")
        secret = base64.b64encode(secrets.token_bytes(SECRET_OCTETS)).decode()
        value = msgspec.json.encode(Hook(given.url, secret, tuple(dict.fromkeys(given.events)))).decode()
        await self.store.commit(Transaction((PutDocument(account, "hook", name, value),)))
        return answer({"name": name, "secret": PREFIX + secret}, 201)

    async def remove_hook(self, request: Request) -> Response:
        account, name = request.principal.account, request.parameters["name"]
        await self.store.commit(Transaction((RemoveDocument(account, "hook", name),)))
        return Response(204)
