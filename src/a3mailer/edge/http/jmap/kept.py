"""Types of few records, kept as documents of the account: their states and changes (RFC 8620 section 5.2).

A state is the second of the last change, a digest of all records, and marks of those that were changed in
that second: changes since a state are later ones and those of its second that it does not know. Where very
many were changed in one second some may be told twice, and none is missed. A record that is destroyed leaves
an empty document for a while.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
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
MOST_MARKS: Final = 16
"""Records of one second that a state knows."""
MARK: Final = 8
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
        last = max(self.touched.values(), default=0)
        ids = [id for id, at in self.touched.items() if at == last]
        return f"{last}-{hashlib.blake2b(content, digest_size=8).hexdigest()}{_marks(self._known(ids))}"

    def _mark(self, id: str) -> str:
        """A record as it is, in few characters."""
        return _short((self.records.get(id), self.further.get(id)))

    def _known(self, ids: Iterable[str]) -> dict[str, str]:
        return {_short(id): self._mark(id) for id in ids}

    def changes(self, since: str, most: int, now: int) -> Changes:
        """Errors: MethodError (``cannotCalculateChanges``)."""
        if since == self.state:
            return Changes((), (), (), since)
        second, known = _read(since)
        if second and (second <= self.floor or second < now - FORGOTTEN_DAYS * DAY):
            raise MethodError("cannotCalculateChanges", "that state is forgotten")
        later = sorted(
            (at, id)
            for id, at in self.touched.items()
            if at > second or (at == second and known.get(_short(id)) != self._mark(id))
        )
        state, more = self.state, len(later) > most
        if more:
            later, state = self._some(later, most, second, known)
        here = [id for _, id in later if id in self.records]
        created = [id for id in here if self._is_new(id, second, known)]
        updated = [id for id in here if id not in created]
        gone = [id for _, id in later if id not in self.records]
        return Changes(created, updated, gone, state, more)

    def _is_new(self, id: str, second: int, known: Mapping[str, str]) -> bool:
        """Was a record not there in a state? One without a second of its own always was."""
        made = self.records[id]["made"]
        return bool(made) and made >= second and _short(id) not in known

    def _some(
        self, later: list[tuple[int, str]], most: int, second: int, known: Mapping[str, str]
    ) -> tuple[list[tuple[int, str]], str]:
        """The first changes, and the state they lead to. Errors: MethodError."""
        last = later[most - 1][0]
        told = self._known(id for at, id in later[:most] if at == last)
        if last < later[most][0]:
            return later[:most], f"{later[most][0]}-"
        if marks := _marks({**known, **told} if last == second else told):
            return later[:most], f"{last}-{marks}"
        later = [each for each in later[:most] if each[0] < last]
        if not later:
            raise MethodError("cannotCalculateChanges", f"more than {most} changes at once")
        return later, f"{last}-"


def _marks(known: Mapping[str, str]) -> str:
    """What is known of the last second of a state; nothing where that is too much."""
    marks = sorted(map("".join, known.items()))
    return "." + "".join(marks) if 0 < len(marks) <= MOST_MARKS else ""


def _short(value: object) -> str:
    """A digest of ``MARK`` characters."""
    octets = msgspec.json.encode(value, order="sorted")
    return base64.urlsafe_b64encode(hashlib.blake2b(octets, digest_size=6).digest()).decode()


# state = second "-" [digest] ["." *( mark-of-id mark-of-content )]
def _read(state: str) -> tuple[int, dict[str, str]]:
    """The second of a state, and what of it was known. Errors: MethodError (``cannotCalculateChanges``)."""
    head, _, marks = state.partition(".")
    second, dash, _ = head.partition("-")
    if not dash or not second.isdecimal() or not second.isascii() or len(second) > 12:
        raise MethodError("cannotCalculateChanges", "that was no state")
    if len(marks) > MOST_MARKS * 2 * MARK or len(marks) % (2 * MARK):
        raise MethodError("cannotCalculateChanges", "that was no state")
    starts = range(0, len(marks), 2 * MARK)
    return int(second), {marks[at : at + MARK]: marks[at + MARK : at + 2 * MARK] for at in starts}


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
