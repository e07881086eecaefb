"""One attempt at one queue entry: its recipients by where they go, each way settled when it is known.

An outcome is recorded in one transaction with the notification it gives rise to and, where a recipient is
ours, with its delivery, so that a crash repeats at most what is under way. Remote servers can see a mail
twice (RFC 5321 section 4.5.4.1 allows no less); a mailbox here cannot.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Final

from msgspec import structs

from a3mailer.identity.directory import parse_stored
from a3mailer.mail.address import NULL_PATH, Address, ReversePath
from a3mailer.mail.answers import Answer
from a3mailer.mail.envelope import Body, Envelope, Recipient
from a3mailer.mail.errors import AlreadyExists, Conflict, DamagedContent, MailError, NoSuchMessage, TryLater
from a3mailer.mail.message import index
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.supervise import contained
from a3mailer.store.operations import (
    ChangeQueue,
    Enqueue,
    Operation,
    QueueRecipient,
    RecipientOutcome,
    SettleQueue,
)
from a3mailer.store.ports import Content, Store, Transaction
from a3mailer.store.rows import QueuedRecipient, QueueEntry
from a3mailer.telemetry.events import emit, redact_address
from a3mailer.telemetry.metrics import count
from a3mailer.transfer import outcomes
from a3mailer.transfer.bounce import FULL_SIZE, HEADER_SIZE, Voice
from a3mailer.transfer.deliver import appends, delivery_key, status_of
from a3mailer.transfer.filtering.filtering import Filtering
from a3mailer.transfer.filtering.gather import packed
from a3mailer.transfer.filtering.queued import Parcel, filtered
from a3mailer.transfer.lists.lists import Incoming
from a3mailer.transfer.policy.policy import Policy
from a3mailer.transfer.queue.settle import delay, in_time, is_over, judge, notices, waits
from a3mailer.transfer.relay.relay import Crowded, Relay, Result
from a3mailer.transfer.relay.ways import Onward
from a3mailer.transfer.route import Listed, Local, Remote, Returned, notify_onward
from a3mailer.transfer.schedule import URGENT, Schedule
from a3mailer.transfer.signing import Signing
from a3mailer.transfer.trace import return_path, without_return_path
from a3mailer.transfer.work import Work
from a3mailer.wire.smtp.remote import ours
from a3mailer.wire.smtp.xtext import original_of

LEASE_SECONDS: Final = 120
"""How long an entry is ours without another word from us."""
RENEW_SECONDS: Final = 40.0
RELEASE_SECONDS: Final = 2.0
"""For giving a lease back when the worker stops."""
LARGE: Final = 8 << 20
"""Octets from which a mail counts as large."""
SETTLE_TRIES: Final = 8
"""Attempts to record an outcome while the store is in trouble; after them the lease runs out."""
SETTLE_PAUSE: Final = 0.25
"""Seconds before the second of them; doubled each time."""
CONGESTED: Final = "4.4.5"
"""The enhanced code (RFC 3463) of what is put off, as others come first."""
HERE: Final = Onward("")
"""In place of a destination: an address of ours."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What every attempt of this process works with."""

    store: Store
    policy: Policy
    relay: Relay
    schedule: Schedule
    clock: Clock
    chance: random.Random
    owner: str
    voice: Voice
    large: asyncio.Semaphore
    """Held while a large mail is in memory."""
    signing: Signing | None = None
    filtering: Filtering | None = None


@dataclass(slots=True)
class Attempt:
    """See the module."""

    desk: Desk
    entry: QueueEntry
    octets: bytes | None = None
    """The mail, where it is in memory already."""
    _open: set[int] = field(default_factory=set)
    """Numbers of recipients whose outcome is still to be recorded."""
    _alone: bool = True
    """There is one way only: recording its outcome ends the lease, too."""
    _stays: bool = False
    """Somebody still waits, so the entry stays in the queue."""
    _lost: bool = False
    """The lease is."""
    _due: frozenset[int] = frozenset()
    """Numbers of the recipients that this attempt is about."""
    _waiting: dict[int, RecipientOutcome] = field(default_factory=dict)
    """Of those: who goes on waiting, as recorded."""
    _late: bool = False
    """Their sender is to hear that it takes long."""

    async def run(self) -> None:
        """Until every recipient that is due has an outcome on record, or the lease is lost."""
        ways = await self._ways()
        self._due = frozenset(r.number for group in ways.values() for r in group)
        self._open = set(self._due)
        self._alone = len(ways) == 1
        self._stays = any(r.state == "waiting" and r.number not in self._open for r in self.entry.recipients)
        if not ways:
            await self._end_lease()
            return
        try:
            await self._go(ways)
            await self._give_back(ways)
            if self._late:
                await self._tell_delay()
            elif self._stays and not self._alone:
                await self._end_lease()
        except asyncio.CancelledError:  # the worker stops: another one may go on at once
            with suppress(MailError, TimeoutError):
                async with asyncio.timeout(RELEASE_SECONDS):
                    now = int(self.desk.clock.now())
                    release = SettleQueue(self.entry.id, self.desk.owner, (), now)
                    await self.desk.store.commit(Transaction((release,)))
            raise

    async def _ways(self) -> dict[Onward, list[QueuedRecipient]]:
        """The recipients that are due, by destination; those of ours under HERE."""
        now, ways = self.desk.clock.now(), dict[Onward, list[QueuedRecipient]]()
        by_rules = self.desk.relay.ways
        sender = self.entry.reverse_path.rpartition("@")[2]
        account = await self.desk.policy.login_of(self.entry.account) if by_rules.by_account else ""
        for recipient in self.entry.recipients:
            if recipient.state == "waiting" and recipient.next_attempt <= now:
                address = parse_stored(recipient.address)
                if await self.desk.policy.is_ours(address.domain):
                    onward = await self._onward(address)
                else:
                    onward = by_rules.of(address.domain, sender, account).to(address.domain)
                ways.setdefault(onward, []).append(recipient)
        return ways

    async def _onward(self, address: Address) -> Onward:
        """Of a domain of ours: HERE, or the next server, where the address is nobody's here."""
        relaying = await self.desk.policy.relaying(address)
        return HERE if relaying is None else self.desk.relay.ways.onward(relaying).to(address.domain)

    async def _go(self, ways: dict[Onward, list[QueuedRecipient]]) -> None:
        works = [
            contained(self._go_one(onward, group), "queue", self.entry.trace)
            for onward, group in ways.items()
        ]
        if self._alone:  # as nearly always: no task is needed
            await works[0]
            return
        async with asyncio.TaskGroup() as tasks:
            for work in works:
                tasks.create_task(work)

    async def _go_one(self, onward: Onward, group: Sequence[QueuedRecipient]) -> None:
        """One way. What is held here goes only where an operator wants it retried."""
        urgent = any(r.next_attempt == URGENT for r in group)
        try:
            if is_over(self.entry, int(self.desk.clock.now())):
                await self._settle(group, [_overdue(r) for r in group])
            elif not urgent and await self._is_disowned(group):
                await self._hold(group, "the account that wanted it sent now has been switched off meanwhile")
            elif onward == HERE:
                await self._deliver(group)
            elif onward.way.hold and not urgent:
                await self._hold(group, "a rule of queue.rules holds this mail")
            else:
                await self._hand_on(onward, group)
        except Crowded as error:
            await self._put_off(group, error)
        except (DamagedContent, NoSuchMessage) as error:
            emit("queue.damaged", level="error", trace=self.entry.trace, error=str(error))
            lost = Result("failed", ours("5.3.0", "the stored mail is damaged"))
            await self._settle(group, [lost] * len(group))

    def _content(self) -> AbstractAsyncContextManager[bytes]:
        """The mail, in memory for no longer than it is needed. Errors: DamagedContent, NoSuchMessage."""
        return nullcontext(self.octets) if self.octets is not None else self._read()

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[bytes]:
        large = self.desk.large if self.entry.size >= LARGE else nullcontext()
        async with large:
            yield await self.desk.store.octets(self.entry.account, self.entry.blob)

    async def _give_back(self, ways: dict[Onward, list[QueuedRecipient]]) -> None:
        """Whoever has no outcome (the store was in trouble, or a bug) waits for the next attempt."""
        left = [r for group in ways.values() for r in group if r.number in self._open]
        if left:
            later = Result("waiting", ours("4.3.0", "the attempt could not be finished"))
            await self._settle(left, [later] * len(left))

    async def renew(self) -> None:
        """Keep the lease while the attempt goes on: called every RENEW_SECONDS."""
        if not self._open:
            return
        now = int(self.desk.clock.now())
        renewal = SettleQueue(self.entry.id, self.desk.owner, (), now, now + LEASE_SECONDS)
        try:
            await self.desk.store.commit(Transaction((renewal,)))
        except MailError as error:
            emit("queue.lease_lost", level="warning", trace=self.entry.trace, error=type(error).__name__)

    # --- out ---------------------------------------------------------------------------------------

    async def _hand_on(self, onward: Onward, group: Sequence[QueuedRecipient]) -> None:
        entry = self.entry
        envelope = Envelope(
            ReversePath(parse_stored(entry.reverse_path)) if entry.reverse_path else NULL_PATH,
            tuple(Recipient(parse_stored(r.address), frozenset(r.notify), r.original) for r in group),
            Body(entry.body),
            entry.smtputf8,
            entry.size,
            entry.return_content,
            entry.envelope_id,
            entry.priority,
            entry.deliver_by,
            entry.by_mode,
            tls=entry.tls,
        )
        urgent = any(r.next_attempt == URGENT for r in group)
        sign = None if self.desk.signing is None else self.desk.signing.of(entry)
        results = await self.desk.relay(onward, envelope, self._content, urgent=urgent, sign=sign)
        await self._settle(group, results)

    async def _is_disowned(self, group: Sequence[QueuedRecipient]) -> bool:
        """Is this the release of a held mail whose sender may send no more?"""
        if not self.entry.not_before or any(r.attempts for r in group):
            return False
        account = await self.desk.store.account(self.entry.account)
        return account is None or not account.enabled

    async def _hold(self, group: Sequence[QueuedRecipient], why: str) -> None:
        """The entry waits for an operator; ways already under way end as they end."""
        hold = ChangeQueue(self.entry.id, "hold", int(self.desk.clock.now()))
        await self._leave(group, "4.7.0", why, 0, (hold,))
        emit("queue.held", trace=self.entry.trace, queue=self.entry.id, why=why)

    async def _put_off(self, group: Sequence[QueuedRecipient], error: Crowded) -> None:
        """Others come first: no attempt is counted, and whoever wants it retried now can have that."""
        await self._leave(group, CONGESTED, str(error), max(1, round(error.seconds)))
        count("a3_relay_attempts_total", "put_off", by=len(group))

    async def _leave(
        self,
        group: Sequence[QueuedRecipient],
        enhanced: str,
        text: str,
        seconds: int,
        acts: tuple[Operation, ...] = (),
    ) -> None:
        """Record that nothing was tried, and why, and when it may be."""
        now = int(self.desk.clock.now())
        later = in_time(self.entry, now, now + seconds)
        outcomes = tuple(
            RecipientOutcome(r.number, "waiting", 0, enhanced, text, "", later, r.delay_notified, tried=False)
            for r in group
        )
        until = 0 if self._alone else now + LEASE_SECONDS
        settled = SettleQueue(self.entry.id, self.desk.owner, outcomes, now, until)
        if await self._record((*acts, settled)):
            self._open -= {r.number for r in group}
            self._waiting |= {outcome.number: outcome for outcome in outcomes}
            self._stays = True

    # --- here --------------------------------------------------------------------------------------

    async def _deliver(self, group: Sequence[QueuedRecipient]) -> None:
        """Into mailboxes, through scripts, and along aliases that lead out again."""
        for _ in range(SETTLE_TRIES):
            with suppress(AlreadyExists):  # another delivery has noted the same: a script sees it now
                return await self._deliver_now(group)
        return None

    async def _deliver_now(self, group: Sequence[QueuedRecipient]) -> None:
        """Errors: AlreadyExists."""
        results: list[Result] = []
        locals_: dict[Local, list[int]] = {}
        remotes: list[Operation] = []
        returned: list[Returned] = []
        listed: list[tuple[int, Listed]] = []
        for recipient in group:
            try:
                routes = await self.desk.policy.lead(parse_stored(recipient.address))
            except MailError as error:
                results.append(_not_delivered(error))
                continue
            number = len(results)
            listed += [(number, route) for route in routes if isinstance(route, Listed)]
            for route in routes:
                if isinstance(route, Local):
                    locals_.setdefault(route, []).append(number)
            returned += [route for route in routes if isinstance(route, Returned)]
            onward = [route for route in routes if isinstance(route, Remote)]
            if onward:
                remotes.append(self._forwarded(recipient, onward, notify_onward(recipient.notify, routes)))
            state = "relayed" if onward else "delivered"  # who forwards has handed NOTIFY on
            several = bool(onward) and len(routes) > 1
            results.append(Result(state, ours("2.1.5", ""), confirms=bool(onward), expanded=several))
        if not (locals_ or remotes or returned or listed):
            await self._settle(group, results)
            return
        address = parse_stored(self.entry.reverse_path) if self.entry.reverse_path else None
        top = return_path(Envelope(ReversePath(address))).encode()
        async with self._content() as stored:
            octets = top + without_return_path(stored)
            content = Content(octets, index(octets))
            work = Work(first=1)
            now = int(self.desk.clock.now())
            if self.desk.filtering is not None and self.desk.filtering.concerns(locals_):
                parcel = Parcel(self.entry, group, content, now)
                locals_ = await filtered(self.desk.filtering, parcel, locals_, results, work)
            operations = (
                *appends(locals_, 0, now, delivery_key(self.entry.id)),
                *remotes,
                *await self.desk.policy.came_back(returned, octets, self.entry),
            )
            for number, route in listed:
                results[number] = await self._to_list(route, octets, work) or results[number]
            await self._settle(
                group, results, *packed((*operations, *work.operations), (content, *work.contents))
            )

    async def _to_list(self, route: Listed, octets: bytes, work: Work) -> Result | None:
        """What a mail to a list of ours comes to goes into ``work``; else why it does not."""
        entry = self.entry
        mail = Incoming(
            entry.reverse_path,
            octets,
            entry.trace,
            entry.body,
            entry.smtputf8,
            entry.hops,
            entry.priority,
            entry.tls,
        )
        try:
            await self.desk.policy.to_list(route, mail, work)
        except MailError as error:
            return _not_delivered(error)
        return None

    def _forwarded(
        self, recipient: QueuedRecipient, routes: Sequence[Remote], notify: tuple[str, ...]
    ) -> Enqueue:
        entry = self.entry
        original = recipient.original or original_of(recipient.address)
        return Enqueue(
            entry.account,
            routes[0].tenant,
            0,
            entry.reverse_path,
            tuple(QueueRecipient(str(r.address), notify, original) for r in routes),
            entry.trace,
            entry.body,
            entry.smtputf8,
            entry.return_content,
            entry.envelope_id,
            hops=entry.hops,
            priority=entry.priority,
            deliver_by=entry.deliver_by,
            by_mode=entry.by_mode,
            message_id=entry.message_id,
            tls=entry.tls,
        )

    # --- settling ----------------------------------------------------------------------------------

    async def _settle(
        self,
        group: Sequence[QueuedRecipient],
        results: Sequence[Result],
        operations: tuple[Operation, ...] = (),
        contents: tuple[Content, ...] = (),
    ) -> None:
        """Record the results of a group with all that follows from them."""
        desk, entry = self.desk, self.entry
        now = int(desk.clock.now())
        verdicts = [
            judge(entry, recipient, result, desk.schedule, now, desk.chance)
            for recipient, result in zip(group, results, strict=True)
        ]
        statuses = [verdict.status for verdict in verdicts if verdict.status is not None]
        returned = await self._returned() if statuses else b""
        told, queued = notices(entry, statuses, returned, desk.voice, now, len(contents))
        late = any(verdict.late for verdict in verdicts)
        until = 0 if self._alone and not late else now + LEASE_SECONDS
        settled = SettleQueue(entry.id, desk.owner, tuple(v.outcome for v in verdicts), now, until)
        noted: tuple[Operation, ...] = ()
        if outcomes.are_shown(entry):
            shown = [
                (
                    r.address,
                    outcomes.Outcome(outcomes.WORDS[v.outcome.state], now, str(result.reply), result.host),
                )
                for r, v, result in zip(group, verdicts, results, strict=True)
            ]
            noted = await outcomes.settled(desk.store, entry, shown)
        struck = await self._strikes(group, results)
        if await self._record((settled, *operations, *queued, *noted, *struck), contents + told):
            self._open -= {r.number for r in group}
            waiting = {v.outcome.number: v.outcome for v in verdicts if v.outcome.state == "waiting"}
            self._stays |= bool(waiting)
            self._waiting |= waiting
            self._late |= late
            for recipient, verdict, result in zip(group, verdicts, results, strict=True):
                outcome = verdict.outcome
                emit(
                    "queue.outcome",
                    trace=entry.trace,
                    queue=entry.id,
                    recipient=redact_address(recipient.address),
                    state=outcome.state,
                    host=outcome.host,
                    reply=f"{outcome.code} {outcome.enhanced}",
                    tls=result.tls,
                )
                count("a3_relay_attempts_total", COUNTED[outcome.state])
                if outcome.state != "delivered":
                    count("a3_relay_answers_total", result.answer)

    async def _tell_delay(self) -> None:
        """One delay notice a mail, about all who wait, whichever way they go; then let go of the entry."""
        desk, entry, now = self.desk, self.entry, int(self.desk.clock.now())
        if self._lost:
            return
        statuses, marks = [], []
        for recipient in entry.recipients:
            outcome = self._waiting.get(recipient.number)
            if outcome is None and recipient.number not in self._due and recipient.state == "waiting":
                outcome = waits(recipient)
            if outcome is None or recipient.delay_notified:
                continue
            tried = now if recipient.number in self._due and outcome.tried else 0
            statuses.append(delay(entry, recipient, outcome, desk.schedule, tried))
            marks.append(structs.replace(outcome, delay_notified=True, tried=False))
        known = [status for status in statuses if status is not None]
        returned = await self._returned() if known else b""
        told, queued = notices(entry, known, returned, desk.voice, now, 0)
        await self._record((SettleQueue(entry.id, desk.owner, tuple(marks), now), *queued), told)

    async def _strikes(self, group: Sequence[QueuedRecipient], results: Sequence[Result]) -> list[Operation]:
        """What the list of suppressed addresses makes of these results."""
        found: list[Operation] = []
        suppressions = self.desk.policy.suppressions
        for recipient, result in zip(group, results, strict=True):
            if suppressions is not None and result.answer is Answer.NO_SUCH_USER:
                found += await suppressions.strike(self.entry.tenant, recipient.address, str(result.reply))
        return found

    async def _returned(self) -> bytes:
        """As much of the mail as a notification may return; nothing of one that is damaged."""
        end = None if self.entry.size <= FULL_SIZE else HEADER_SIZE
        if self.octets is not None:
            return self.octets[:end]
        try:
            return await self.desk.store.octets(self.entry.account, self.entry.blob, 0, end)
        except (DamagedContent, NoSuchMessage):
            return b""

    async def _end_lease(self) -> None:
        """Let go of the entry."""
        if not self._lost:
            now = int(self.desk.clock.now())
            await self._record((SettleQueue(self.entry.id, self.desk.owner, (), now),))

    async def _record(self, operations: tuple[Operation, ...], contents: tuple[Content, ...] = ()) -> bool:
        """Commit, patiently. False when the lease is lost: whoever has it now decides."""
        transaction = Transaction(operations, contents, self.entry.tenant)
        for tried in range(SETTLE_TRIES):
            try:
                await self.desk.store.commit(transaction)
            except TryLater:
                await asyncio.sleep(SETTLE_PAUSE * 2**tried)
            except Conflict:
                break
            else:
                return True
        emit("queue.not_recorded", level="error", trace=self.entry.trace, queue=self.entry.id)
        self._lost, self._open = True, set()
        return False


def _not_delivered(error: MailError) -> Result:
    enhanced, text = status_of(error)
    return Result("failed" if enhanced[0] == "5" else "waiting", ours(enhanced, text))


def _overdue(recipient: QueuedRecipient) -> Result:
    """Too late to be tried; the last answer says why."""
    why = f"; the last answer was: {recipient.text}" if recipient.text else ""
    return Result("waiting", ours("4.4.7", f"it was not delivered in the time its sender set{why}"))


COUNTED: Final = {
    "relayed": "relayed",
    "delivered": "relayed",
    "failed": "failed",
    "expired": "failed",
    "waiting": "waiting",
}
"""Outcome -> label of the metric."""
