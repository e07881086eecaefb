"""Blob/upload, Blob/get and Blob/lookup (RFC 9404): octets in the API itself, put together and taken apart.

No type is looked up (``supportedTypeNames`` is empty), so Blob/lookup knows no data type.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from a3mailer.edge.http.jmap.capabilities import BLOB, MAX_DATA_SOURCES, MAX_SIZE_BLOB_SET
from a3mailer.edge.http.jmap.limits import MAX_OBJECTS_IN_GET, MAX_OBJECTS_IN_SET
from a3mailer.edge.http.jmap.method import Call, Method
from a3mailer.edge.http.jmap.replies import set_error
from a3mailer.edge.http.jmap.standard.get import too_many
from a3mailer.mail.errors import MailError, NoSuchMessage
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
    """What one blob is made of."""

    data: Annotated[tuple[Source, ...], Meta(min_length=1)]
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
            raise invalid_properties(*given, because=str(error)[:200]) from error
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
    ids: tuple[Id, ...]
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
        ids = tuple(dict.fromkeys(arguments.ids))
        if len(ids) > MAX_OBJECTS_IN_GET:
            raise too_many(MAX_OBJECTS_IN_GET)
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
    ids: tuple[Id, ...]


@dataclass(frozen=True, slots=True)
class Lookup:
    """Which records refer to blobs: of no type here."""

    name: str = "Blob/lookup"
    capability: str = BLOB
    action: str = "message.read"
    writes: bool = False
    form: type[msgspec.Struct] | None = LookupArguments

    async def run(self, call: Call, arguments: LookupArguments) -> dict[str, object]:
        if arguments.type_names:
            raise MethodError("unknownDataType", f"nothing is looked up of {arguments.type_names[0][:100]}")
        ids = tuple(dict.fromkeys(arguments.ids))
        if len(ids) > MAX_OBJECTS_IN_GET:
            raise too_many(MAX_OBJECTS_IN_GET)
        return {
            "accountId": call.account.key,
            "list": [{"id": each, "matchedIds": {}} for each in ids],
            "notFound": [],
        }


METHODS: Final[tuple[Method, ...]] = (Upload(), BlobGet(), Lookup())
