"""The compliance suite of checks: ``class TestMine(CheckCompliance): check = Mine()``.

A check is pure (the same answers of its doors give the same finding and change nothing but its tables), keeps
its time (it is cancelled cleanly), and never raises on whatever a client may say.
"""

from __future__ import annotations

import asyncio
import random
from typing import ClassVar, Final

from a3mailer.config.tree import Dns, Policy, Settings
from a3mailer.mail.address import NULL_PATH, Address, ReversePath
from a3mailer.mail.envelope import Client, Envelope, Recipient
from a3mailer.mail.errors import Refused
from a3mailer.mail.ids import DEFAULT_TENANT
from a3mailer.runtime.resolver import Answer, ResolverFailure
from a3mailer.runtime.shared import SharedTable
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.policy.stages import MAX_NOTE, Check, Course, Doors, Facts, Finding, Stage, field_of
from a3mailer.transfer.route import Remote

CASES: Final = 300
EVERYTHING: Final = Policy(
    dnsbl=("bl.test",),
    domain_lists=("dl.test",),
    greylist=True,
    recipient_domain=True,
    sender_rate=1,
    domain_rate=2,
    network_rate=3,
    account_rate=4,
    account_recipients=3,
    account_domain_rate=5,
    account_domain_recipients=4,
    recipient_rate=1,
    seconds=0.02,
)
"""Settings under which every check of ours is wanted."""
WORDS: Final = (
    "", ".", "..", "a", "a.test", "xn--bcher-kva.test", "bücher.test", "[192.0.2.1]", "[IPv6:::1]", "[", "\0",
    "a" * 300, "a." * 200, "\r\nX: y", "\ud800", "-", "_dmarc.a.test", "1.2.3.4", "mx.example.test", ";",
)  # fmt: skip
ADDRESSES: Final = ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0", "127.0.0.1", "")


class Silent:
    """A resolver that never answers."""

    async def lookup(self, name: str, kind: str) -> Answer:
        await asyncio.Event().wait()
        raise ResolverFailure

    def known(self, name: str, kind: str) -> Answer | None:
        return None


def doors(resolver: object | None = None, settings: Settings | None = None) -> Doors:
    """Doors of their own, at one and the same time."""
    chosen = settings or Settings(policy=EVERYTHING, dns=Dns(servers=("127.0.0.1:53",)))
    tables = (SharedTable(8192, 3600.0), SharedTable(8192, 86400.0))
    return Doors(chosen, resolver or FakeResolver(), FakeClock(), *tables)  # type: ignore[arg-type]


def facts(rng: random.Random) -> Facts:
    """What some client could have said."""

    def address() -> Address:
        return Address(rng.choice(WORDS), rng.choice(WORDS))

    path = NULL_PATH if rng.random() < 0.2 else ReversePath(address())
    protocol = rng.choice(("SMTP", "submission", "LMTP"))
    client = Client(rng.choice(ADDRESSES), rng.randrange(65536), rng.choice(WORDS), protocol=protocol)
    if rng.random() < 0.2:
        return Facts(client, Envelope(path))
    to = address()
    return Facts(client, Envelope(path), Recipient(to), (Remote(to, DEFAULT_TENANT),))


class CheckCompliance:
    """Subclass it with ``check``; pytest collects the tests."""

    check: ClassVar[Check]
    settings: ClassVar[Settings | None] = None
    """Under which it is wanted; by default those of EVERYTHING."""

    def test_it_says_what_it_is(self) -> None:
        check = self.check
        assert check.name.isidentifier() and isinstance(check.stage, Stage)
        assert check.protocols and check.protocols <= {"SMTP", "submission", "LMTP"}
        assert check.wanted(doors(settings=self.settings).settings)

    async def test_whatever_a_client_says_it_finds_the_same_and_raises_nothing(self) -> None:
        seed = random.randrange(1 << 32)
        print("seed", seed)
        one, other = doors(settings=self.settings), doors(settings=self.settings)
        for made in (one, other):
            rng, found = random.Random(seed), []
            for _ in range(CASES):
                finding = await self.check.look(facts(rng), made)
                assert finding is None or isinstance(finding, Finding)
                if finding is not None:
                    Refused(finding.text, finding.status)
                    assert finding.status[:2] in ("4.", "5.") and finding.text
                found.append(finding)
            if made is one:
                first = found
        assert first == found

    async def test_a_resolver_that_fails_makes_it_say_so_or_nothing(self) -> None:
        class Failing:
            async def lookup(self, name: str, kind: str) -> Answer:
                raise ResolverFailure(name)

        rng = random.Random(1)
        made = doors(Failing(), self.settings)
        for _ in range(CASES):
            course = Course({self.check.stage: (self.check,)}, made, "")
            try:
                await course.run(self.check.stage, facts(rng))
            except Refused as error:
                assert error.transient
            assert "failed" not in "".join(course.notes)

    async def test_its_time_is_kept_and_nothing_is_refused_when_it_is_over(self) -> None:
        made = doors(Silent(), self.settings)
        rng = random.Random(2)
        for _ in range(20):
            course = Course({self.check.stage: (self.check,)}, made, "")
            said = facts(rng)
            async with asyncio.timeout(30):
                try:
                    await course.run(self.check.stage, said)
                except Refused:
                    continue
            lines = field_of(course.notes).decode("ascii").split("\r\n")
            assert all(line.startswith(("X-A3-Checks: ", "\t")) for line in lines if line)
            assert all(len(line) <= MAX_NOTE + 40 for line in lines)
