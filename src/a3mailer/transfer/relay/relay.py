"""Hand a mail to the servers of one destination (RFC 5321 sections 3.6, 4.5.4 and 5.1; RFC 7435 for TLS).

Hosts are tried in their order, both address families, until one answers for the recipients; sessions are
kept a moment for the next mail. What a server refuses for good is failed; everything else waits, a lost
connection after the last octet of a mail included. A destination whose servers cannot be reached is left
alone for a while, longer each time, so that its mails do not keep the others from theirs.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from a3mailer.config.tree import Settings
from a3mailer.mail.answers import Answer
from a3mailer.mail.envelope import Envelope
from a3mailer.mail.tls import TlsPlan
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.resolver import Resolver
from a3mailer.runtime.shared import SharedTable
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.relay.answers import classify
from a3mailer.transfer.relay.destinations.mx import (
    Host,
    NoRoute,
    Ourselves,
    addresses_of,
    anywhere,
    hosts_of,
    reach_of,
)
from a3mailer.transfer.relay.destinations.providers import lane_of, provider_of
from a3mailer.transfer.relay.kept import KeptSessions
from a3mailer.transfer.relay.pace import HALF_LIFE, LANES, PATIENCE, Paces
from a3mailer.transfer.relay.session import CONNECT_SECONDS, Dialer, Manners, Session, SessionFailed, Wire
from a3mailer.transfer.relay.slot import Slot, Slots
from a3mailer.transfer.relay.tls_outcomes import Ends, TlsOutcomes
from a3mailer.transfer.relay.tls_policy import Demand, DomainDemand, Policies, TlsPolicy, parse_rules
from a3mailer.transfer.relay.tls_wish import cannot, excuses, for_good, for_mail
from a3mailer.transfer.relay.ways import USUAL, Onward, Secrets, Way, Ways, no_secrets
from a3mailer.transfer.schedule import LONGEST_BACKOFF
from a3mailer.transfer.signing import Sign
from a3mailer.wire.smtp.client import Outcome, Status
from a3mailer.wire.smtp.remote import RemoteReply, ours

SESSIONS_A_DESTINATION: Final = 5
"""Sessions one destination sees from one worker at once."""
IN_HAND: Final = 400
"""Mails in hand at once, of all destinations of a worker; most of them wait for their destination's turn."""
FEWEST: Final = 2
"""Mails in hand that a slow destination may have at least, and one that cannot be reached."""
WAITING_A_DESTINATION: Final = 100
"""Mails of one destination in hand at once; more would leave no room for others while it is slow."""
WAITING_A_FAST_ONE: Final = 300
"""... where FAST_SECONDS are enough for all of them."""
FAST_SECONDS: Final = 1.0
"""The shortest time a mail is put off for."""
INTERVAL_SHARE: Final = 0.1
"""What the latest mail counts in the mean time between two of a destination."""
CROWDED_SECONDS: Final = 30.0
"""How long a mail stays away whose destination is crowded, for every WAITING_A_DESTINATION of them."""
BACKOFF_SECONDS: Final = 30.0
"""How long a destination is left alone after the first failure to reach it; doubled each time."""
BACKOFF_MOST: Final = float(LONGEST_BACKOFF)
PLACES: Final = 10_000
"""Destinations whose state is kept; quiet ones go first."""


Load = Callable[[], AbstractAsyncContextManager[bytes]]
"""Gives a mail's content for as long as it is needed."""


class Crowded(Exception):
    """Nothing was tried, as others come first: try again after ``seconds``; ``str()`` says why."""

    def __init__(self, seconds: float, text: str) -> None:
        super().__init__(text)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one recipient, in the envelope's order."""

    state: str
    """``relayed``, ``failed`` or ``waiting``, as ``store.operations.RecipientOutcome`` names them."""
    reply: RemoteReply
    host: str = ""
    confirms: bool = False
    """The next server has taken over what the sender wants to be told (RFC 3461 section 5.2.2)."""
    times: bool = True
    """It has taken over by when the mail is to be there (RFC 2852), too."""
    expanded: bool = False
    """It is an alias with several addresses (RFC 3461 section 5.2.7.3)."""
    wait: float = 0.0
    """Seconds before which another attempt is pointless."""
    answer: Answer = Answer.UNREACHABLE
    """What the reply is about."""
    tls: str = ""
    """``TlsPlan.word`` of the session; empty where there was none."""


@dataclass(slots=True)
class _Place:
    """What is known of a destination."""

    gate: asyncio.Semaphore
    failures: int = 0
    closed_until: float = 0.0
    """Monotonic."""
    reply: RemoteReply = field(default_factory=lambda: ours("4.4.1", ""))
    users: int = 0
    turned_away: int = 0
    """Mails that found it crowded since it last was empty."""
    finished: float = 0.0
    """When it was left last; monotonic."""
    interval: float = CROWDED_SECONDS
    """Mean time between two mails that left it, in seconds; slow until it is known."""
    lane: str = ""
    """Whose pace it has; empty until its hosts are known."""


@dataclass(slots=True)
class _Attempt:
    """One mail on its way through the hosts of one destination."""

    envelope: Envelope
    octets: bytes
    sign: Sign | None = None
    urgent: bool = False
    way: Way = USUAL
    lane: str = ""
    results: dict[int, Result] = field(default_factory=dict)
    connected: bool = False
    """An address of the host in hand has taken a connection."""
    dialled: bool = False
    """Some host was not left alone."""
    cool: list[float] = field(default_factory=list)
    """For how many seconds the others are."""
    refusals: list[RemoteReply] = field(default_factory=list)
    """Why hosts could not be used, in order."""
    demand: DomainDemand | None = None
    """Whose report the sessions belong into; None for nobody's."""

    @property
    def left(self) -> list[int]:
        """Recipients without a result, or with one that another try in the same session may better."""
        return [n for n in range(len(self.envelope.recipients)) if n not in self.results]


class Relay:
    """One object a process; its sessions and its knowledge of destinations serve all mails."""

    __slots__ = ("_active", "_chance", "_clock", "_dial", "_kept", "_manners", "_ourselves", "_outcomes",
                 "_paces", "_places", "_reach", "_resolver", "_sessions", "_settings",
                 "_tls", "_users", "ways")  # fmt: skip

    def __init__(
        self,
        resolver: Resolver,
        dial: Dialer,
        manners: Manners,
        settings: Settings,
        clock: Clock,
        chance: random.Random,
        policies: Policies | None = None,
        paces: Paces | None = None,
        outcomes: TlsOutcomes | None = None,
        secrets: Secrets = no_secrets,
    ) -> None:
        """Without ``policies`` no domain has an MTA-STS policy; without ``paces`` they are this object's own.

        Errors: ValueError when ``queue.relay`` is no host, or a rule's secret cannot be read."""
        self._resolver = resolver
        self._dial = dial
        self._manners = manners
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._tls = TlsPolicy(parse_rules(settings.queue.tls_policy), policies, resolver)
        self._outcomes = outcomes or TlsOutcomes(None, settings)
        self._ourselves = ourselves(settings)
        self._reach = reach_of(settings)
        self.ways = Ways(settings, secrets)
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._sessions = Slots(settings.queue.concurrency)
        self._paces = paces or Paces(SharedTable(LANES, HALF_LIFE), clock, chance)
        self._active: Counter[str] = Counter()
        """Mails on their way, by lane."""
        self._kept = KeptSessions(clock)
        self._users = 0

    async def __call__(
        self,
        onward: Onward,
        envelope: Envelope,
        content: Load,
        *,
        urgent: bool = False,
        sign: Sign | None = None,
    ) -> tuple[Result, ...]:
        """One result a recipient of ``envelope``; all of them go ``onward`` there.

        What is ``urgent`` is tried although the destination is to be left alone, and out of turn.
        The content is loaded when its turn has come. Errors: Crowded, and what loading raises."""
        place = self._place(onward)
        self._admit(place)
        place.users += 1
        self._users += 1
        try:
            async with place.gate:
                attempt = _Attempt(envelope, b"", sign, urgent, onward.way)
                wait = place.closed_until - self._clock.monotonic()
                if wait > 0 and not (urgent or excuses(envelope, place.reply)):
                    self._rest(attempt, place.reply, "waiting", wait)
                else:
                    if place.lane and not urgent:
                        await self._take_turn(place.lane)
                    async with Slot(self._sessions), content() as attempt.octets:
                        await self._deliver(place, onward.domain, attempt)
        finally:
            place.users -= 1
            self._users -= 1
            self._left(place)
            place.turned_away = place.turned_away - 1 if place.users and place.turned_away else 0
        return tuple(attempt.results[n] for n in range(len(envelope.recipients)))

    def _admit(self, place: _Place) -> None:
        """Errors: Crowded; the more of them there are, the longer each stays away. A smart host that takes
        all mail keeps none from the others."""
        most, unproven = self._room(place)
        if self.ways.single or place.users < most:
            return
        place.turned_away += 1
        if unproven:
            seconds = FAST_SECONDS * (1 + place.turned_away // SESSIONS_A_DESTINATION)
            raise Crowded(min(seconds, BACKOFF_MOST), "another mail for this destination goes first")
        seconds = min(max(WAITING_A_DESTINATION * place.interval, FAST_SECONDS), self._backoff(1))
        seconds *= 1 + place.turned_away // WAITING_A_DESTINATION
        raise Crowded(min(seconds, BACKOFF_MOST), "many mails for this destination come first")

    def _room(self, place: _Place) -> tuple[int, bool]:
        """(Mails in hand that a destination may have, whether it has yet to answer).

        Of the room that is left a destination gets a share: however many are slow or silent, some is left."""
        room = IN_HAND - self._users
        if place.failures:
            return FEWEST, False
        if not place.finished:
            share = max(room // 16, 1)
            return min(share, SESSIONS_A_DESTINATION, WAITING_A_DESTINATION), True
        if place.users * place.interval < FAST_SECONDS:
            return WAITING_A_FAST_ONE, False
        return min(WAITING_A_DESTINATION, max(room // 2, FEWEST)), False

    def _left(self, place: _Place) -> None:
        """A mail has left it, while others were there the one before had."""
        now = self._clock.monotonic()
        if place.users and place.finished:
            place.interval += INTERVAL_SHARE * (now - place.finished - place.interval)
        place.finished = now

    async def _take_turn(self, lane: str, patience: float = PATIENCE) -> None:
        """Keep a lane's pace. Errors: Crowded."""
        turn = self._paces.turn(lane, self._active[lane], SESSIONS_A_DESTINATION, patience)
        if turn.put_off:
            raise Crowded(turn.put_off, f"{lane} asked for fewer mails at once")
        if turn.wait:
            try:
                await asyncio.sleep(turn.wait)
            finally:
                self._paces.waited()

    def _place(self, onward: Onward) -> _Place:
        key = onward.name
        place = self._places.get(key)
        if place is None:
            concurrency = self._settings.queue.concurrency
            most = min(SESSIONS_A_DESTINATION, concurrency)
            if onward.way.host is not None:  # the operator's own: as many as leave some to others
                most = concurrency if self.ways.single else max(most, concurrency // 2)
            place = self._places[key] = _Place(asyncio.Semaphore(most))
            for _ in range(len(self._places) - PLACES):
                oldest, quiet = next(iter(self._places.items()))
                if quiet.users:
                    break
                del self._places[oldest]
        self._places.move_to_end(key)
        return place

    # --- hosts -------------------------------------------------------------------------------------

    async def _deliver(self, place: _Place, domain: str, attempt: _Attempt) -> None:
        try:
            hosts = await self._hosts(domain, attempt.way)
            lane = attempt.lane = _lane(hosts, attempt.way)
            if place.lane != lane and not attempt.urgent:
                await self._take_turn(lane, patience=0.0)
            place.lane = lane
            demand = await self._demand(domain, attempt.way)
            if attempt.way.host is None and not domain.startswith("[") and not attempt.envelope.tls:
                attempt.demand = demand
            if await self._try_hosts(hosts, attempt, demand):
                place.failures, place.closed_until = 0, 0.0
                return
        except NoRoute as error:
            if error.permanent and not attempt.refusals:
                self._rest(attempt, ours(error.enhanced, error.text), "failed")
                return
            attempt.refusals.append(ours(error.enhanced, error.text))
        self._unreachable(place, attempt)

    async def _try_hosts(self, hosts: Sequence[Host], attempt: _Attempt, demand: DomainDemand) -> bool:
        """True when one of them has answered for the recipients. Errors: NoRoute."""
        lane = attempt.lane
        self._active[lane] += 1
        try:
            for host in hosts:
                asked = attempt.way.demand() or await self._tls.of(demand, host)
                asked = for_mail(attempt.envelope, asked, demand, host)
                if await self._try_host(host, attempt, asked):
                    return True
        finally:
            self._active[lane] -= 1
            if not self._active[lane]:
                del self._active[lane]
        return False

    async def _hosts(self, domain: str, way: Way) -> Sequence[Host]:
        if way.host is not None:
            return (way.host,)
        port = self._settings.queue.smtp_port
        return await hosts_of(domain, self._resolver, self._ourselves, port, self._chance)

    async def _demand(self, domain: str, way: Way) -> DomainDemand:
        """What is asked of the TLS of a destination's hosts."""
        if way.host is not None:
            demand = await self._tls.demand(way.host.name, smart_host=True)
            return replace(demand, level=way.tls) if way.tls else demand
        return await self._tls.demand(domain)

    def _unreachable(self, place: _Place, attempt: _Attempt) -> None:
        """No host could be used: 5yz from every one is an answer, anything else a reason to wait."""
        refusals = attempt.refusals or [ours("4.4.1", "no host could be reached")]
        soft = [reply for reply in refusals if reply.kind != 5 and not reply.enhanced.startswith("5.")]
        if not soft:
            self._rest(attempt, refusals[-1], "failed")
            return
        now = self._clock.monotonic()
        if not attempt.dialled and attempt.cool:
            place.closed_until = max(place.closed_until, now + min(attempt.cool))
        elif place.closed_until <= now:  # else a session beside this one has just found out
            place.failures += 1
            place.closed_until = now + self._backoff(place.failures)
        place.reply = soft[-1]
        wait = place.closed_until - now
        self._rest(attempt, soft[-1], "waiting", wait)

    def _backoff(self, failures: int) -> float:
        first = min(BACKOFF_SECONDS, *(float(seconds) for seconds in self._settings.queue.retry[:1]))
        return min(first * 2.0 ** min(failures - 1, 10), BACKOFF_MOST)

    def _rest(self, attempt: _Attempt, reply: RemoteReply, state: str, wait: float = 0.0) -> None:
        answer = classify(reply)
        for number in attempt.left:
            attempt.results[number] = Result(state, reply, reply.host, wait=wait, answer=answer)

    async def _try_host(self, host: Host, attempt: _Attempt, demand: Demand) -> bool:
        """True when this host has answered for the recipients; False: try the next one. Errors: NoRoute."""
        if demand.refusal is not None:
            self._outcomes.refused(attempt.demand, host.name, demand)
            attempt.refusals.append(demand.refusal)
            return False
        cool = 0.0 if attempt.urgent else self._paces.cooling(place_of(host))
        if cool:
            attempt.cool.append(cool)
            attempt.refusals.append(ours("4.4.1", f"{host.name} did not answer lately and is left alone"))
            return False
        attempt.dialled = True
        session = self._kept.take(host, attempt.way, demand)
        if session is not None and await self._send(session, host, attempt, kept=True):
            return True
        self._outcomes.refused(attempt.demand, host.name, demand)
        session = await self._open(host, attempt, demand)
        return session is not None and await self._send(session, host, attempt, kept=False)

    async def _open(self, host: Host, attempt: _Attempt, demand: Demand) -> Session | None:
        """A fresh session with one of the host's addresses; why not goes to the refusals. Errors: NoRoute."""
        try:
            reach = self._reach if attempt.way.host is None else anywhere
            addresses = await addresses_of(host, self._resolver, reach)
        except NoRoute as error:
            attempt.refusals.append(ours(error.enhanced, error.text))
            return None
        attempt.connected = False
        for address in addresses:
            if self._ourselves.is_ours(address, host.port):
                raise NoRoute("5.4.6", f"{host.name} is this server: the mail loops", permanent=True)
            session = await self._open_address(host, address, attempt, demand.plans)
            if session is not None:
                self._paces.answered(place_of(host))
                return session
        if not attempt.connected and not attempt.way.sources:  # else it may be our address that is at fault
            self._paces.failed(place_of(host), self._backoff(1))
        return None

    async def _open_address(
        self, host: Host, address: str, attempt: _Attempt, plans: Sequence[TlsPlan], *, again: bool = False
    ) -> Session | None:
        """A session under the first of the plans that TLS does not fail under; ``again``: one has failed."""
        source = attempt.way.source_to(address)
        if source is None:
            attempt.refusals.append(ours("4.4.4", f"queue.rules gives no address to reach {address} from"))
            return None
        try:
            wire = await self._connect(address, host.port, source)
        except ConnectionError as error:
            attempt.refusals.append(ours("4.4.1", str(error)))
            return None
        attempt.connected = True
        if wire.local[0] == address and host.port == self._ourselves.port:
            wire.close()
            raise NoRoute("5.4.6", f"{host.name} is this server: the mail loops", permanent=True)
        ends = Ends(host.name, wire.local[0], address)
        try:
            ticket = self._kept.ticket(host, plans[0])
            manners = self._manners_of(attempt.way)
            session = await Session.open(wire, host.name, manners, plans[0], self._clock, ticket)
        except SessionFailed as error:
            if error.in_tls:
                emit("relay.tls_failed", level="warning", host=host.name, reason=str(error))
                if not again:
                    self._outcomes.failed(attempt.demand, plans[0], ends, error.verdict, error.reply)
                if plans[1:]:  # opportunistic: better in clear than not at all
                    return await self._open_address(host, address, attempt, plans[1:], again=True)
            refusal = for_good(attempt.envelope, error.reply) if error.in_tls else error.reply
            attempt.refusals.append(replace(refusal, host=host.name))
            self._learn(host, attempt, (classify(error.reply, provider_of(host.name)),))
            return None
        if not again:
            self._outcomes.opened(attempt.demand, plans[0], ends, session.tls)
        return session

    async def _connect(self, address: str, port: int, source: str) -> Wire:
        """Errors: ConnectionError."""
        if source:
            return await self._dial(address, port, CONNECT_SECONDS, source)
        return await self._dial(address, port, CONNECT_SECONDS)

    def _manners_of(self, way: Way) -> Manners:
        if not (way.ehlo or way.login):
            return self._manners
        return replace(self._manners, hostname=way.ehlo or self._manners.hostname, login=way.login)

    def _learn(self, host: Host, attempt: _Attempt, answers: Collection[Answer]) -> None:
        """Be slower or faster, as they say."""
        provider, lane = provider_of(host.name), attempt.lane
        if Answer.ACCEPTED in answers:
            count("a3_relay_taken_total", provider)
        if Answer.THROTTLED in answers:
            count("a3_relay_throttled_total", provider)
            if self._paces.slower(lane):
                gap = round(self._paces.gap(lane), 1)
                emit("relay.slower", level="warning", lane=lane, host=host.name, gap=gap)
        elif Answer.ACCEPTED in answers:
            self._paces.faster(lane)

    # --- a mail ------------------------------------------------------------------------------------

    async def _send(self, session: Session, host: Host, attempt: _Attempt, *, kept: bool) -> bool:
        """Transactions until every recipient has an answer; False when the session gave none at all."""
        if lacking := cannot(session, host, attempt.envelope):
            attempt.refusals.append(replace(lacking, host=host.name))
            await self._kept.keep(host, attempt.way, session)
            return False
        while left := attempt.left:
            batch, envelope = left[: session.recipients_max], attempt.envelope
            if len(batch) < len(envelope.recipients):
                people = tuple(envelope.recipients[n] for n in batch)
                envelope = msgspec.structs.replace(envelope, recipients=people)
            outcomes, sent = await session.send(envelope, attempt.octets, attempt.sign)
            if session.closed and not sent and _unanswered(outcomes):
                self._learn(host, attempt, (classify(outcomes[0].reply, provider_of(host.name)),))
                if not kept:
                    attempt.refusals.append(replace(outcomes[0].reply, host=host.name))
                return False
            self._take_results(host, session, attempt, batch, outcomes)
            if session.closed and attempt.left:
                self._rest(attempt, outcomes[-1].reply, "waiting")
        await self._kept.keep(host, attempt.way, session)
        return True

    def _take_results(
        self,
        host: Host,
        session: Session,
        attempt: _Attempt,
        batch: Sequence[int],
        outcomes: Sequence[Outcome],
    ) -> None:
        """Who was one too many is asked for again at once while others get through (RFC 5321 4.5.3.1.10)."""
        some = any(outcome.status is Status.RELAYED for outcome in outcomes)
        provider = provider_of(host.name)
        answers = [classify(outcome.reply, provider) for outcome in outcomes]
        for number, outcome, answer in zip(batch, outcomes, answers, strict=True):
            if some and _is_crowded(outcome) and not session.closed:
                continue
            attempt.results[number] = Result(
                STATES[outcome.status], outcome.reply, host.name, session.confirms, session.times,
                answer=answer, tls=session.plan.word,
            )  # fmt: skip
        self._learn(host, attempt, answers)

    # --- sessions kept -----------------------------------------------------------------------------

    def sweep(self) -> None:
        """Leave sessions that have been idle too long; the queue's loop calls it, too."""
        self._kept.sweep()

    @property
    def idle(self) -> int:
        """How many sessions wait for a mail."""
        return len(self._kept)

    def retire(self) -> None:
        """Another relay takes over: sessions end with the mail they have in hand."""
        self._kept.retire()

    async def close(self) -> None:
        """End all idle sessions politely."""
        await self._kept.close()


STATES: Final = {Status.RELAYED: "relayed", Status.PERMANENT: "failed", Status.TRANSIENT: "waiting"}


def _lane(hosts: Sequence[Host], way: Way) -> str:
    """Whose patience counts for these hosts, and with which of our addresses."""
    lane = lane_of(min(host.name for host in hosts))
    return f"{lane} from {way.sources[0]}" if way.sources else lane


def place_of(host: Host) -> str:
    """A host as others know it, whatever domain led to it."""
    return f"{host.name}:{host.port}"


def _is_crowded(outcome: Outcome) -> bool:
    """Too many recipients, by the code or by a server that says no more than 452 or 552."""
    if outcome.status is not Status.TRANSIENT or outcome.reply.code not in (452, 552):
        return False
    return outcome.reply.enhanced[2:] in ("5.3", "0.0")


def _unanswered(outcomes: Sequence[Outcome]) -> bool:
    """The session ended before any recipient was answered for: another host, or a fresh session, may do."""
    first = outcomes[0]
    return first.status is Status.TRANSIENT and all(o.reply is first.reply for o in outcomes)


def ourselves(settings: Settings) -> Ourselves:
    """Names and addresses that are this server's own."""
    listen = set(settings.server.listen)
    if listen & {"0.0.0.0", "::", "*"}:  # noqa: S104 - compared, not bound
        listen |= {"127.0.0.1", "::1"}
    return Ourselves(
        frozenset((settings.server.hostname.lower(),)), frozenset(listen), 25 + settings.server.port_base
    )
