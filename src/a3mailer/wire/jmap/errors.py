"""The three levels at which JMAP says no (RFC 8620 section 3.6): the request, one method, one record."""

from __future__ import annotations

from typing import Final

from a3mailer.wire.errors import RemoteProtocolError

ERROR: Final = "urn:ietf:params:jmap:error:"
"""What the types of request-level errors begin with."""


class RequestError(RemoteProtocolError):
    """The request as a whole is refused; nothing was done (section 3.6.1)."""

    def __init__(self, type: str, detail: str = "", *, limit: str = "", status: int = 400) -> None:
        super().__init__(f"{type}: {detail}")
        self.type = type
        """``notJSON``, ``notRequest``, ``limit`` or ``unknownCapability``."""
        self.detail = detail
        self.limit = limit
        """The name of the limit, for ``limit``."""
        self.status = status
        """Of the HTTP answer."""


class MethodError(RemoteProtocolError):
    """One method call is answered with an error (section 3.6.2); the state has not changed."""

    def __init__(self, type: str, description: str = "", **properties: object) -> None:
        super().__init__(f"{type}: {description}")
        self.type = type
        self.description = description
        self.properties = properties

    def answer(self) -> dict[str, object]:
        """The arguments of the ``error`` response."""
        told: dict[str, object] = {"type": self.type}
        if self.description:
            told["description"] = self.description
        return told | self.properties


class SetError(RemoteProtocolError):
    """One record is not created, updated or destroyed (section 5.3); others may be."""

    def __init__(self, type: str, description: str = "", **properties: object) -> None:
        super().__init__(f"{type}: {description}")
        self.type = type
        self.description = description
        self.properties = properties

    def answer(self) -> dict[str, object]:
        """The SetError object."""
        told: dict[str, object] = {"type": self.type}
        if self.description:
            told["description"] = self.description
        return told | self.properties


class Taken(SetError):
    """Another record has what this one is to have; it may give it up in the same call (section 5.3)."""


def invalid_properties(*names: str, because: str = "") -> SetError:
    """The SetError that lists all properties that are wrong."""
    return SetError("invalidProperties", because, properties=list(names))


def invalid_arguments(because: str, *names: str) -> MethodError:
    """The MethodError of arguments that do not fit; their names, where they are known, help programs."""
    return MethodError("invalidArguments", because, **({"arguments": list(names)} if names else {}))
