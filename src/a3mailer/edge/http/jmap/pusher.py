"""Pushes StateChange objects to push subscriptions (RFC 8620 section 7.2): the work of one worker.

Nothing but one verification, tried a few times, goes to a URL before its subscriber has shown that it was
received; what happens meanwhile is told together, at most once in GAP seconds; a URL that fails is asked
later and later and is forgotten at last, one that says 404 or 410 at once. All of it by the guarded client
(no address inside, no redirects). Attack row 44.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from a3mailer.access.pushes import Subscription, drop, put, subscriptions
from a3mailer.edge.http.exchange import JSON
from a3mailer.edge.http.jmap.news import Hub, States, accounts_of, changed, state_change
from a3mailer.edge.http.jmap.services import Services
from a3mailer.mail.changes import EVERYTHING, RIGHTS, Change
from a3mailer.mail.errors import MailError, NoSuchThing
from a3mailer.mail.ids import AccountId
from a3mailer.runtime.http import HttpClient, HttpFailure
from a3mailer.runtime.rest import rest
from a3mailer.runtime.supervise import contained
from a3mailer.store.operations import Operation
from a3mailer.store.ports import Transaction
from a3mailer.store.rows import PUSH
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import count
from a3mailer.wire.webpush.encrypt import CODING, SALT, encrypt, subscriber_keys
from a3mailer.wire.webpush.vapid import authorization

LOOK_SECONDS: Final = 1.0
"""How often it is looked whether an account has changed or something is due."""
GAP: Final = 5
"""Seconds between two pushes to one URL."""
NEVER: Final = 1 << 40
"""Due when nothing but a change is waited for."""
AT_ONCE: Final = 8
POST_SECONDS: Final = 15.0
ANSWER_OCTETS: Final = 4096
FIRST_PAUSE: Final = 30
"""Seconds after the first failure, doubled each time ..."""
LONGEST_PAUSE: Final = 6 * 3600
MOST_FAILURES: Final = 20
"""... and after so many in a row the subscription is forgotten."""
MOST_UNVERIFIED: Final = 4
"""Tries of a verification."""
VERIFY_SECONDS: Final = 86_400
"""How long a subscription may stay without being verified."""
TTL: Final = "86400"
ALL: Final = 100_000
"""Subscriptions that are looked at."""


class Pusher:
    """One an instance."""

    def __init__(self, services: Services, hub: Hub, http: HttpClient) -> None:
        self._services = services
        self._hub = hub
        self._http = http
        self._known: set[AccountId] = set()
        """Accounts that have subscriptions."""
        self._borrowers: dict[AccountId, frozenset[AccountId]] = {}
        """Those of them that others lend something, by whom."""
        self._stale: set[AccountId] = set()
        self._all = True
        """Every account is to be looked at."""
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set."""
        forget = self._services.store.watch(self.heard)
        try:
            while not stop.is_set():
                try:
                    await self.round()
                except MailError as error:  # the store's; the next round looks at all again
                    self._all = True
                    emit("push.round.failed", level="warning", error=repr(error))
                await rest(stop, LOOK_SECONDS)
        finally:
            forget()

    def heard(self, change: Change) -> None:
        """The store's watcher."""
        if change == EVERYTHING:
            self._all = True
        elif change[:2] == RIGHTS:
            self._stale |= self._known
        else:
            if change.account in self._known or change.mailbox < 0:
                self._stale.add(change.account)
            self._stale |= self._borrowers.get(change.account, frozenset())

    async def round(self) -> int:
        """Look at every account that may have something to push; how many there were."""
        now = int(self._services.clock.now())
        whole, self._all = self._all, False
        due = await self._services.store.documents_due(PUSH, NEVER if whole else now, ALL)
        accounts = {row.account for row in due} | self._stale
        self._known |= accounts
        self._stale.clear()
        async with asyncio.TaskGroup() as tasks:
            for account in accounts:
                tasks.create_task(contained(self._look(account, now), "push"))
        return len(accounts)

    async def _look(self, account: AccountId, now: int) -> None:
        found = await subscriptions(self._services.store, account)
        if not found:
            self._known.discard(account)
        for id, (each, row) in found.items():
            if not await self._hub.stands(each.principal(account)):
                await self._commit(drop(account, id))
            elif not each.verified:
                await self._verify(account, id, each, row.due, now)
            else:
                await self._tell(account, id, each, row.due, now)

    async def _verify(self, account: AccountId, id: str, each: Subscription, due: int, now: int) -> None:
        """Push the PushVerification, once where it is taken."""
        if due > now:
            return
        if each.asked or each.failures >= MOST_UNVERIFIED:
            await self._commit(drop(account, id))
            return
        told = {"@type": "PushVerification", "pushSubscriptionId": id, "verificationCode": each.code}
        status = await self._post(each, msgspec.json.encode(told), now)
        if 200 <= status < 300:
            made = msgspec.structs.replace(each, asked=True, failures=0)
            await self._keep(account, id, each, made, now + VERIFY_SECONDS)
        else:
            await self._failed(account, id, each, status, now)

    async def _tell(self, account: AccountId, id: str, each: Subscription, due: int, now: int) -> None:
        """Push what changed since the last push."""
        if now < due < NEVER:
            return
        types = self._hub.names(None if each.types is None else frozenset(each.types))
        states = await self._hub.states(each.principal(account), types)
        for lender in accounts_of(states) - {account}:
            self._borrowers[lender] = self._borrowers.get(lender, frozenset()) | {account}
        if not each.told:
            await self._keep(account, id, each, msgspec.structs.replace(each, told=states), NEVER)
            return
        found: States = changed(states, each.told)
        if not found:
            if due < NEVER:
                await self._keep(account, id, each, each, NEVER)
            return
        status = await self._post(each, state_change(found), now)
        if 200 <= status < 300:
            await self._keep(
                account, id, each, msgspec.structs.replace(each, told=states, failures=0), now + GAP
            )
        else:
            await self._failed(account, id, each, status, now)

    async def _failed(self, account: AccountId, id: str, each: Subscription, status: int, now: int) -> None:
        failures = each.failures + 1
        emit("push.failed", level="info", account=account, push=id, status=status, failures=failures)
        if status in (404, 410) or failures > MOST_FAILURES:
            await self._commit(drop(account, id))
            return
        pause = min(FIRST_PAUSE << min(each.failures, 16), LONGEST_PAUSE)
        made = msgspec.structs.replace(each, failures=failures)
        await self._keep(account, id, each, made, now + pause)

    async def _keep(
        self, account: AccountId, id: str, was: Subscription, made: Subscription, due: int
    ) -> None:
        """Keep it, unless the subscriber changed it meanwhile: then it is looked at again."""
        now = (await subscriptions(self._services.store, account)).get(id)
        if now is None:
            return
        if now[0] != was:
            made = msgspec.structs.replace(
                made, verified=now[0].verified, types=now[0].types, expires=now[0].expires
            )
            due = min(due, int(self._services.clock.now()))
        await self._commit(put(account, id, made, due))

    async def _post(self, each: Subscription, body: bytes, now: int) -> int:
        """The status of the answer; 0 where there was none."""
        parts = urlsplit(each.url)
        subject = f"mailto:postmaster@{each.address.rpartition('@')[2]}"
        fields = {
            "TTL": TTL,
            "Authorization": authorization(
                self._services.vapid, f"{parts.scheme}://{parts.netloc}", subject, now
            ),
        }
        if each.p256dh:
            theirs, auth = subscriber_keys(each.p256dh, each.auth)
            ours = ec.generate_private_key(ec.SECP256R1())
            body = encrypt(body, theirs, auth, ours, os.urandom(SALT))
            fields["Content-Encoding"] = CODING
        try:
            async with self._gate:
                answer = await self._http.post(
                    each.url, body, JSON, most=ANSWER_OCTETS, seconds=POST_SECONDS, fields=fields
                )
        except (HttpFailure, ValueError):
            count("a3_jmap_pushes_total", "failed")
            return 0
        count("a3_jmap_pushes_total", "taken" if 200 <= answer.status < 300 else "failed")
        return answer.status

    async def _commit(self, *operations: Operation) -> None:
        with suppress(NoSuchThing):
            await self._services.store.commit(Transaction(operations))
