"""Row 10: who guesses recipients learns of a few an hour, whatever way he asks."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from a3mailer.config.tree import Limits, Policy
from a3mailer.edge.smtp import session as door
from a3mailer.runtime.shared import SharedTable
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.memory_connection import MemoryConnection, Stage
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.policy.checks import CHECKS
from a3mailer.transfer.policy.checks.rate import HALF_LIFE
from a3mailer.transfer.policy.stages import Stages
from tests.transcripts.smtp_world import SmtpWorld

PROBES = 5000
KNOWN = 250
RATE = 100


class Harvested:
    """A world whose stages count; waits are not waited but added up."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = SmtpWorld(folder)
        policy = Policy(unknown_rate=RATE, helo=False, sender_domain=False)
        settings = msgspec.structs.replace(self.world.settings, policy=policy, limits=Limits())
        self.world.settings = settings
        self.clock = FakeClock()
        table = SharedTable(256, HALF_LIFE)
        stages = Stages(CHECKS, FakeResolver(), self.clock, table, SharedTable(64, 1.0), settings)
        self.world.door.policy._stages = stages
        self.waited = 0.0
        monkeypatch.setattr(door.asyncio, "sleep", self._sleep)
        for number in range(KNOWN):
            self.world.rows.put_account(f"known{number}@example.test")

    async def _sleep(self, seconds: float) -> None:
        self.waited += seconds

    async def session(self, ip: str, *lines: bytes) -> list[bytes]:
        """The replies after the greeting, up to the end."""
        connect = lambda number: MemoryConnection((ip, 40000))  # noqa: E731
        async with Stage(self.world.serve, connect) as stage:
            session = stage.open(1)
            await session.greeting()
            said = await session.feed(b"HELO x\r\n" + b"".join(lines) + b"QUIT\r\n")
        return said.split(b"\r\n")[1:-1]


def guesses(rng: random.Random) -> list[tuple[bytes, bool]]:
    """Names to guess, and which of them exist: one of twenty."""
    names = [(b"known%d" % n, True) for n in range(KNOWN)]
    names += [(b"nobody%d" % n, False) for n in range(PROBES - KNOWN)]
    rng.shuffle(names)
    return names


async def test_row_10_five_thousand_recipients_are_guessed_from_one_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: random.Random
) -> None:
    here = Harvested(tmp_path, monkeypatch)
    names, learnt, put_off = guesses(rng), 0, 0
    for at in range(0, PROBES, 10):
        some = [b"RCPT TO:<" + name + b"@example.test>\r\n" for name, _ in names[at : at + 10]]
        replies = await here.session("192.0.2.1", b"MAIL FROM:<a@example.org>\r\n", *some)
        put_off += replies[0][:1] == b"4" and b" 4.7.28 " in replies[0]
        learnt += sum(reply[:7] in (b"250 2.1", b"550 5.1") for reply in replies[1:])
        if replies[0][:1] == b"4":  # the same for those who exist and those who do not
            assert {reply[:3] for reply in replies[1:-1]} <= {b"503"}, replies
    assert learnt <= RATE * 1.2, learnt
    assert put_off >= PROBES / 10 - 2 * RATE / 10 - 2
    assert here.waited >= 10 * Limits().tarpit_seconds
    # others have their mail meanwhile, and in an hour he may guess a few more
    assert (await here.session("192.0.2.2", b"MAIL FROM:<a@example.org>\r\n"))[0].startswith(b"250")
    here.clock.advance(2 * 3600)
    assert (await here.session("192.0.2.1", b"MAIL FROM:<a@example.org>\r\n"))[0].startswith(b"250")


async def test_row_10_nothing_else_tells_who_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """VRFY, EXPN and HELP say the same of everybody; EXPN names no members."""
    here = Harvested(tmp_path, monkeypatch)
    for verb in (b"VRFY", b"EXPN", b"HELP"):
        replies = [
            await here.session("192.0.2.1", verb + b" " + name + b"\r\n")
            for name in (b"known1", b"nobody1", b"known1@example.test", b"nobody1@example.test", b"sales")
        ]
        assert len({tuple(each) for each in replies}) == 1, replies


async def test_row_10_mails_in_between_buy_no_more_guesses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail that is taken clears a session's refusals, not the network's."""
    here = Harvested(tmp_path, monkeypatch)
    mail = b"RCPT TO:<bob@example.test>\r\nDATA\r\nx\r\n.\r\n"
    learnt = 0
    for session in range(50):
        lines = [
            b"MAIL FROM:<a@example.org>\r\nRCPT TO:<nobody%d-%d@example.test>\r\n" % (session, n) + mail
            for n in range(10)
        ]
        replies = await here.session("192.0.2.1", *lines)
        learnt += sum(reply.startswith(b"550 5.1") for reply in replies)
    assert RATE - 1 <= learnt <= RATE + 1
