"""The daily look at every domain: when it is due, what is kept, and what becomes an event."""

from __future__ import annotations

import asyncio
import json
import pathlib
import random

import pytest

from a3mailer.app.cli.server import looks, troubles
from a3mailer.mail.ids import TenantId
from a3mailer.ops import domain_history as history
from a3mailer.ops.domain_check import Section
from a3mailer.ops.domain_watch import FIRST_SECONDS, JITTER, DomainWatch
from a3mailer.store.rows import Domain
from a3mailer.telemetry.events import LOG
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.resolver import FakeResolver

DAY = 86400.0
GOOD, BAD = Section("mx"), Section("mx", errors=("no MX record",), instructions=("Publish: it",))
POOR, SILENT = Section("mx", warnings=("odd",)), Section("mx", not_checked=("no answer",))


class World:
    """Two domains; what is found of the first is what a test says."""

    def __init__(self, place: pathlib.Path, seed: int = 1) -> None:
        self.place = place
        self.clock = FakeClock()
        self.names = ["a.test", "b.test"]
        self.found: Section | Exception = GOOD
        self.asked: list[str] = []
        self.hours = 24.0
        self.watch = self.begun(seed)

    def begun(self, seed: int) -> DomainWatch:
        chance = random.Random(seed)
        return DomainWatch(
            self,  # type: ignore[arg-type]
            self.place,
            FakeResolver(),
            self.clock,
            lambda: self.hours,
            self.examine,
            chance,
        )

    async def domains(self) -> tuple[Domain, ...]:
        return tuple(Domain(TenantId(1), name, "", "{}") for name in self.names)

    async def examine(self, domain: str) -> tuple[str, tuple[Section, ...]]:
        self.asked.append(domain)
        found = self.found if domain == "a.test" else GOOD
        if isinstance(found, Exception):
            raise found
        return "libunbound", (found, Section("spf"))

    async def look(self) -> list[str]:
        """Whom one look asks about."""
        self.asked.clear()
        await self.watch.look_at_domains(asyncio.Event())
        return list(self.asked)


def events(capfd: pytest.CaptureFixture[str]) -> list[tuple[str, str, str]]:
    LOG.flush()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    return [(e["event"], e["level"], e.get("now", "")) for e in lines if e["event"] != "domain.checked"]


async def test_every_domain_once_a_day_also_across_restarts(tmp_path: pathlib.Path) -> None:
    world = World(tmp_path)
    assert await world.look() == ["a.test", "b.test"] and await world.look() == []
    world.clock.advance(DAY * (1 - JITTER) - 1)
    world.watch = world.begun(2)
    assert await world.look() == []
    world.clock.advance(DAY * 2 * JITTER + 2)
    assert await world.look() == ["a.test", "b.test"]
    world.clock.jump(-30 * DAY)  # looks of the future are no looks
    assert await world.look() == ["a.test", "b.test"]
    world.names.append("c.test")
    assert await world.look() == ["c.test"]
    world.names.remove("a.test")
    world.clock.advance(2 * DAY)
    assert await world.look() == ["b.test", "c.test"]
    assert set(history.read(tmp_path)) == {"b.test", "c.test"}
    world.hours = 0.0
    world.clock.advance(2 * DAY)
    assert await world.look() == []


async def test_what_becomes_worse_is_an_event_and_so_is_what_mends(
    tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path)
    world.found = POOR
    said = []
    for found in (POOR, GOOD, SILENT, BAD, SILENT, BAD, POOR, GOOD, SILENT, GOOD, OSError("disk"), BAD):
        world.found = found
        assert "a.test" in await world.look()
        world.clock.advance(2 * DAY)
        said.append(events(capfd))
    assert said == [
        [],  # of the first look nothing is known to have changed
        [("domain.better", "info", "ok")],
        [],
        [("domain.worse", "error", "error")],
        [],
        [],
        [("domain.better", "info", "warning")],
        [("domain.better", "info", "ok")],
        [],
        [],
        [("domain.look.failed", "error", "")],
        [("domain.worse", "error", "error")],
    ]


async def test_the_last_result_is_kept_and_shown(tmp_path: pathlib.Path) -> None:
    world = World(tmp_path)
    world.found = BAD
    await world.look()
    world.found = SILENT  # nothing new is known, so what was known stays
    world.clock.advance(2 * DAY)
    await world.look()
    kept = history.read(tmp_path)["a.test"]
    assert kept.sections == (BAD, Section("spf")) and kept.validated_by == "libunbound"
    shown = looks(tmp_path)
    assert shown["a.test"] == {"checked": int(world.clock.now()), "errors": 1, "warnings": 0}
    assert list(troubles(shown)) == ["a.test has 1 errors in the DNS (a3mailer domain check a.test)"]
    for octets in (b"", b"[]", b'{"a.test": {}}', b'{"a.test": 1}', b"\xff"):
        (tmp_path / history.FILE).write_bytes(octets)
        assert looks(tmp_path) == {} == history.read(tmp_path)
    assert await world.look() == ["a.test", "b.test"]


async def test_the_first_look_is_not_at_the_start(tmp_path: pathlib.Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    world = World(tmp_path, seed)
    for after, asked in ((0.0, False), (FIRST_SECONDS[0] - 1, False), (FIRST_SECONDS[1], True)):
        world.clock.advance(after)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(world.watch.run(stop))
            for _ in range(200):
                await asyncio.sleep(0.001)
                if asked and len(world.asked) == 2:
                    break
            stop.set()
        assert task.done() and bool(world.asked) is asked
