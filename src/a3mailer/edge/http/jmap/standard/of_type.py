"""What standard methods (RFC 8620 section 5) have of their type: name, capability and rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, Protocol, TypeVar

import msgspec


class Named(Protocol):
    """What a method asks of every type; a ``records`` protocol says the rest."""

    @property
    def name(self) -> str: ...
    @property
    def capability(self) -> str: ...
    @property
    def action(self) -> str: ...


class Changeable(Named, Protocol):
    """... and of one that it changes."""

    @property
    def change_action(self) -> str: ...


Type = TypeVar("Type", bound=Named)
ChangeableType = TypeVar("ChangeableType", bound=Changeable)


@dataclass(frozen=True, slots=True)
class OfType(Generic[Type]):
    """A method that reads."""

    verb: ClassVar[str]
    """What follows the name of the type: ``/get``."""
    records: Type
    form: type[msgspec.Struct]
    writes: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return self.records.name + self.verb

    @property
    def capability(self) -> str:
        return self.records.capability

    @property
    def action(self) -> str:
        return self.records.action


@dataclass(frozen=True, slots=True)
class ChangingType(OfType[ChangeableType]):
    """A method that changes."""

    writes: ClassVar[bool] = True

    @property
    def action(self) -> str:
        return self.records.change_action
