"""Core/echo (RFC 8620 section 4) and Blob/copy (section 6.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from a3mailer.edge.http.jmap.capabilities import CORE
from a3mailer.edge.http.jmap.limits import MAX_OBJECTS_IN_SET
from a3mailer.edge.http.jmap.method import Call, Method, blobs_of
from a3mailer.edge.http.jmap.replies import set_error
from a3mailer.edge.http.jmap.standard.get import too_many
from a3mailer.identity.roles import allow
from a3mailer.mail.errors import MailError
from a3mailer.wire.jmap.errors import MethodError
from a3mailer.wire.jmap.values import Id


@dataclass(frozen=True, slots=True)
class Echo:
    """The arguments, back again."""

    name: str = "Core/echo"
    capability: str = CORE
    action: str = "session.use"
    writes: bool = False
    form: type[msgspec.Struct] | None = None

    async def run(self, _call: Call, arguments: dict[str, object]) -> dict[str, object]:
        return arguments


class BlobCopyArguments(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Of Blob/copy."""

    from_account_id: Id
    account_id: Id
    blob_ids: tuple[Id, ...]


@dataclass(frozen=True, slots=True)
class BlobCopy:
    """Octets of one account become an upload in another."""

    name: str = "Blob/copy"
    capability: str = CORE
    action: str = "message.append"
    writes: bool = True
    form: type[msgspec.Struct] | None = BlobCopyArguments

    async def run(self, call: Call, arguments: BlobCopyArguments) -> dict[str, object]:
        if len(arguments.blob_ids) > MAX_OBJECTS_IN_SET:
            raise too_many(MAX_OBJECTS_IN_SET)
        if not allow(call.principal, "message.read", call.source.target):
            raise MethodError("forbidden", "this needs the right to message.read")
        copied: dict[str, str] = {}
        refused: dict[str, object] = {}
        for each in dict.fromkeys(arguments.blob_ids):
            try:
                copied[each] = await self._copy(call, each)
            except MailError as error:
                refused[each] = set_error(error).answer()
        return {
            "fromAccountId": call.source.key,
            "accountId": call.account.key,
            "copied": copied or None,
            "notCopied": refused or None,
        }

    async def _copy(self, call: Call, name: str) -> str:
        """Its name in the other account. Errors: NoSuchMessage, TooLarge, StoreFull ..."""
        blobs, account = call.blobs, call.account
        octets = await blobs_of(call.services, call.source).octets(call.source.id, name)
        most = call.services.settings().jmap.upload_quota
        return await blobs.upload(account.id, account.tenant, call.principal.account, octets, most)


METHODS: Final[tuple[Method, ...]] = (Echo(), BlobCopy())
