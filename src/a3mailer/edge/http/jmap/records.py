"""What a data type says of itself, so that the standard methods (RFC 8620 section 5) are written once.

A type is one object: a table of properties, and the functions of the protocols below that it has methods
for: ``Records`` for /get, ``Changing`` for /changes, ``Settable`` for /set, ``Queryable`` for /query and
/queryChanges. Records are plain JSON objects (``dict``) that hold at least ``id``.

State strings belong to the type (section 5.1): equal while nothing of it changed, another one when it did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from operator import eq
from typing import Any, Final, Protocol

import msgspec

from a3mailer.edge.http.jmap.method import Call
from a3mailer.wire.jmap.errors import SetError

Record = dict[str, Any]


class By(Enum):
    """Who sets a property, and when."""

    CLIENT = "mutable"
    CREATOR = "immutable"
    """Only at creation."""
    SERVER = "server-set"


class Needed:
    """The default of a property that has none: whoever creates a record has to give it."""


NEEDED: Final = Needed()


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a type."""

    name: str
    form: Any = object
    """What ``msgspec.convert`` checks its value by; ``object`` takes anything."""
    by: By = By.SERVER
    default: object = NEEDED
    """Where the creator gives none, and what null in a patch sets it back to; plain JSON."""
    refers: bool = False
    """Its value is the id of a record, an array of them, or an object with them as names: ``#`` may stand
    for a record made in the same request."""
    shown: bool = True
    """Whether it is returned when the client names no properties."""
    told: bool = True
    """Whether its default is told to who creates a record without it."""
    same: Callable[[Any, Any], bool] = eq
    """Is what a client sends (first) what the record has? Asked of properties that a client cannot change."""


def table(*properties: Property) -> Mapping[str, Property]:
    """Properties by their names; every type has ``id``."""
    return {each.name: each for each in (Property("id", str), *properties)}


class Records(Protocol):
    """A type whose records can be read."""

    @property
    def name(self) -> str:
        """``Foo``."""
        ...

    @property
    def capability(self) -> str: ...
    @property
    def action(self) -> str:
        """The rule for reading."""
        ...

    @property
    def properties(self) -> Mapping[str, Property]: ...
    async def state(self, call: Call) -> str:
        """Of all records of the account."""
        ...

    async def ids(self, call: Call, most: int) -> Sequence[str]:
        """Of all records, where they can be fetched at once; more than ``most`` are not looked for.

        Errors: MethodError, also where the type cannot be listed."""
        ...

    async def read(self, call: Call, ids: Sequence[str], properties: frozenset[str]) -> Mapping[str, Record]:
        """Those that exist, with at least these properties; ids are unlike each other."""
        ...


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened since a state (section 5.2). No id is in two of the three."""

    created: Sequence[str]
    updated: Sequence[str]
    destroyed: Sequence[str]
    state: str
    """The one these changes lead to."""
    more: bool = False
    """There are further changes after that state."""
    further: Mapping[str, object] = field(default_factory=dict)
    """Further arguments of the response (``updatedProperties`` of Mailbox and Quota)."""


class Changing(Records, Protocol):
    """A type that knows what changed."""

    async def changes(self, call: Call, since: str, most: int) -> Changes:
        """At most ``most`` ids. Errors: MethodError (``cannotCalculateChanges``)."""
        ...


@dataclass(frozen=True, slots=True)
class Update:
    """What is asked to become of one record."""

    record: Record
    """As it is."""
    changed: Record
    """Properties that the patch names, whole, as they are to be; checked by their forms."""


Created = Mapping[str, Record | SetError]
"""By creation id: what the client did not send (``id`` among it), or why not."""
Updated = Mapping[str, Record | SetError | None]
"""By id: what changed beyond the patch, or why not."""
Destroyed = Mapping[str, SetError | None]


class Settable(Records, Protocol):
    """A type whose records can be changed. Each record is all or nothing; all of a kind come at once, so
    that a type can make them durable together. ``replies.set_error`` translates a MailError about one."""

    @property
    def change_action(self) -> str:
        """The rule for changing."""
        ...

    @property
    def singleton(self) -> bool:
        """There is one, which is neither made nor destroyed."""
        ...

    async def create(self, call: Call, records: Mapping[str, Record]) -> Created:
        """Records by creation id, complete: defaults are in their places."""
        ...

    async def update(self, call: Call, updates: Mapping[str, Update]) -> Updated: ...
    async def destroy(self, call: Call, ids: Sequence[str]) -> Destroyed:
        """An id that is not there is answered by SetError ``notFound``."""
        ...


class Results(Protocol):
    """The ordered ids of one query, of which seldom all are wanted."""

    @property
    def state(self) -> str: ...
    @property
    def can_calculate_changes(self) -> bool: ...
    async def total(self) -> int: ...
    async def part(self, start: int, stop: int) -> Sequence[str]:
        """The ids from ``start`` on and before ``stop``, fewer where it ends before."""
        ...

    async def index(self, id: str) -> int:
        """Where it stands; -1 where it does not."""
        ...


@dataclass(frozen=True, slots=True)
class Listed:
    """Results of a type that has few records: all ids."""

    ids: Sequence[str]
    state: str
    can_calculate_changes: bool = True

    async def total(self) -> int:
        return len(self.ids)

    async def part(self, start: int, stop: int) -> Sequence[str]:
        return self.ids[start:stop]

    async def index(self, id: str) -> int:
        return self.ids.index(id) if id in self.ids else -1


class Operator(msgspec.Struct, frozen=True):
    """A FilterOperator (section 5.5); ``conditions`` are Operators or conditions of the type."""

    operator: str
    """AND, OR or NOT."""
    conditions: tuple[Any, ...]


def fits(filter: Any, holds: Callable[[Any], bool]) -> bool:
    """Whether a filter (None: all) admits something of which ``holds`` says whether a condition does."""
    if filter is None:
        return True
    if not isinstance(filter, Operator):
        return holds(filter)
    found = [fits(each, holds) for each in filter.conditions]
    return {"AND": all(found), "OR": any(found), "NOT": not any(found)}[filter.operator]


class Comparator(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One key of a sort."""

    property: str
    is_ascending: bool = True
    collation: str = ""
    keyword: str = ""
    """For sorts by a keyword (RFC 8621 section 4.4.2)."""
    anchor_offset: int = 0
    calculate_total: bool = False
    position: int = 0
    """QUIRK: jmapc 0.4 says these three in each Comparator; they are arguments of the query (RFC 8620 section
    5.5), and mean nothing here (tests/compat/test_jmapc.py)."""


class Searchable(Records, Protocol):
    """A type whose records can be searched."""

    @property
    def condition(self) -> type[msgspec.Struct]:
        """The form of a FilterCondition."""
        ...

    @property
    def sorts(self) -> frozenset[str]:
        """Properties of Comparators."""
        ...

    async def query(self, call: Call, filter: Any, sort: Sequence[Comparator]) -> Results:
        """``filter``: an Operator, a condition or None. Errors: MethodError (``unsupportedFilter`` ...)."""
        ...


class Queryable(Searchable, Changing, Protocol):
    """One that knows what changed in its results, too."""
