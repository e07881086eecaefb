"""Blob/upload, Blob/get and Blob/lookup (RFC 9404): octets in the API itself, put together and taken apart.

Looked up are the records of mail: a blob is a mail's octets, or those of one of its parts.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec

from a3mailer.access.account_mail import Email, merged
from a3mailer.access.blobs import Name, name_of_part, read_name
from a3mailer.access.indexes import index_of
from a3mailer.edge.http.jmap.capabilities import BLOB, LOOKED_UP, MAIL, MAX_DATA_SOURCES, MAX_SIZE_BLOB_SET
from a3mailer.edge.http.jmap.limits import MAX_OBJECTS_IN_GET, MAX_OBJECTS_IN_SET
from a3mailer.edge.http.jmap.method import Call, Method
from a3mailer.edge.http.jmap.replies import set_error
from a3mailer.edge.http.jmap.standard.get import too_many
from a3mailer.mail.errors import DamagedContent, MailError, NoSuchMessage
from a3mailer.mail.ids import BlobId, EmailId
from a3mailer.mail.objectids import EMAIL_LETTER, MAILBOX_LETTER, THREAD_LETTER, object_id
from a3mailer.wire.jmap.body_parts import leaves, tree
from a3mailer.wire.jmap.errors import MethodError, SetError, invalid_arguments, invalid_properties
from a3mailer.wire.jmap.values import Id, Ref, UnsignedInt

DIGESTS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "digest:sha": lambda octets: hashlib.sha1(octets, usedforsecurity=False),
    "digest:sha-256": hashlib.sha256,
    "digest:sha-512": hashlib.sha512,
}
DATA: Final = ("data", "data:asText", "data:asBase64")
KNOWN: Final = frozenset((*DATA, *DIGESTS, "size", "id"))
MAX_ANSWER: Final = 50_000_000
"""Octets that one Blob/get tells."""


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A DataSourceObject: exactly one of the first three."""

    text: str | None = msgspec.field(name="data:asText", default=None)
    base64: str | None = msgspec.field(name="data:asBase64", default=None)
    blob: Ref | None = msgspec.field(name="blobId", default=None)
    offset: UnsignedInt | None = None
    length: UnsignedInt | None = None


class UploadObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one blob is made of; of nothing, an empty one."""

    data: tuple[Source, ...]
    type: str | None = None


class UploadArguments(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Of Blob/upload (section 4.1)."""

    account_id: Id
    create: dict[Id, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Upload:
    """Blobs made of text, base64 and other blobs."""

    name: str = "Blob/upload"
    capability: str = BLOB
    action: str = "message.append"
    writes: bool = True
    form: type[msgspec.Struct] | None = UploadArguments

    async def run(self, call: Call, arguments: UploadArguments) -> dict[str, object]:
        if len(arguments.create) > MAX_OBJECTS_IN_SET:
            raise too_many(MAX_OBJECTS_IN_SET)
        created: dict[str, object] = {}
        refused: dict[str, object] = {}
        for key, given in arguments.create.items():
            try:
                made = await self._made(call, given)
            except SetError as error:
                refused[key] = error.answer()
            except MailError as error:
                refused[key] = set_error(error).answer()
            else:
                created[key] = made
                call.exchange.created_ids[key] = str(made["id"])
        return {
            "accountId": call.account.key,
            "created": created or None,
            "notCreated": refused or None,
        }

    async def _made(self, call: Call, given: dict[str, Any]) -> dict[str, object]:
        """Errors: SetError, MailError."""
        try:
            wanted = msgspec.convert(given, UploadObject)
        except msgspec.ValidationError as error:
            names = given if "data" in given else ("data",)
            raise invalid_properties(*names, because=str(error)[:200]) from error
        if len(wanted.data) > MAX_DATA_SOURCES:
            raise SetError("tooLarge", f"at most {MAX_DATA_SOURCES} sources")
        pieces, size = [], 0
        for source in wanted.data:
            pieces.append(await self._piece(call, source))
            size += len(pieces[-1])
            if size > MAX_SIZE_BLOB_SET:
                raise SetError("tooLarge", f"at most {MAX_SIZE_BLOB_SET} octets")
        account = call.account
        most = call.services.settings().jmap.upload_quota
        octets = b"".join(pieces)
        name = await call.blobs.upload(account.id, account.tenant, call.principal.account, octets, most)
        return {"id": name, "type": wanted.type, "size": len(octets)}

    async def _piece(self, call: Call, source: Source) -> bytes:
        """The octets of one source. Errors: SetError."""
        given = [each for each in (source.text, source.base64, source.blob) if each is not None]
        if len(given) != 1 or (source.blob is None and (source.offset, source.length) != (None, None)):
            raise invalid_properties("data", because="exactly one of data:asText, data:asBase64 and blobId")
        if source.text is not None:
            return source.text.encode()
        if source.base64 is not None:
            try:
                return base64.b64decode(source.base64, validate=True)
            except (binascii.Error, ValueError) as error:
                raise invalid_properties("data", because="no base64") from error
        name = call.exchange.real(source.blob or "")
        try:
            size = await call.blobs.size(call.account.id, name or "")
            start = source.offset or 0
            stop = size if source.length is None else start + source.length
            if start > size or stop > size or stop - start > MAX_SIZE_BLOB_SET:
                raise invalid_properties("data", because="a range that is not all there, or too large")
            return await call.blobs.octets(call.account.id, name or "", start, stop)
        except NoSuchMessage as error:
            raise SetError("blobNotFound", notFound=[source.blob]) from error


class BlobGetArguments(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Of Blob/get (section 4.2)."""

    account_id: Id
    ids: tuple[Ref, ...]
    properties: tuple[str, ...] | None = None
    offset: UnsignedInt | None = None
    length: UnsignedInt | None = None


@dataclass(frozen=True, slots=True)
class BlobGet:
    """Octets, or some of them, as text or base64, with their digests."""

    name: str = "Blob/get"
    capability: str = BLOB
    action: str = "message.read"
    writes: bool = False
    form: type[msgspec.Struct] | None = BlobGetArguments

    async def run(self, call: Call, arguments: BlobGetArguments) -> dict[str, object]:
        wanted = frozenset(("data", "size") if arguments.properties is None else arguments.properties)
        if unknown := sorted(wanted - KNOWN):
            raise invalid_arguments(f"no such property: {unknown[0][:100]}")
        ids = _wanted(call, arguments.ids)
        found: list[dict[str, object]] = []
        missing: list[str] = []
        left = MAX_ANSWER
        for each in ids:
            try:
                size, octets = await self._octets(call, each, arguments, wanted, left)
            except NoSuchMessage:
                missing.append(each)
                continue
            left -= len(octets)
            found.append({"id": each, **_told(octets, size, arguments, wanted)})
        return {"accountId": call.account.key, "list": found, "notFound": missing}

    async def _octets(
        self, call: Call, name: str, arguments: BlobGetArguments, wanted: frozenset[str], left: int
    ) -> tuple[int, bytes]:
        """Size of the whole, and the octets in the range. Errors: NoSuchMessage, MethodError."""
        blobs, account = call.blobs, call.account.id
        size = await blobs.size(account, name)
        start = min(arguments.offset or 0, size)
        stop = size if arguments.length is None else min(size, start + arguments.length)
        if wanted <= {"size", "id"}:
            return size, b""
        if stop - start > left:
            raise MethodError("requestTooLarge", f"at most {MAX_ANSWER} octets are told at once")
        return size, await blobs.octets(account, name, start, stop)


def _wanted(call: Call, ids: Sequence[str]) -> tuple[str, ...]:
    """Each once, those made in this request by their real ids. Errors: MethodError."""
    found = tuple(dict.fromkeys(call.exchange.real(each) or each for each in ids))
    if len(found) > MAX_OBJECTS_IN_GET:
        raise too_many(MAX_OBJECTS_IN_GET)
    return found


def _told(octets: bytes, size: int, arguments: BlobGetArguments, wanted: frozenset[str]) -> dict[str, object]:
    """What is told of one blob."""
    told: dict[str, object] = {"size": size} if "size" in wanted else {}
    for name, digest in DIGESTS.items():
        if name in wanted:
            told[name] = base64.b64encode(digest(octets).digest()).decode("ascii")
    if not wanted.isdisjoint(DATA):
        try:
            text: str | None = octets.decode("utf-8")
        except UnicodeDecodeError:
            text = None
        if "data:asText" in wanted or ("data" in wanted and text is not None):
            told["data:asText"] = text
        if "data:asBase64" in wanted or ("data" in wanted and text is None):
            told["data:asBase64"] = base64.b64encode(octets).decode("ascii")
        if text is None and not wanted.isdisjoint(("data", "data:asText")):
            told["isEncodingProblem"] = True
    if arguments.offset is not None or arguments.length is not None:
        start = arguments.offset or 0
        if start > size or start + (arguments.length or 0) > size:
            told["isTruncated"] = True
    return told


class LookupArguments(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Of Blob/lookup (section 4.3)."""

    account_id: Id
    type_names: tuple[str, ...]
    ids: tuple[Ref, ...]


@dataclass(frozen=True, slots=True)
class Lookup:
    """Which emails have a blob as theirs or as that of a part, in which threads and mailboxes they are."""

    name: str = "Blob/lookup"
    capability: str = BLOB
    action: str = "message.read"
    writes: bool = False
    form: type[msgspec.Struct] | None = LookupArguments

    async def run(self, call: Call, arguments: LookupArguments) -> dict[str, object]:
        known = LOOKED_UP if MAIL in call.exchange.using and MAIL in call.account.capabilities else ()
        if unknown := [each for each in arguments.type_names if each not in known]:
            raise MethodError("unknownDataType", f"nothing is looked up of {unknown[0][:100]}")
        ids = _wanted(call, arguments.ids)
        names = {each: name for each in ids if (name := read_name(each)) is not None}
        found = await _emails_with(call, names)
        return {
            "accountId": call.account.key,
            "list": [
                {"id": each, "matchedIds": {kind: _matched(kind, emails) for kind in arguments.type_names}}
                for each, emails in found.items()
            ],
            "notFound": [each for each in ids if each not in names],
        }


async def _emails_with(call: Call, names: Mapping[str, Name]) -> dict[str, list[Email]]:
    """By blob, the emails that show it; none where it is not there, or not for the asker."""
    view, account = call.view, call.account.id
    rows = await view.blob_places(account, list(dict.fromkeys(name.blob for name in names.values())))
    emails = merged(rows)
    having: dict[BlobId, list[Email]] = {}
    for blob, number in dict.fromkeys((row.blob, int(row.email)) for row in rows):
        if number in emails:
            having.setdefault(blob, []).append(emails[number])
    apart = {name.blob for name in names.values() if not name.whole} & having.keys()
    parts: set[str] = set()
    for fragments in await view.fragments(account, [EmailId(having[blob][0].number) for blob in apart]):
        try:
            nodes = leaves(tree((await index_of(view, account, fragments)).parts))
        except (DamagedContent, NoSuchMessage):
            continue
        name_of = partial(name_of_part, fragments.blob)
        parts.update(name_of(part.body, part.end, part.encoding) for part in (node.part for node in nodes))
    return {
        text: having.get(name.blob, []) if name.whole or text in parts else [] for text, name in names.items()
    }


def _matched(kind: str, emails: Sequence[Email]) -> list[str]:
    """Ids of a type that lead to these emails."""
    if kind == "Email":
        return [object_id(EMAIL_LETTER, each.number) for each in emails]
    if kind == "Thread":
        return [object_id(THREAD_LETTER, each) for each in sorted({email.thread for email in emails})]
    boxes = {box for email in emails for box in email.mailboxes}
    return [object_id(MAILBOX_LETTER, each) for each in sorted(boxes)]


METHODS: Final[tuple[Method, ...]] = (Upload(), BlobGet(), Lookup())
