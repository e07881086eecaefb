"""The stages in a session: refusals, notes in the header, and that there is nothing where nobody looks."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from a3mailer.config.tree import Dns, Policy, Server, Settings
from a3mailer.mail.envelope import Client
from a3mailer.runtime.shared import SharedTable
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.memory_connection import Stage as MemoryStage
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.policy.checks import CHECKS
from a3mailer.transfer.policy.stages import (
    STRANGERS,
    UNCHECKED,
    Check,
    Doors,
    Facts,
    Finding,
    Stage,
    Stages,
    field_of,
)
from tests.transcripts.smtp_world import SmtpWorld


class Says:
    """A check that has something against everybody, or fails."""

    name: ClassVar[str] = "says"
    protocols: ClassVar[frozenset[str]] = STRANGERS
    judges: ClassVar[bool] = True

    def __init__(
        self, stage: Stage, status: str = "5.7.1", *, broken: bool = False, binding: bool = True
    ) -> None:
        self.stage = stage
        self.status = status
        self.broken = broken
        self.binding = binding

    def wanted(self, settings: Settings) -> bool:
        return True

    async def look(self, facts: Facts, doors: Doors) -> Finding | None:
        if self.broken:
            raise ZeroDivisionError
        return Finding("not\r\nyou; at all", self.status, self.binding)


def stages(*checks: Check, **settings: object) -> Stages:
    chosen = Settings(dns=Dns(servers=("127.0.0.1:53",)), **settings)  # type: ignore[arg-type]
    tables = SharedTable(64, 1.0), SharedTable(64, 1.0)
    return Stages(checks, FakeResolver(), FakeClock(), *tables, chosen)


async def said(world: SmtpWorld, given: Stages, *octets: bytes) -> bytes:
    world.door.policy._stages = given
    async with MemoryStage(world.serve, world.connect) as stage:
        session = stage.open(1)
        out = await session.greeting()
        for each in octets:
            out += await session.feed(each)
    return out


REFUSALS = {
    Stage.CONNECT: b"554 5.7.1 not??you? at all\r\n",
    Stage.EHLO: b"\r\n550 5.7.1 not??you? at all\r\n503",
    Stage.MAIL: b"\r\n550 5.7.1 not??you? at all\r\n503",
    Stage.RCPT: b"250 2.1.0 sender OK\r\n550 5.7.1 not??you? at all\r\n503",
    Stage.DATA: b"250 2.1.5 recipient OK\r\n550 5.7.1 not??you? at all\r\n",
}
MAIL = b"EHLO mx.b.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n"
CONTENT = b"Subject: x\r\n\r\ny\r\n.\r\n"


@pytest.mark.parametrize("stage", REFUSALS)
async def test_a_check_refuses_at_its_stage(tmp_path: Path, stage: Stage) -> None:
    world = SmtpWorld(tmp_path)
    out = await said(world, stages(Says(stage)), MAIL)
    assert REFUSALS[stage] in out
    assert not world.kept.arrivals


async def test_a_refusal_after_login(tmp_path: Path) -> None:
    class AtAuth(Says):
        protocols: ClassVar[frozenset[str]] = frozenset(("submission",))

    world = SmtpWorld(tmp_path, {"profile": "submissions"})
    out = await said(
        world,
        stages(AtAuth(Stage.AUTH)),
        b"EHLO x\r\nAUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQtYQ==\r\n",
    )
    assert out.endswith(b"\r\n550 5.7.1 not??you? at all\r\n")


async def test_a_transient_refusal_asks_to_come_back(tmp_path: Path) -> None:
    out = await said(SmtpWorld(tmp_path), stages(Says(Stage.RCPT, "4.7.1")), MAIL)
    assert b"\r\n451 4.7.1 not??you? at all\r\n" in out


async def test_a_domain_that_takes_no_mail_is_told_by_its_own_code(tmp_path: Path) -> None:
    out = await said(SmtpWorld(tmp_path), stages(Says(Stage.RCPT, "5.1.10")), MAIL)
    assert b"\r\n556 5.1.10 not??you? at all\r\n" in out


@pytest.mark.parametrize("stage", REFUSALS)
async def test_what_does_not_refuse_is_noted_for_the_header(tmp_path: Path, stage: Stage) -> None:
    world = SmtpWorld(tmp_path)
    out = await said(world, stages(Says(stage, binding=False)), MAIL, CONTENT, MAIL[16:], CONTENT)
    assert out.count(b"250 2.0.0 accepted") == 2
    first, second = world.kept.arrivals
    if stage is not Stage.RCPT:
        assert first.notes == second.notes == ("says=not??you? at all",)
    assert field_of(first.notes) == b"X-A3-Checks: says=not??you? at all\r\n"


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA])
async def test_a_finding_of_one_mail_is_not_noted_for_the_next(tmp_path: Path, stage: Stage) -> None:
    class OfTheFirst(Says):
        asked = 0

        async def look(self, facts: Facts, doors: Doors) -> Finding | None:
            self.asked += 1
            return await super().look(facts, doors) if self.asked == 1 else None

    world = SmtpWorld(tmp_path)
    await said(world, stages(OfTheFirst(stage, binding=False)), MAIL, CONTENT, MAIL[16:], CONTENT)
    first, second = world.kept.arrivals
    assert first.notes == ("says=not??you? at all",) and second.notes == ()


async def test_the_operator_says_whose_findings_refuse(tmp_path: Path) -> None:
    given = stages(Says(Stage.MAIL, binding=False), policy=Policy(refuse=("says",)))
    assert REFUSALS[Stage.MAIL] in await said(SmtpWorld(tmp_path), given, MAIL)


async def test_a_check_that_is_broken_refuses_nothing_and_says_so(tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path)
    out = await said(world, stages(Says(Stage.MAIL, broken=True)), MAIL, CONTENT)
    assert b"250 2.0.0 accepted" in out
    assert world.kept.arrivals[0].notes == ("says=failed",)


def test_nobody_is_checked_under_plain_and_strangers_on_this_machine_only_with_name_servers() -> None:
    stranger, here, lmtp = (
        Client("192.0.2.1", 1),
        Client("127.0.0.1", 1),
        Client("192.0.2.1", 1, protocol="LMTP"),
    )
    given = stages(*CHECKS, policy=Policy(greylist=True))
    assert given.course(stranger, "").has(Stage.RCPT) and given.course(here, "").has(Stage.RCPT)
    assert given.course(lmtp, "") is UNCHECKED
    given.reconfigure(Settings(policy=Policy(greylist=True)))
    assert given.course(stranger, "").has(Stage.RCPT) and given.course(here, "") is UNCHECKED
    given.reconfigure(Settings(server=Server(profile="plain"), policy=Policy(greylist=True)))
    assert given.course(stranger, "") is UNCHECKED
    assert UNCHECKED.notes == () and not any(UNCHECKED.has(stage) for stage in Stage)
