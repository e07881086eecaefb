"""The queue at work, and the operator's hand in it (RFC 5321 section 4.5.4).

Every worker runs one ``Queue``; the store's leases keep them apart. A lease is short and renewed while its
owner lives, so the mails of a dead worker wait LEASE_SECONDS at most. Entries are looked for when something
was queued (the store's hint), when the next one is due, and every CHECK_SECONDS in any case.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.mail.changes import Change
from a3mailer.mail.errors import BadName, Conflict, MailError, NoSuchThing, TryLater
from a3mailer.mail.ids import QueueId
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.resolver import Resolver
from a3mailer.runtime.shared import SharedTable
from a3mailer.runtime.supervise import contained
from a3mailer.store.operations import (
    Audit,
    ChangeQueue,
    Claimed,
    ClaimQueue,
    Operation,
    SettleQueue,
)
from a3mailer.store.ports import Content, QueueReader, Store, Transaction
from a3mailer.store.rows import Finished, QueueEntry
from a3mailer.telemetry.events import emit
from a3mailer.transfer import outcomes
from a3mailer.transfer.bounce import Voice, wants
from a3mailer.transfer.filtering.filtering import Filtering
from a3mailer.transfer.policy.policy import Policy
from a3mailer.transfer.queue.attempt import LEASE_SECONDS, RENEW_SECONDS, Attempt, Desk
from a3mailer.transfer.queue.handing import Handing
from a3mailer.transfer.queue.settle import notices
from a3mailer.transfer.relay.pace import HALF_LIFE, LANES, Paces
from a3mailer.transfer.relay.relay import IN_HAND, Relay
from a3mailer.transfer.relay.session import Dialer, Manners, TlsContext
from a3mailer.transfer.relay.tls_outcomes import TlsOutcomes
from a3mailer.transfer.relay.tls_policy import Policies
from a3mailer.transfer.relay.ways import Secrets, no_secrets
from a3mailer.transfer.schedule import SLACK_SECONDS, URGENT, Schedule, is_astray
from a3mailer.transfer.signing import Signing
from a3mailer.wire.dsn.report import Action, RecipientStatus

CHECK_SECONDS: Final = 60.0
"""The longest sleep: a clock that jumped and a hint that was lost are noticed by then."""
IDLE_CHECK_SECONDS: Final = 5.0
"""The longest sleep while sessions wait to be closed."""
GATHER_SECONDS: Final = 0.02
"""Between being woken and asking: mails that come together are leased together."""
PAGE: Final = 100
"""Entries read at once: some milliseconds."""
LARGE_AT_ONCE: Final = 4
"""Large mails in memory at once."""
ACTS: Final = ("hold", "release", "retry")
"""What an operator may do to an entry without ending it; ``fail`` ends it."""


class Queue:
    """One worker's share of the queue."""

    __slots__ = ("_clock", "_context", "_desk", "_dial", "_drowsy", "_filtering", "_full",
                 "_handing", "_is_dead", "_large",
                 "_look_again", "_offset", "_outcomes", "_owner", "_paces", "_policies", "_policy",
                 "_resolver", "_running", "_secrets", "_signing", "_store", "_verifying",
                 "_wake")  # fmt: skip

    def __init__(
        self,
        store: Store,
        policy: Policy,
        resolver: Resolver,
        dial: Dialer,
        context: TlsContext,
        settings: Settings,
        clock: Clock,
        owner: str,
        is_dead: Callable[[str], bool] = lambda owner: False,
        verifying: TlsContext = None,
        policies: Policies | None = None,
        signing: Signing | None = None,
        paces: SharedTable | None = None,
        outcomes: TlsOutcomes | None = None,
        secrets: Secrets = no_secrets,
        handing: Handing | None = None,
        filtering: Filtering | None = None,
    ) -> None:
        """``owner`` is unique to this process for ever; ``is_dead`` knows of another owner that it has ended;
        ``paces`` is what all processes know of destinations (``transfer.pace``).

        Errors: ValueError when ``queue.relay`` is no host, or a rule's secret cannot be read."""
        self._store = store
        self._policy = policy
        self._resolver = resolver
        self._dial = dial
        self._context = context
        self._verifying = verifying
        self._policies = policies
        self._signing = signing
        self._secrets = secrets
        self._paces = Paces(paces or SharedTable(LANES, HALF_LIFE), clock, random.SystemRandom())
        self._outcomes = outcomes
        self._clock = clock
        self._owner = owner
        self._is_dead = is_dead
        self._filtering = filtering
        self._handing = handing or Handing(store, clock, owner)
        self._full = True
        """For all we know there is more in the queue than there was room for."""
        self._drowsy = False
        """The sleep is longer than sessions may be idle."""
        self._running: dict[QueueId, Attempt | None] = {}
        """What is in hand; None until it has been read."""
        self._wake = asyncio.Event()
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._offset = 0.0
        self._look_again = False
        self._desk = self._make_desk(settings)

    def _make_desk(self, settings: Settings) -> Desk:
        chance, hostname = random.SystemRandom(), settings.server.hostname
        manners = Manners(hostname, self._context, verifying=self._verifying)
        relay = Relay(
            self._resolver,
            self._dial,
            manners,
            settings,
            self._clock,
            chance,
            self._policies,
            self._paces,
            self._outcomes,
            self._secrets,
        )
        schedule = Schedule.of(settings.queue)
        return Desk(
            self._store,
            self._policy,
            relay,
            schedule,
            self._clock,
            chance,
            self._owner,
            Voice.of(settings),
            self._large,
            self._signing,
            self._filtering,
        )

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot; what is under way ends under the old ones.

        Errors: ValueError when ``queue.relay`` is no host, or a rule's secret cannot be read; then nothing
        has changed."""
        former, self._desk = self._desk, self._make_desk(settings)
        if self._signing is not None:
            self._signing.reconfigure(settings)
        if self._outcomes is not None:
            self._outcomes.reconfigure(settings)
        former.relay.retire()
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set, then finish what is in hand. Cancelling ends it at once."""
        unwatch = self._store.watch(self._heard)
        try:
            async with asyncio.TaskGroup() as beside:
                waker = beside.create_task(self._wake_at(stop))
                renewal = beside.create_task(self._keep_leases())
                self._offset = self._clock_offset()
                recall = beside.create_task(self._recall())
                async with asyncio.TaskGroup() as group:
                    self._handing.open(partial(self._begin, group), self._has_room)
                    while not stop.is_set():
                        await self._sleep(await self._claim(group))
                    self._handing.close()
                for each in (waker, renewal, recall):
                    each.cancel()
        finally:
            self._handing.close()
            unwatch()
        await self._desk.relay.close()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    def _heard(self, change: Change) -> None:
        if change.account == 0 and change.mailbox == 1:
            self._wake.set()

    async def _sleep(self, seconds: float) -> None:
        """Until something changed or is due; then look at the clock."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
        self._wake.clear()
        self._desk.relay.sweep()
        jump = self._clock_offset() - self._offset
        if abs(jump) > SLACK_SECONDS:
            emit("queue.clock_jumped", level="warning", seconds=round(jump))
            await self._recall()
            self._look_again = True
        elif self._look_again:  # what was under way when the clock jumped has its old time too
            self._look_again = False
            await self._recall()

    def _clock_offset(self) -> float:
        return self._clock.now() - self._clock.monotonic()

    async def _claim(self, group: asyncio.TaskGroup) -> float:
        """Lease as much as there is room for; returns the seconds to sleep."""
        room = IN_HAND - len(self._running)
        self._drowsy = False
        if room <= 0:
            self._full = True
            return CHECK_SECONDS
        now = int(self._clock.now())
        claim = ClaimQueue(self._owner, now, now + LEASE_SECONDS, room)
        try:
            (claimed,) = await self._store.commit(Transaction((claim,)))
        except MailError as error:
            emit("queue.stalled", level="warning", error=type(error).__name__)
            return RENEW_SECONDS
        if not isinstance(claimed, Claimed):
            raise TypeError(f"ClaimQueue was answered by {type(claimed).__name__}")
        self._full = len(claimed.queues) >= room
        for queue in claimed.queues:
            if queue not in self._running:
                self._running[queue] = None
                group.create_task(self._work(queue))
        self._drowsy = not self._desk.relay.idle
        most = CHECK_SECONDS if self._drowsy else IDLE_CHECK_SECONDS
        if not claimed.next_due:
            return most
        return min(max(claimed.next_due - self._clock.now(), GATHER_SECONDS), most)

    async def _keep_leases(self) -> None:
        """One renewal for all that is in hand, one after the other."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            for attempt in list(self._running.values()):
                if attempt is not None:
                    await contained(attempt.renew(), "queue", attempt.entry.trace)

    async def _work(self, queue: QueueId) -> None:
        """One attempt at one entry, whatever happens in it."""
        try:
            await contained(self._attempt(queue), "queue")
        finally:
            self._end(queue)

    def _end(self, queue: QueueId) -> None:
        """Look for the next one only where some were left, or sessions are idle that none looks after."""
        del self._running[queue]
        if self._full or (self._drowsy and self._desk.relay.idle):
            self._wake.set()

    def _has_room(self) -> bool:
        """May a mail go on from memory? Not past those that wait in the queue for a place."""
        return not self._full and len(self._running) < IN_HAND

    def _begin(self, group: asyncio.TaskGroup, entry: QueueEntry, octets: bytes) -> None:
        """With a mail that was queued just now, under our lease."""
        self._running[entry.id] = attempt = Attempt(self._desk, entry, octets)
        group.create_task(self._work_at(attempt, len(octets)))

    async def _work_at(self, attempt: Attempt, octets: int) -> None:
        try:
            await contained(attempt.run(), "queue", attempt.entry.trace)
        finally:
            self._handing.left(octets)
            self._end(attempt.entry.id)

    async def _attempt(self, queue: QueueId) -> None:
        try:
            entry = await self._store.queue_entry(queue)
        except NoSuchThing:
            return
        self._running[queue] = attempt = Attempt(self._desk, entry)
        await attempt.run()

    async def _recall(self) -> None:
        """Bring back what dead workers had in hand, and what a wrong clock has put off (attack row 69).

        Others are served meanwhile: with a million entries it takes a while."""
        self._offset = self._clock_offset()
        now = int(self._clock.now())
        try:
            async for entry in entries(self._store):
                with suppress(NoSuchThing):  # taken away meanwhile
                    await self._recall_one(entry, now)
        except TryLater as error:
            emit("queue.stalled", level="warning", error=type(error).__name__)

    async def _recall_one(self, entry: QueueEntry, now: int) -> None:
        if is_leased(entry, now):
            await self._inherit(entry, now)
        elif is_astray(entry, self._desk.schedule, now):
            emit("queue.recalled", level="warning", queue=entry.id, trace=entry.trace)
            await self._store.commit(Transaction((ChangeQueue(entry.id, "retry", now),)))

    async def _inherit(self, entry: QueueEntry, now: int) -> None:
        """End a lease whose owner is known to be dead; whoever asks next gets the entry."""
        if not self._is_dead(entry.lease_owner):
            return
        with suppress(Conflict):  # somebody else did
            await self._store.commit(Transaction((SettleQueue(entry.id, entry.lease_owner, (), now),)))


def is_leased(entry: QueueEntry, now: int) -> bool:
    """Is somebody at it? A lease of the far future is none (``ClaimQueue``)."""
    return now < entry.lease_until <= now + 2 * LEASE_SECONDS


# --- the operator's hand -------------------------------------------------------------------------------


async def entries(reader: QueueReader) -> AsyncIterator[QueueEntry]:
    """The whole queue, oldest first, however long it is."""
    after = 0
    while page := await reader.queue(PAGE, after):
        for entry in page:
            yield entry
        after = page[-1].id
        await asyncio.sleep(0)  # reading does not wait, and others want to


async def left(reader: QueueReader, about: str = "", queue: int = 0) -> AsyncIterator[Finished]:
    """Recipients that have left the queue, newest first, however many have to be looked at."""
    before, more = 0, True
    while more:
        page = await reader.finished(about, queue, before)
        for row in page.rows:
            yield row
        before, more = page.before, page.before > 0


def acting(entry: QueueEntry, act: str, now: int) -> tuple[Operation, ...]:
    """What ``hold``, ``release`` or ``retry`` of an entry comes to: nothing for what is being tried anyway.

    What is to be retried is ``URGENT``: the operator knows better than a destination's back-off.

    Errors: BadName (no such act)."""
    if act not in ACTS:
        raise BadName(act)
    if act == "retry" and is_leased(entry, now):
        return ()
    return (ChangeQueue(entry.id, act, URGENT if act == "retry" else now),)


async def giving_up(
    store: Store, entry: QueueEntry, voice: Voice, now: int
) -> tuple[tuple[Operation, ...], tuple[Content, ...]]:
    """What failing an entry comes to: it leaves the queue, and its sender is told as of any failure."""
    try:
        octets = await store.octets(entry.account, entry.blob)
    except MailError as error:
        emit("queue.damaged", level="error", trace=entry.trace, error=str(error))
        octets = b""
    statuses = tuple(
        RecipientStatus(
            r.address, Action.FAILED, "5.0.0", r.original, r.host, "given up by the administrator", now
        )
        for r in entry.recipients
        if r.state == "waiting" and wants(r.notify, Action.FAILED)
    )
    contents, queued = notices(entry, statuses, octets, voice, now, 0)
    gone = outcomes.Outcome("bounced", now, "given up by the administrator")
    waiting = [(r.address, gone) for r in entry.recipients if r.state == "waiting"]
    noted = await outcomes.settled(store, entry, waiting)
    return (ChangeQueue(entry.id, "remove", now), *queued, *noted), contents


async def change(store: Store, queue: QueueId, act: str, *, subject: str, now: int) -> None:
    """``hold``, ``release`` or ``retry`` one entry, on the audit record. Errors: NoSuchThing, BadName."""
    entry = await store.queue_entry(queue)
    operations = acting(entry, act, now)
    await store.commit(Transaction((*operations, _audit(entry, act, subject, now))))


async def fail(store: Store, queue: QueueId, *, voice: Voice, subject: str, now: int) -> None:
    """Give one entry up, on the audit record. Errors: NoSuchThing."""
    entry = await store.queue_entry(queue)
    operations, contents = await giving_up(store, entry, voice, now)
    record = _audit(entry, "fail", subject, now)
    await store.commit(Transaction((*operations, record), contents, entry.tenant))


def _audit(entry: QueueEntry, act: str, subject: str, now: int) -> Audit:
    return Audit(entry.tenant, subject, f"queue.{act}", str(entry.id), "done", entry.trace, now=now)
