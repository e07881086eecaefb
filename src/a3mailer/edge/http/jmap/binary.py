"""Uploads and downloads (RFC 8620 sections 6.1 and 6.2), the latter with one range (RFC 9110 section 14).

What is downloaded was sent by strangers and comes from our origin: it is an attachment whatever its type, is
never sniffed, and a page that is opened all the same is in a sandbox without scripts (attack row 47).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import msgspec

from a3mailer.access.blobs import Blobs
from a3mailer.edge.http.exchange import JSON, BadRequest, Request, Response
from a3mailer.edge.http.jmap.accounts import Account
from a3mailer.edge.http.jmap.dispatch import Dispatcher, Slots
from a3mailer.edge.http.jmap.limits import MAX_CONCURRENT_UPLOAD
from a3mailer.edge.http.jmap.problems import problem_of, whole_body
from a3mailer.edge.http.jmap.services import Services
from a3mailer.edge.http.jmap.session import DOWNLOAD, UPLOAD
from a3mailer.edge.http.routes import Route
from a3mailer.identity.principal import Principal
from a3mailer.identity.roles import action
from a3mailer.mail.errors import NoSuchMessage
from a3mailer.wire.jmap.errors import RequestError

ANYBODY: Final = "session.login"
WRITE: Final = action("message.append")
READ: Final = action("message.read")
OCTETS: Final = "application/octet-stream"
MAX_NAME: Final = 255
"""Characters of a file's name."""
KEPT: Final = "private, immutable, max-age=31536000"
SANDBOX: Final = "sandbox; default-src 'none'; frame-ancestors 'none'"
# media-type = type "/" subtype *( OWS ";" OWS token "=" token ): names of RFC 6838 section 4.2
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_MEDIA: Final = re.compile(rf"{_NAME}/{_NAME}(?:; ?{_NAME}=[A-Za-z0-9!#$&^_.+-]{{1,126}}){{0,4}}")
# ranges-specifier of one int-range or suffix-range
_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,15})-([0-9]{1,15})?|-([0-9]{1,15}))")


class DownloadQuery(msgspec.Struct, frozen=True):
    """What follows the path of a download."""

    name: str = ""
    type: str = ""


class Made(msgspec.Struct, rename="camel"):
    """What an upload is answered with."""

    account_id: str
    blob_id: str
    type: str
    size: int


@dataclass(frozen=True, slots=True)
class Binary:
    """The handlers."""

    services: Services
    dispatcher: Dispatcher
    blobs: Blobs
    _slots: Slots = field(default_factory=lambda: Slots(MAX_CONCURRENT_UPLOAD, "maxConcurrentUpload"))

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        size = self.services.settings().jmap.upload_size
        over = problem_of(RequestError("limit", f"at most {size} octets", limit="maxSizeUpload"))
        return (
            Route(("POST",), UPLOAD, self._upload, ANYBODY, body=size, over=over, gives={201: JSON},
                  about="Bring octets for JMAP (RFC 8620 section 6.1)."),
            Route(("GET",), DOWNLOAD, self._download, ANYBODY, query=DownloadQuery,
                  gives={200: OCTETS, 206: OCTETS, 304: "", 416: ""},
                  about="Octets of a mail, a part or an upload, in ranges (RFC 8620 section 6.2)."),
        )  # fmt: skip

    async def _account(self, principal: Principal, key: str, rule: str) -> Account:
        """Errors: BadRequest (404, 403)."""
        account = (await self.dispatcher.accounts(principal)).get(key)
        if account is None:
            raise BadRequest(404, "no such account")
        if not account.admits(principal, rule):
            raise BadRequest(403, f"this needs the right to {rule}")
        return account

    def _blobs(self, account: Account) -> Blobs:
        return self.blobs if account.loan is None else account.loan.blobs

    async def _upload(self, request: Request) -> Response:
        who = request.principal
        account = await self._account(who, request.parameters["accountId"], WRITE)
        try:
            with self._slots.taken(who):
                octets = await whole_body(request, "maxSizeUpload")
                most = self.services.settings().jmap.upload_quota
                name = await self._blobs(account).upload(
                    account.id, account.tenant, who.account, octets, most
                )
        except RequestError as error:
            return problem_of(error)
        media = media_type((request.header(b"content-type") or "").partition(";")[0].strip().lower())
        made = Made(account.key, name, media, len(octets))
        return Response(201, msgspec.json.encode(made), JSON, (("Cache-Control", "no-store"),))

    async def _download(self, request: Request) -> Response:
        account = await self._account(request.principal, request.parameters["accountId"], READ)
        name, query, blobs = request.parameters["blobId"], request.query, self._blobs(account)
        try:
            size = await blobs.size(account.id, name)
        except NoSuchMessage as error:
            raise BadRequest(404, "no such blob") from error
        tag = f'"{name}"'
        fields = (
            ("Cache-Control", KEPT),
            ("Content-Disposition", disposition(query.get("name", ""))),
            ("Content-Security-Policy", SANDBOX),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Accept-Ranges", "bytes"),
            ("ETag", tag),
        )
        media = media_type(query.get("type", ""))
        if _known(request, tag):
            return Response(304, fields=fields)
        part = asked(request.header(b"range") or "", request.header(b"if-range"), tag, size)
        if part is None:
            return Response(200, await blobs.octets(account.id, name), media, fields)
        start, stop = part
        if start >= stop:
            return Response(416, fields=(("Content-Range", f"bytes */{size}"),))
        where = ("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        octets = await blobs.octets(account.id, name, start, stop)
        return Response(206, octets, media, (*fields, where))


def media_type(text: str) -> str:
    """A media type that may stand in a field; that of unknown octets where it may not."""
    return text if _MEDIA.fullmatch(text) else OCTETS


def disposition(name: str) -> str:
    """Content-Disposition of an attachment (RFC 6266), its name in UTF-8 (RFC 8187)."""
    shown = "".join(c for c in name[:MAX_NAME] if c.isprintable()).strip()
    if not shown:
        return "attachment"
    plain = "".join(c if c.isascii() and c not in '"\\%/' else "_" for c in shown)
    if plain == shown:
        return f'attachment; filename="{plain}"'
    extended = quote(shown.encode("utf-8", "replace"), safe="!#$&+-.^_`|~")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{extended}"


def _known(request: Request, tag: str) -> bool:
    """Does the client have it (RFC 9110 section 13.1.2)?"""
    given = request.header(b"if-none-match") or ""
    return given.strip() == "*" or tag in {each.strip().removeprefix("W/") for each in given.split(",")}


def asked(text: str, condition: str | None, tag: str, size: int) -> tuple[int, int] | None:
    """The one range that is asked for, from ``start`` on and before ``stop``; None: all.

    Several ranges, and what is no range, are answered with all (RFC 9110 section 14.2); one that has no octet
    is (size, size)."""
    found = _RANGE.fullmatch(text.strip())
    if found is None or (condition is not None and condition.strip() != tag):
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        return (max(0, size - int(suffix)), size) if int(suffix) else (size, size)
    start = int(first)
    if last is not None and int(last) < start:
        return None
    return (start, min(size, int(last) + 1) if last is not None else size) if start < size else (size, size)
