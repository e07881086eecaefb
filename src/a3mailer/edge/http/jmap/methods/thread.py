"""Thread (RFC 8621 section 3): get and changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from a3mailer.access.account_changes import threads_changed
from a3mailer.access.account_mail import merged
from a3mailer.edge.http.jmap.capabilities import MAIL
from a3mailer.edge.http.jmap.method import Call, Method
from a3mailer.edge.http.jmap.records import Changes, Property, Record, table
from a3mailer.edge.http.jmap.standard.changes import Changes as ChangesMethod
from a3mailer.edge.http.jmap.standard.get import Get, too_many
from a3mailer.edge.http.jmap.states import as_changes, state_of, told_since
from a3mailer.mail.ids import ThreadId
from a3mailer.mail.objectids import EMAIL_LETTER, THREAD_LETTER, number_of, object_id


@dataclass(frozen=True, slots=True)
class Threads:
    """The type."""

    name: str = "Thread"
    capability: str = MAIL
    action: str = "message.read"

    @property
    def properties(self) -> Mapping[str, Property]:
        return PROPERTIES

    async def state(self, call: Call) -> str:
        return await state_of(call.services, call.account)

    async def ids(self, call: Call, most: int) -> Sequence[str]:
        mail = await call.mail.of(call.account.id)
        if len(mail.emails) - sum(map(len, mail.replies.values())) > most:
            raise too_many(most)
        return [object_id(THREAD_LETTER, number) for number in sorted(set(mail.threads))]

    async def read(self, call: Call, ids: Sequence[str], properties: frozenset[str]) -> Mapping[str, Record]:
        numbers = {id: ThreadId(number) for id in ids if (number := number_of(THREAD_LETTER, id)) is not None}
        mail = await call.mail.known(call.account.id)
        stored = await _stored(call, tuple(numbers.values())) if mail is None else {}
        return {
            id: {"id": id, "emailIds": [object_id(EMAIL_LETTER, each) for each in found]}
            for id, number in numbers.items()
            if (found := stored.get(number, ()) if mail is None else mail.thread(number))
        }

    async def changes(self, call: Call, since: str, most: int) -> Changes:
        view, account = call.view, call.account.id
        told = await told_since(
            call.account, since, lambda state: threads_changed(view, account, state, most)
        )
        return as_changes(call.account, told, THREAD_LETTER)


async def _stored(call: Call, threads: Sequence[ThreadId]) -> Mapping[ThreadId, Sequence[int]]:
    """Emails of threads by date, as the store has them."""
    emails = merged(await call.view.thread_places(call.account.id, threads))
    members: dict[ThreadId, list[int]] = {}
    for email in sorted(emails.values(), key=lambda each: each.key):
        members.setdefault(ThreadId(email.thread), []).append(email.number)
    return members


PROPERTIES: Final = table(Property("emailIds", list))
THREADS: Final = Threads()
METHODS: Final[tuple[Method, ...]] = (Get(THREADS), ChangesMethod(THREADS))
