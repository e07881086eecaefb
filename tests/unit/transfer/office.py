"""A World with a queue that hands mail to a peer: the way a mail takes out of the house."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from msgspec import structs

from a3mailer.config.tree import Queue as QueueSettings
from a3mailer.config.tree import Server, Settings
from a3mailer.mail.ids import DEFAULT_TENANT, AccountId
from a3mailer.mail.message import index
from a3mailer.store.operations import (
    Claimed,
    ClaimQueue,
    Enqueue,
    QueueRecipient,
    RecipientOutcome,
    SettleQueue,
)
from a3mailer.store.ports import Content, Transaction
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.bounce import Voice
from a3mailer.transfer.queue.attempt import LEASE_SECONDS, Attempt, Desk
from a3mailer.transfer.queue.queue import Queue
from a3mailer.transfer.relay.relay import Relay
from a3mailer.transfer.relay.session import Manners
from a3mailer.transfer.schedule import Schedule
from a3mailer.wire.dsn.parse import parse
from a3mailer.wire.dsn.report import Report
from tests.unit.transfer.world import World

CONTENT = b"Received: from x by y; date\r\nFrom: <alice@a.test>\r\nMessage-ID: <1@a.test>\r\n\r\nHello.\r\n"

EVERYWHERE = ("0.0.0.0/0", "::/0")


async def refuse(address: str, port: int, seconds: float) -> Any:
    """A dialler that reaches nobody."""
    raise ConnectionRefusedError(f"{address}:{port}: connection refused")


class Office(World):
    """``dial`` is the peer; ``resolver`` knows ``b.test`` with one MX at 192.0.2.1."""

    def __init__(
        self, dial: Any = refuse, queue: QueueSettings | None = None, *, lmtp: bool = False, seed: int = 1
    ) -> None:
        server = Server(hostname="mail.a.test", domain="a.test", listen=("192.0.2.250",))
        queue = queue or QueueSettings()
        queue = structs.replace(queue, inside=queue.inside or EVERYWHERE)
        super().__init__(Settings(server=server, queue=queue))
        self.resolver = FakeResolver()
        self.chance = random.Random(seed)
        self.dial = dial
        self.lmtp = lmtp
        self.relay = self.make_relay()
        self.desk = self.make_desk("worker-1")

    def make_relay(self) -> Relay:
        """One by the settings that hold now."""
        manners = Manners("mail.a.test", object(), self.lmtp)
        return Relay(self.resolver, self.dial, manners, self.settings, self.clock, self.chance)

    def make_desk(self, owner: str) -> Desk:
        schedule = Schedule.of(self.settings.queue)
        return Desk(
            self.store,
            self.policy,
            self.relay,
            schedule,
            self.clock,
            self.chance,
            owner,
            Voice.of(self.settings),
            asyncio.Semaphore(4),
        )

    def make_queue(self) -> Queue:
        """The loop of another worker, with the same relay."""
        queue = Queue(
            self.store, self.policy, self.resolver, self.dial, object(), self.settings, self.clock, "worker-0"
        )
        queue._desk = self.make_desk("worker-0")
        return queue

    async def enqueue(
        self,
        *recipients: str | QueueRecipient,
        sender: str = "alice@a.test",
        content: bytes = CONTENT,
        **fields: Any,
    ) -> int:
        """Put a mail of alice's into the queue; returns its id."""
        people = tuple(QueueRecipient(r) if isinstance(r, str) else r for r in recipients)
        account = AccountId(self.alice.id)
        operation = Enqueue(account, DEFAULT_TENANT, 0, sender, people, trace="t", **fields)
        (made,) = await self.store.commit(Transaction((operation,), (Content(content, index(content)),)))
        return int(made.queue)  # type: ignore[attr-defined]

    async def attempt(self) -> int:
        """One attempt at everything that is due, in order of arrival; returns how many entries that were."""
        now = int(self.clock.now())
        (claimed,) = await self.store.commit(
            Transaction((ClaimQueue(self.desk.owner, now, now + LEASE_SECONDS),))
        )
        assert isinstance(claimed, Claimed)
        for queue in claimed.queues:
            await Attempt(self.desk, await self.store.queue_entry(queue)).run()
        return len(claimed.queues)

    async def run_for(self, seconds: float, queue: Queue | None = None) -> None:
        """The real loop, for so many real seconds at most; it ends when it has nothing in hand."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task((queue or self.make_queue()).run(stop))
            await asyncio.sleep(seconds)
            stop.set()

    @property
    def outcomes(self) -> list[RecipientOutcome]:
        """Every attempt that was recorded, in order."""
        return [outcome for outcome in self.settled if outcome.tried]

    @property
    def put_off(self) -> list[RecipientOutcome]:
        """Everybody who was put off, in order."""
        return [outcome for outcome in self.settled if not outcome.tried]

    @property
    def settled(self) -> list[RecipientOutcome]:
        """Everything that was recorded, in order."""
        return [
            outcome
            for transaction in self.store.transactions
            for operation in transaction.operations
            if isinstance(operation, SettleQueue)
            for outcome in operation.outcomes
        ]

    @property
    def notices(self) -> list[Report]:
        """Notifications that were queued, those already delivered included."""
        return [
            report
            for transaction in self.store.transactions
            for operation in transaction.operations
            if isinstance(operation, Enqueue) and not operation.reverse_path
            if (report := parse(bytes(transaction.contents[operation.content].octets))) is not None
        ]
