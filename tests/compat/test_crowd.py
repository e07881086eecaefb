"""Several IMAP clients in one mailbox at once, on two workers: none is told what cannot be."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from tests.compat.crowd import Ground, Member, agree
from tests.rig import Rig

ROUNDS = 4
ROUNDS_LONG = 400
ACTS = 8
"""What each does between two looks at what all believe, at most."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("crowd"), workers=2) as rig:
        yield rig


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("rounds", [ROUNDS, pytest.param(ROUNDS_LONG, marks=pytest.mark.long)])
async def test_a_crowd_in_one_mailbox(
    rig: Rig, request: pytest.FixtureRequest, size: int, rounds: int
) -> None:
    seed = f"{request.config.getoption('randomly_seed')}/{size}/{rounds}"
    print(f"drawn with seed {seed}")
    await play(rig, seed, size, rounds)


async def play(rig: Rig, seed: str, size: int, rounds: int) -> None:
    draw = random.Random(seed)
    ground = Ground(b"crowd-%d-%d" % (size, rounds), b"other-%d-%d" % (size, rounds))
    members = [Member(ground, rig, number, random.Random(draw.random())) for number in range(size)]
    for member in members:
        await member.open()
    for name in (ground.mailbox, ground.other):
        await members[0].plain(b"CREATE " + name)
    try:
        for member in members:
            await member.select()
        for _ in range(rounds):
            async with asyncio.TaskGroup() as group:
                for member in members:
                    group.create_task(acts(member, draw.randint(1, ACTS)))
            await agree(members)
    except BaseException:
        for member in members:
            print(member.name, *[line.decode("latin-1").rstrip() for line in member.log], sep="\n")
        raise
    finally:
        for member in members:
            await member.close()


async def acts(member: Member, count: int) -> None:
    for _ in range(count):
        await member.act()
