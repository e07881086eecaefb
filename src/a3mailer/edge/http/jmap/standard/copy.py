"""Foo/copy (RFC 8620 section 5.4): read there, write here, destroy there if asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import msgspec

from a3mailer.edge.http.jmap.limits import MAX_OBJECTS_IN_SET
from a3mailer.edge.http.jmap.method import Call
from a3mailer.edge.http.jmap.records import Created, Record, Settable
from a3mailer.edge.http.jmap.standard.get import too_many
from a3mailer.edge.http.jmap.standard.of_type import ChangingType
from a3mailer.edge.http.jmap.standard.set import told
from a3mailer.wire.jmap.errors import MethodError, SetError, invalid_arguments, invalid_properties
from a3mailer.wire.jmap.values import Id, is_id


class CopyArguments(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Types with further arguments inherit from it."""

    from_account_id: Id
    account_id: Id
    create: dict[Id, dict[str, Any]]
    if_from_in_state: str | None = None
    if_in_state: str | None = None
    on_success_destroy_original: bool = False
    destroy_from_if_in_state: str | None = None


class Copyable(Settable, Protocol):
    """A type whose records go from account to account."""

    async def state_of_source(self, call: Call) -> str:
        """As ``state``, of the account ``call.source``."""
        ...

    async def copy(self, call: Call, records: Mapping[str, Record]) -> Created:
        """By creation id; each has ``id`` (of the original, in ``call.source``) and what replaces its
        properties, not checked by their forms yet. Answered are properties that the server set."""
        ...


@dataclass(frozen=True, slots=True)
class Copy(ChangingType[Copyable]):
    """The method of a type."""

    verb: ClassVar = "/copy"
    form: type[msgspec.Struct] = CopyArguments

    async def run(self, call: Call, arguments: CopyArguments) -> dict[str, object]:
        return await copy(self.records, call, arguments)


async def copy(records: Copyable, call: Call, arguments: CopyArguments) -> dict[str, object]:
    """The response of a /copy. Errors: MethodError (``stateMismatch``, ``requestTooLarge`` ...)."""
    if call.source.id == call.account.id:
        raise invalid_arguments("an account is not copied to itself")
    if len(arguments.create) > MAX_OBJECTS_IN_SET:
        raise too_many(MAX_OBJECTS_IN_SET)
    wanted_from = arguments.if_from_in_state
    if wanted_from is not None and wanted_from != await records.state_of_source(call):
        raise MethodError("stateMismatch", "the state to copy from is another one")
    state = await records.state(call)
    if arguments.if_in_state is not None and arguments.if_in_state != state:
        raise MethodError("stateMismatch", f"the state is {state}")
    wrong = {key: error for key, each in arguments.create.items() if (error := _wrong(each)) is not None}
    ready = {key: each for key, each in arguments.create.items() if key not in wrong}
    results = await records.copy(call, ready) if ready else {}
    made = {key: each for key, each in results.items() if not isinstance(each, SetError)}
    wrong |= {key: each for key, each in results.items() if isinstance(each, SetError)}
    call.exchange.created_ids.update({key: each["id"] for key, each in made.items()})
    if arguments.on_success_destroy_original and made:
        originals = [arguments.create[key]["id"] for key in made]
        gone: dict[str, object] = {"accountId": call.source.key, "destroy": list(dict.fromkeys(originals))}
        if arguments.destroy_from_if_in_state is not None:
            gone["ifInState"] = arguments.destroy_from_if_in_state
        call.then(f"{records.name}/set", gone)
    return {
        "fromAccountId": call.source.key,
        "accountId": call.account.key,
        "oldState": state,
        "newState": await records.state(call),
        "created": made or None,
        "notCreated": told(wrong),
    }


def _wrong(given: Record) -> SetError | None:
    id = given.get("id")
    return None if isinstance(id, str) and is_id(id) else invalid_properties("id")
