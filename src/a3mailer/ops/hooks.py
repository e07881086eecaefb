"""Telling hooks what became of mails: each event posted, signed, until it is taken or too old.

The events are documents that were committed with what they tell (``transfer/outcomes.py``), so none is lost
and one may come twice; its id is the same each time. Signed as by Standard Webhooks 1.0: HMAC-SHA-256 of
``id.timestamp.body``. A hook that fails is tried later, with all that waits for it, and delays nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from a3mailer.mail.errors import MailError, NoSuchThing
from a3mailer.mail.ids import AccountId
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.http import HttpClient, HttpFailure
from a3mailer.runtime.rest import rest
from a3mailer.runtime.supervise import contained
from a3mailer.runtime.webhook import signed
from a3mailer.store.operations import Operation, PutDocument, RemoveDocument
from a3mailer.store.ports import Store, Transaction
from a3mailer.store.rows import Document
from a3mailer.telemetry.events import Secret, emit
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.outcomes import Event, Hook, hooks_of

LOOK_SECONDS: Final = 2.0
"""How often it is looked whether there is something to tell."""
BATCH: Final = 200
"""Events taken up at once."""
AT_ONCE: Final = 8
"""Hooks told at once."""
POST_SECONDS: Final = 10.0
ANSWER_OCTETS: Final = 4096
"""Of a hook's answer, which nobody reads."""
FIRST_PAUSE: Final = 10
"""Seconds after the first failure, doubled each time ..."""
LONGEST_PAUSE: Final = 3600
JSON: Final = "application/json"

_event: Final = msgspec.json.Decoder(Event).decode


class Hooks:
    """The work of an instance's first worker."""

    def __init__(self, store: Store, http: HttpClient, clock: Clock) -> None:
        self._store = store
        self._http = http
        self._clock = clock
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set."""
        while not stop.is_set():
            with suppress(MailError):
                while not stop.is_set() and await self.round():
                    pass
            await rest(stop, LOOK_SECONDS)

    async def round(self) -> int:
        """Tell what is due now; how many events that was."""
        due = await self._store.documents_due("event", int(self._clock.now()), BATCH)
        by_hook: dict[tuple[AccountId, str], list[tuple[Document, Event]]] = {}
        for row in due:
            event = _event(row.value)
            by_hook.setdefault((row.account, event.hook), []).append((row, event))
        async with asyncio.TaskGroup() as tasks:
            for (account, name), events in by_hook.items():
                tasks.create_task(contained(self._tell_all(account, name, events), "hooks"))
        return len(due)

    async def _tell_all(
        self, account: AccountId, name: str, events: Sequence[tuple[Document, Event]]
    ) -> None:
        """One after another; after a failure the rest waits as long as the one that failed."""
        hook = (await hooks_of(self._store, account)).get(name)
        for number, (row, event) in enumerate(events):
            if hook is None:
                await self._commit(RemoveDocument(account, "event", row.name))
                continue
            async with self._gate:
                failure = await self._tell(hook, row, event)
            if failure:
                await self._put_off(events[number:], failure)
                return
            await self._commit(RemoveDocument(account, "event", row.name))

    async def _tell(self, hook: Hook, row: Document, event: Event) -> str:
        """Why it was not taken; empty when it was."""
        now = int(self._clock.now())
        body = event.body.encode()
        fields = signed(Secret(hook.secret), row.name, now, body)
        try:
            answer = await self._http.post(
                hook.url, body, JSON, most=ANSWER_OCTETS, seconds=POST_SECONDS, fields=fields
            )
        except HttpFailure as failure:
            return f"{failure.kind}: {failure}"
        if 200 <= answer.status < 300:
            count("a3_hook_posts_total", "taken")
            return ""
        return f"answered {answer.status}"

    async def _put_off(self, events: Sequence[tuple[Document, Event]], failure: str) -> None:
        first, event = events[0]
        count("a3_hook_posts_total", "failed")
        emit("hook.failed", level="warning", account=first.account, hook=event.hook, reason=failure)
        pause = min(FIRST_PAUSE << min(event.tried, 20), LONGEST_PAUSE)
        due, later = int(self._clock.now()) + pause, []
        for at, (row, each) in enumerate(events):
            kept = each if at else msgspec.structs.replace(each, tried=each.tried + 1)
            value = msgspec.json.encode(kept).decode()
            later.append(PutDocument(row.account, "event", row.name, value, due + bool(at), row.expires))
        await self._commit(*later)

    async def _commit(self, *operations: Operation) -> None:
        with suppress(NoSuchThing):
            await self._store.commit(Transaction(operations))
