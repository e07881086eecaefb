"""The Request object and what one call of a method is (RFC 8620 sections 3.2 to 3.4 and 3.7).

    Request = {"using": [String], "methodCalls": [Invocation], "createdIds": {Id: Id}?}
    Invocation = [String, {String: any}, String]

Properties that are not known are left alone (section 3.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from a3mailer.wire.jmap.errors import MethodError, RequestError, invalid_arguments
from a3mailer.wire.jmap.ijson import decode, weight
from a3mailer.wire.jmap.pointer import evaluate
from a3mailer.wire.jmap.values import Id

MAX_REFERENCED: Final = 200_000
"""Values that all references of one request give together."""
MAX_CREATED_IDS: Final = 10_000
"""Creation ids that a request may bring."""

Arguments = dict[str, object]
Invocation = tuple[str, Arguments, str]


class Request(msgspec.Struct, frozen=True, rename="camel"):
    """What one request asks for."""

    using: tuple[str, ...]
    method_calls: tuple[Invocation, ...]
    created_ids: dict[Id, Id] | None = None


class ResultReference(msgspec.Struct, frozen=True, rename="camel"):
    """Where an argument is to be taken from."""

    result_of: str
    name: str
    path: str


def parse(octets: bytes) -> Request:
    """A request. Errors: RequestError (``notJSON``, ``notRequest``)."""
    return request_of(decode(octets))


def request_of(value: object) -> Request:
    """A request of a JSON value. Errors: RequestError (``notRequest``)."""
    try:
        made = msgspec.convert(value, Request)
    except msgspec.ValidationError as error:
        raise RequestError("notRequest", str(error)[:200]) from error
    if made.created_ids is not None and len(made.created_ids) > MAX_CREATED_IDS:
        raise RequestError("notRequest", f"more than {MAX_CREATED_IDS} createdIds")
    return made


@dataclass(slots=True)
class References:
    """The arguments of a call with its references resolved; counts for one request what they give."""

    left: int = MAX_REFERENCED

    def resolved(self, arguments: Arguments, responses: Sequence[Invocation]) -> Arguments:
        """The real arguments. Errors: MethodError."""
        if not any(name.startswith("#") for name in arguments):
            return arguments
        made: Arguments = {}
        for name, value in arguments.items():
            if not name.startswith("#"):
                made[name] = value
            elif name[1:] in arguments:
                raise invalid_arguments(f"{name[1:]} is given twice, as itself and as a reference")
            else:
                made[name[1:]] = self._taken(value, responses)
        return made

    def _taken(self, value: object, responses: Sequence[Invocation]) -> object:
        try:
            reference = msgspec.convert(value, ResultReference)
        except msgspec.ValidationError as error:
            raise MethodError("invalidResultReference", str(error)) from error
        answer = _first(reference, responses)
        found = evaluate(reference.path, answer)
        self.left -= weight(found, self.left)
        if self.left < 0:
            raise MethodError("invalidResultReference", f"more than {MAX_REFERENCED} values are referred to")
        return found


def _first(reference: ResultReference, responses: Sequence[Invocation]) -> Mapping[str, object]:
    for name, arguments, call_id in responses:
        if call_id == reference.result_of:
            if name != reference.name:
                raise MethodError("invalidResultReference", f"the first answer to that call is {name}")
            return arguments
    raise MethodError("invalidResultReference", "no call of that id came before")
