"""Types of few records, kept as documents of the account: their states and changes (RFC 8620 section 5.2).

A state is the second of the last change and a digest of all records. Changes since a state are those of its
second and of later ones, so that one may be told twice and none is missed. A record that is destroyed leaves
an empty document for a while.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from a3mailer.edge.http.jmap.method import Call
from a3mailer.edge.http.jmap.records import Changes, Record
from a3mailer.edge.http.jmap.services import Services
from a3mailer.mail.ids import AccountId
from a3mailer.store.operations import Operation, PutDocument
from a3mailer.store.ports import Transaction
from a3mailer.wire.jmap.errors import MethodError

DAY: Final = 86_400
FORGOTTEN_DAYS: Final = 30
"""How long it is known that a record was destroyed."""
MOST: Final = 10_000
"""Records of a type."""


@dataclass(frozen=True, slots=True)
class Kept:
    """All records of a type as of now, by id."""

    records: Mapping[str, Record]
    touched: Mapping[str, int]
    """When each was changed last, destroyed ones, too."""
    further: Mapping[str, str] = field(default_factory=dict)
    """What else is part of a record's state."""
    floor: int = 0
    """What was destroyed in this second or before it may have been forgotten."""

    @property
    def state(self) -> str:
        content = msgspec.json.encode((self.records, self.further), order="sorted")
        digest = hashlib.blake2b(content, digest_size=8).hexdigest()
        return f"{max(self.touched.values(), default=0)}-{digest}"

    def changes(self, since: str, most: int, now: int) -> Changes:
        """Errors: MethodError (``cannotCalculateChanges``)."""
        if since == self.state:
            return Changes((), (), (), since)
        second, dash, _ = since.partition("-")
        if not dash or not second.isdecimal() or not second.isascii() or len(second) > 12:
            raise MethodError("cannotCalculateChanges", "that was no state")
        if int(second) and (int(second) <= self.floor or int(second) < now - FORGOTTEN_DAYS * DAY):
            raise MethodError("cannotCalculateChanges", "that state is forgotten")
        later = sorted((at, id) for id, at in self.touched.items() if at >= int(second))
        state, more = self.state, len(later) > most
        if more:
            border = later[most][0]
            later = [each for each in later if each[0] < border]
            state = f"{border}-"
            if not later:
                raise MethodError("cannotCalculateChanges", f"more than {most} changes at once")
        here = [id for _, id in later if id in self.records]
        created = [id for id in here if self.records[id]["made"] >= int(second)]
        updated = [id for id in here if id not in created]
        gone = [id for _, id in later if id not in self.records]
        return Changes(created, updated, gone, state, more)


async def kept(services: Services, account: AccountId, kind: str) -> Kept:
    """What there is of a kind."""
    rows = await services.store.documents(account, kind, limit=MOST)
    records: dict[str, Any] = {row.name: msgspec.json.decode(row.value) for row in rows if row.value}
    return Kept(records, {row.name: row.created for row in rows})


def put(call: Call, kind: str, id: str, record: Record, expires: int = 0) -> PutDocument:
    """Keep a record, which has ``made``."""
    return PutDocument(call.account.id, kind, id, msgspec.json.encode(record).decode(), expires=expires)


def forget(call: Call, kind: str, id: str) -> PutDocument:
    """A record is destroyed."""
    expires = int(call.services.clock.now()) + (FORGOTTEN_DAYS + 1) * DAY
    return PutDocument(call.account.id, kind, id, "", expires=expires)


async def commit(call: Call, *operations: Operation) -> None:
    """Make it durable."""
    await call.services.store.commit(Transaction(operations, tenant=call.account.tenant))
