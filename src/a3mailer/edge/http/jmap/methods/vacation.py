"""VacationResponse (RFC 8621 section 8): get and set of the one there is (access/vacation.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

from msgspec import Meta, structs

from a3mailer.access.vacation import BODY, SUBJECT, Response
from a3mailer.edge.http.jmap.accounts import Account
from a3mailer.edge.http.jmap.capabilities import VACATION
from a3mailer.edge.http.jmap.method import Call, Method
from a3mailer.edge.http.jmap.records import (
    By,
    Created,
    Destroyed,
    Property,
    Record,
    Update,
    Updated,
    table,
)
from a3mailer.edge.http.jmap.services import Services
from a3mailer.edge.http.jmap.standard.get import Get
from a3mailer.edge.http.jmap.standard.set import Set
from a3mailer.wire.jmap.errors import SetError, invalid_properties
from a3mailer.wire.jmap.values import UTCDate, read_date, utc_date

ONLY: Final = "singleton"
Line = Annotated[str, Meta(max_length=SUBJECT)]
Body = Annotated[str, Meta(max_length=BODY)]
DATES: Final = {"fromDate": "since", "toDate": "until"}
FIELDS: Final = {"isEnabled": "enabled", "subject": "subject", "textBody": "text", "htmlBody": "html"}
"""Properties, and what they are in a Response."""


async def state(services: Services, account: Account) -> str:
    """Of the one there is."""
    return str((await services.scripts.roll(account.id)).vacations)


@dataclass(frozen=True, slots=True)
class VacationResponses:
    """The type."""

    name: str = "VacationResponse"
    capability: str = VACATION
    action: str = "sieve.list"
    change_action: str = "sieve.change"
    singleton: bool = True

    @property
    def properties(self) -> Mapping[str, Property]:
        return PROPERTIES

    async def state(self, call: Call) -> str:
        return await state(call.services, call.account)

    async def ids(self, call: Call, most: int) -> Sequence[str]:
        return (ONLY,)

    async def read(self, call: Call, ids: Sequence[str], properties: frozenset[str]) -> Mapping[str, Record]:
        if ONLY not in ids:
            return {}
        return {ONLY: _record((await call.services.scripts.roll(call.account.id)).vacation)}

    async def create(self, call: Call, records: Mapping[str, Record]) -> Created:
        return dict.fromkeys(records, SetError("singleton"))

    async def update(self, call: Call, updates: Mapping[str, Update]) -> Updated:
        done: dict[str, Record | SetError | None] = {}
        for id, update in updates.items():
            try:
                fields = _fields(update.changed)
            except SetError as error:
                done[id] = error
                continue
            made = await call.services.scripts.set_vacation(call.account.id, partial(_edited, fields))
            after = _record(made)
            told = {name: after[name] for name, value in update.changed.items() if after[name] != value}
            done[id] = told or None
        return done

    async def destroy(self, call: Call, ids: Sequence[str]) -> Destroyed:
        return dict.fromkeys(ids, SetError("singleton"))


def _record(response: Response) -> Record:
    record: Record = {"id": ONLY}
    record |= {name: getattr(response, field) for name, field in FIELDS.items()}
    for name, field in DATES.items():
        seconds = getattr(response, field)
        record[name] = None if seconds is None else utc_date(seconds)
    return record


def _fields(changed: Record) -> dict[str, Any]:
    """Of a Response. Errors: SetError."""
    made = {field: changed[name] for name, field in FIELDS.items() if name in changed}
    wrong = []
    for name, field in DATES.items():
        if name in changed:
            try:
                made[field] = None if changed[name] is None else read_date(changed[name])
            except ValueError:
                wrong.append(name)
    if wrong:
        raise invalid_properties(*wrong, because="there is no such date")
    return made


def _edited(fields: Mapping[str, Any], response: Response) -> Response:
    return structs.replace(response, **fields)


PROPERTIES: Final = table(
    Property("isEnabled", bool, By.CLIENT, False),
    Property("fromDate", UTCDate | None, By.CLIENT, None),
    Property("toDate", UTCDate | None, By.CLIENT, None),
    Property("subject", Line | None, By.CLIENT, None),
    Property("textBody", Body | None, By.CLIENT, None),
    Property("htmlBody", Body | None, By.CLIENT, None),
)
RESPONSES: Final = VacationResponses()
METHODS: Final[tuple[Method, ...]] = (Get(RESPONSES), Set(RESPONSES))
