"""Foo/changes (RFC 8620 section 5.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from a3mailer.edge.http.jmap.limits import MAX_CHANGES
from a3mailer.edge.http.jmap.method import Call
from a3mailer.edge.http.jmap.records import Changing
from a3mailer.edge.http.jmap.standard.of_type import OfType
from a3mailer.wire.jmap.values import MAX_INT, Id


class ChangesArguments(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Types with further arguments inherit from it."""

    account_id: Id
    since_state: str
    max_changes: Annotated[int, Meta(gt=0, le=MAX_INT)] | None = None


@dataclass(frozen=True, slots=True)
class Changes(OfType[Changing]):
    """The method of a type."""

    verb: ClassVar = "/changes"
    form: type[msgspec.Struct] = ChangesArguments

    async def run(self, call: Call, arguments: ChangesArguments) -> dict[str, object]:
        most = min(arguments.max_changes or MAX_CHANGES, MAX_CHANGES)
        found = await self.records.changes(call, arguments.since_state, most)
        return {
            "accountId": call.account.key,
            "oldState": arguments.since_state,
            "newState": found.state,
            "hasMoreChanges": found.more,
            "created": found.created,
            "updated": found.updated,
            "destroyed": found.destroyed,
            **found.further,
        }
