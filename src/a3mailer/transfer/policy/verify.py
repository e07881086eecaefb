"""Does a recipient exist at the next server of a relayed domain? Asked there, remembered, never guessed.

Off by default (``policy.verify``). Who is not known there is refused at RCPT, so that nothing has to be sent
back to a sender who may be forged (attack row 8). Asked last, of what the other checks let through, once an
address at a time; what is remembered lies in one bounded table of all workers that outlives restarts. Where
the next server takes a random address it takes all: that is noticed, and it is asked no more.
"""

from __future__ import annotations

import asyncio
import random
import string
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import ClassVar, Final, Protocol

from a3mailer.config.tree import Settings
from a3mailer.identity.relaying import Relaying
from a3mailer.identity.throttle import network
from a3mailer.mail.address import Address
from a3mailer.mail.answers import Answer
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.shared import SharedTable
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.policy.checks.harvest import missed
from a3mailer.transfer.policy.checks.rate import over
from a3mailer.transfer.policy.stages import STRANGERS, Check, Doors, Facts, Finding, Stage
from a3mailer.transfer.relay.answers import classify
from a3mailer.transfer.relay.callout import Unreachable
from a3mailer.transfer.route import Remote
from a3mailer.wire.smtp.client import Outcome, Status

KEYS: Final = 65_536
HALF_LIFE: Final = 86_400.0
"""Of the table's order only."""
AT_ONCE: Final = 10
"""Questions of one process at a time; who has to wait for a place longer than his time is taken."""
REST_SECONDS: Final = 60.0
"""How long a next server that could not be asked, or an answer that says nothing, is left alone."""
SHARE: Final = 0.9
"""Of ``policy.seconds``: what is found out is told before the stage's time is over."""
RANDOM_LETTERS: Final = 20
BARE: Final = frozenset((550, 551, 553))
"""Codes that say by themselves that the mailbox is the reason (RFC 5321 section 4.2.3)."""
FILE: Final = "run/recipients"
"""Of the table, in the data directory."""


class Known(Enum):
    """What is known of an address. The values lie in the table: when it is full, the greater stays longer."""

    NOBODY = 2.0
    EXISTS = 16.0
    UNSAID = 1.0
    """The next server has not said."""


class Asks(Protocol):
    """``transfer.callout.Callout``."""

    async def ask(
        self, settings: Settings, relaying: Relaying, people: Sequence[Address]
    ) -> tuple[Outcome, ...]:
        """Errors: Unreachable."""
        ...


class Verification:
    """One object a process."""

    __slots__ = ("_asks", "_chance", "_clock", "_gate", "_relaying", "_table", "_under_way")

    def __init__(
        self,
        asks: Asks,
        relaying: Callable[[str], Awaitable[Relaying | None]],
        table: SharedTable,
        clock: Clock,
        chance: random.Random,
    ) -> None:
        """``relaying`` knows to whom mail for a domain goes on; ``table`` is that of all processes."""
        self._asks = asks
        self._relaying = relaying
        self._table = table
        self._clock = clock
        self._chance = chance
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._under_way: dict[Address, _Turn] = {}

    def checks(self) -> tuple[Check, ...]:
        """What looks at the stages."""
        return (VerifyRecipient(self),)

    async def find(self, address: Address, facts: Facts, doors: Doors) -> Finding | None:
        """What is to be said of a recipient."""
        relaying = await self._relaying(address.domain)
        if relaying is None or _accepts_all(self._table, address.domain, self._clock.now(), doors.settings):
            return None
        known = self._remembered(address, relaying, doors.settings)
        if known is None:
            if _asks_much(facts.client.ip, doors):
                return Finding("too many unknown recipients from this network", "4.7.28", binding=True)
            known = await self._asked(address, relaying, doors.settings)
        count("a3_callouts_total", known.name.lower())
        if known is Known.NOBODY:
            missed(facts.client, doors)
            return Finding("no such mailbox", "5.1.1", binding=True)
        if known is Known.UNSAID and doors.settings.policy.verify_failure == "tempfail":
            return Finding("it cannot be found out now whether this mailbox exists", "4.1.1", binding=True)
        return Finding("unsaid") if known is Known.UNSAID else None

    def _remembered(self, address: Address, relaying: Relaying, settings: Settings) -> Known | None:
        now = self._clock.now()
        for key in (_key(address), _key_of_server(address, relaying)):
            found = self._table.get(key)
            if found is not None and 0 <= now - found[1] < _seconds(found[0], settings):
                return Known(found[0])
        return None

    async def _asked(self, address: Address, relaying: Relaying, settings: Settings) -> Known:
        """Ask, or wait for who asks already; UNSAID when the time is over."""
        try:
            async with asyncio.timeout(settings.policy.seconds * SHARE), self._turn(address):
                known = self._remembered(address, relaying, settings)  # while this one waited for his turn
                if known is None:
                    async with self._gate:
                        known = await self._ask(address, relaying, settings)
        except TimeoutError:
            known = Known.UNSAID
        return known

    @asynccontextmanager
    async def _turn(self, address: Address) -> AsyncIterator[None]:
        """One at a time of an address."""
        turn = self._under_way.setdefault(address, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._under_way[address]

    async def _ask(self, address: Address, relaying: Relaying, settings: Settings) -> Known:
        probe = self._probe(address.domain, settings)
        reason = "no answer in the time"
        said: tuple[Outcome, ...] = ()
        try:
            said = await self._asks.ask(settings, relaying, (address, *probe))
        except Unreachable as error:
            reason = str(error)
        finally:
            if not said:  # the time is over, too
                emit("callout.failed", level="warning", domain=address.domain, reason=reason)
                self._keep(_key_of_server(address, relaying), Known.UNSAID)
        known = _known(said[0]) if said else Known.UNSAID
        self._keep(_key(address), known)
        if probe and len(said) > 1:
            self._learn(address.domain, _known(said[1]))
        return known

    def _probe(self, domain: str, settings: Settings) -> tuple[Address, ...]:
        """An address that nobody has, where it is not known yet what becomes of such."""
        if _said_of_nobody(self._table, domain, self._clock.now(), settings) is not None:
            return ()
        letters = "".join(self._chance.choice(string.ascii_lowercase) for _ in range(RANDOM_LETTERS))
        return (Address(letters, domain),)

    def _learn(self, domain: str, known: Known) -> None:
        if known is Known.EXISTS:
            emit("callout.accepts_all", level="warning", domain=domain)
        self._keep(_key_of_nobody(domain), known)

    def _keep(self, key: str, known: Known) -> None:
        with self._table.locked():
            self._table.put(key, known.value, self._clock.now())


class _Turn:
    """Who asks about an address, and who waits for that."""

    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


class VerifyRecipient:
    """Looks at RCPT, after the others."""

    name: ClassVar[str] = "verify"
    stage: ClassVar[Stage] = Stage.RCPT
    protocols: ClassVar[frozenset[str]] = STRANGERS
    judges: ClassVar[bool] = False

    def __init__(self, verification: Verification) -> None:
        self._verification = verification

    def wanted(self, settings: Settings) -> bool:
        return settings.policy.verify

    async def look(self, facts: Facts, doors: Doors) -> Finding | None:
        if len(facts.routes) != 1:
            return None
        (route,) = facts.routes
        if not isinstance(route, Remote) or not route.relayed:
            return None
        return await self._verification.find(route.address, facts, doors)


def _asks_much(ip: str, doors: Doors) -> bool:
    """Has somebody's network asked for too many addresses that we did not know of?"""
    limit = 0 if doors.settings.limits.profile == "off" else doors.settings.policy.verify_rate
    return bool(over(doors, ((f"callouts {network(ip) if ip else ip}", limit),)))


def _known(said: Outcome) -> Known:
    """What an answer says of the mailbox."""
    if said.status is not Status.PERMANENT:
        return Known.EXISTS if said.status is Status.RELAYED else Known.UNSAID
    answer = classify(said.reply)
    bare = said.reply.code in BARE and not said.reply.enhanced and answer is Answer.PERMANENT
    return Known.NOBODY if bare or answer is Answer.NO_SUCH_USER else Known.UNSAID


def _seconds(value: float, settings: Settings) -> float:
    """How long it is believed."""
    policy = settings.policy
    if value == Known.EXISTS.value:
        return policy.verify_known_seconds
    return policy.verify_unknown_seconds if value == Known.NOBODY.value else REST_SECONDS


def _key(address: Address) -> str:
    return f"address {address}"


def _key_of_server(address: Address, relaying: Relaying) -> str:
    return f"server {relaying} {'' if relaying.host else address.domain}"


def _key_of_nobody(domain: str) -> str:
    return f"nobody {domain}"


def _said_of_nobody(table: SharedTable, domain: str, now: float, settings: Settings) -> Known | None:
    """What the next server has said of a random address, not too long ago."""
    found = table.get(_key_of_nobody(domain))
    if found is None:
        return None
    known = Known(found[0])
    seconds = REST_SECONDS if known is Known.UNSAID else settings.policy.verify_known_seconds
    return known if 0 <= now - found[1] < seconds else None


def _accepts_all(table: SharedTable, domain: str, now: float, settings: Settings) -> bool:
    return _said_of_nobody(table, domain, now, settings) is Known.EXISTS


def table_of(directory: Path) -> SharedTable:
    """What is remembered in a data directory."""
    return SharedTable(KEYS, HALF_LIFE, directory / FILE)


def accepts_all(directory: Path, domain: str, now: float, settings: Settings) -> bool:
    """Was the next server of a domain found to take mail for everybody?"""
    if not settings.policy.verify or not (directory / FILE).exists():
        return False
    return _accepts_all(table_of(directory), domain, now, settings)
