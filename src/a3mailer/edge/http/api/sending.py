"""Sending by HTTP: POST /api/v1/send, what became of it, and templates."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from a3mailer.config.tree import Settings
from a3mailer.edge.http.api.json import LARGE, MAX_JSON, answer, read
from a3mailer.edge.http.exchange import BadRequest, Request, Response
from a3mailer.edge.http.routes import Route
from a3mailer.mail.compose import Attachment, Mailbox
from a3mailer.store.ports import Store
from a3mailer.transfer.applications import templates
from a3mailer.transfer.applications.sending import MAX_KEY, Letter, Sending, Sent
from a3mailer.transfer.outcomes import Outcome

Line = Annotated[str, Meta(max_length=998)]
Long = Annotated[str, Meta(max_length=templates.MAX_RENDERED)]
Short = Annotated[str, Meta(max_length=255)]
Tag = Annotated[str, Meta(pattern="^[A-Za-z0-9._:-]{1,64}$")]
Addresses = Annotated[tuple[Line, ...], Meta(max_length=1000)]


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An attachment; ``content`` is base64."""

    name: Short
    content: str
    type: Short = "application/octet-stream"
    content_id: Short = ""


class Send(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be sent. Addresses are ``a@b`` or ``Name <a@b>``."""

    to: Addresses = ()
    sender: Line = msgspec.field(name="from", default="")
    cc: Addresses = ()
    bcc: Addresses = ()
    reply_to: Addresses = ()
    subject: Line = ""
    text: Long | None = None
    html: Long | None = None
    attachments: Annotated[tuple[File, ...], Meta(max_length=100)] = ()
    headers: Annotated[dict[Short, Line], Meta(max_length=50)] = {}
    template: Short = ""
    variables: Annotated[dict[Short, Long], Meta(max_length=200)] = {}
    tags: Annotated[tuple[Tag, ...], Meta(max_length=10)] = ()


class PutTemplate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A template: ``{{name}}`` stands for a variable."""

    subject: Line
    text: Annotated[str, Meta(max_length=MAX_JSON)] | None = None
    html: Annotated[str, Meta(max_length=MAX_JSON)] | None = None


@dataclass(frozen=True, slots=True)
class SendingApi:
    """The handlers."""

    sending: Sending
    store: Store
    settings: Callable[[], Settings]

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        size = self.settings().smtp.size * 3 // 2 + MAX_JSON
        name = "/api/v1/templates/{name}"
        return (
            Route(("POST",), "/api/v1/send", self.send, "smtp.submit", body=size, form=Send,
                  about="Send a mail; with an Idempotency-Key field the same request sends one in 24 hours."),
            Route(("GET",), "/api/v1/messages/{id}", self.message, "smtp.submit",
                  about="What became of a mail, by recipient."),
            Route(("GET",), "/api/v1/templates", self.list_templates, "template.list",
                  about="The names of all templates."),
            Route(("GET",), name, self.get_template, "template.list", about="One template."),
            Route(("PUT",), name, self.put_template, "template.change", body=3 * MAX_JSON, form=PutTemplate,
                  about="Keep a template."),
            Route(("DELETE",), name, self.remove_template, "template.change", about="Forget a template."),
        )  # fmt: skip

    async def send(self, request: Request) -> Response:
        key = request.header(b"idempotency-key") or ""
        if len(key) > MAX_KEY or not key.isascii() or not key.isprintable():
            raise BadRequest(400, f"an idempotency key has up to {MAX_KEY} characters of ASCII")
        asked, octets = await read(request, Send)
        who = request.principal
        letter = await self._letter(request, asked, key, octets)
        sent = await self.sending(request.submitter, who.address, letter)
        where = f"/api/v1/messages/{sent.number}"
        return answer(shown(sent), 202, (("Location", where),))

    async def _letter(self, request: Request, asked: Send, key: str, octets: bytes) -> Letter:
        subject, text, html = asked.subject, asked.text, asked.html
        if asked.template:
            if subject or text is not None or html is not None:
                raise BadRequest(422, "a template brings its own subject, text and html")
            kept = await templates.get(self.store, request.principal.account, asked.template)
            made = templates.rendered(kept, asked.variables)
            subject, text, html = made.subject, made.text, made.html
        elif asked.variables:
            raise BadRequest(422, "variables are those of a template")
        if len(octets) < LARGE:
            files, digest = _files(asked, octets)
        else:
            files, digest = await asyncio.to_thread(_files, asked, octets)
        return Letter(
            _mailbox(asked.sender) if asked.sender else None,
            tuple(_mailbox(each) for each in asked.to),
            subject,
            tuple(_mailbox(each) for each in asked.cc),
            tuple(_mailbox(each) for each in asked.bcc),
            tuple(_mailbox(each) for each in asked.reply_to),
            text,
            html,
            files,
            tuple(asked.headers.items()),
            asked.tags,
            key,
            digest,
        )

    async def message(self, request: Request) -> Response:
        sent = await self.sending.state(request.principal.account, request.parameters["id"])
        if sent is None:
            raise BadRequest(404, "")
        return answer(shown(sent))

    async def list_templates(self, request: Request) -> Response:
        return answer(await templates.names(self.store, request.principal.account))

    async def get_template(self, request: Request) -> Response:
        return answer(await templates.get(self.store, request.principal.account, request.parameters["name"]))

    async def put_template(self, request: Request) -> Response:
        given, _ = await read(request, PutTemplate)
        template = templates.Template(given.subject, given.text, given.html)
        await templates.put(self.store, request.principal.account, request.parameters["name"], template)
        return answer({"name": request.parameters["name"]})

    async def remove_template(self, request: Request) -> Response:
        await templates.remove(self.store, request.principal.account, request.parameters["name"])
        return Response(204)


# mailbox = name-addr / addr-spec, in one line of JSON; what is inside is checked where it is used
def _mailbox(text: str) -> Mailbox:
    name, bracket, rest = text.strip(" ").rpartition("<")
    if not bracket or not rest.endswith(">"):
        return Mailbox("", text.strip(" "))
    name = name.strip(" ")
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = name[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return Mailbox(name, rest[:-1])


def _files(asked: Send, octets: bytes) -> tuple[tuple[Attachment, ...], bytes]:
    """The attachments, and what names the request."""
    digest = hashlib.blake2b(octets, digest_size=32).digest()
    return tuple(_file(each) for each in asked.attachments), digest


def _file(file: File) -> Attachment:
    try:
        octets = base64.b64decode(file.content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(422, f"attachment {file.name!r}: its content is not base64") from error
    return Attachment(file.name, file.type, octets, file.content_id)


def shown(sent: Sent) -> dict[str, object]:
    """A mail as the API tells of it."""
    return {
        "id": sent.number,
        "message_id": sent.mail.message_id,
        "from": sent.mail.sender,
        "created": sent.mail.created,
        "tags": sent.mail.tags,
        "recipients": [
            {"address": address, "state": outcome.state, "at": outcome.at, "says": says(outcome)}
            for address, outcome in sorted(sent.outcomes.items())
        ],
    }


SAYS: Final = {
    "accepted": "accepted; waiting for its first attempt",
    "forwarded": "accepted",
    "delivered": "delivered",
    "deferred": "not delivered yet; another attempt will be made",
    "bounced": "could not be delivered; no further attempt will be made",
    "complained": "delivered, and called unwanted by the recipient",
}


def says(outcome: Outcome) -> str:
    """An outcome in words."""
    words = SAYS[outcome.state]
    where = f" by {outcome.host}" if outcome.host else ""
    return f"{words}{where}: {outcome.text}" if outcome.text else f"{words}{where}"
