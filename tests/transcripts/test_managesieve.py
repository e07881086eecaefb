"""Every ManageSieve transcript, whole and one octet at a time."""

import pathlib
from typing import get_args

import pytest

from a3mailer.edge.managesieve.answers import ANSWERS
from a3mailer.testing.memory_connection import Stage
from a3mailer.testing.transcript import MODES, Player, Transcript, case_id, cases
from a3mailer.wire.managesieve.commands import TABLE, Command
from a3mailer.wire.managesieve.engine import Response, TooLarge
from tests.transcripts.managesieve_world import ManageSieveWorld

HERE = pathlib.Path(__file__).parent / "managesieve"


@pytest.mark.parametrize(("path", "mode"), cases(HERE), ids=case_id)
async def test_transcript(path: pathlib.Path, mode: str, tmp_path: pathlib.Path) -> None:
    world = ManageSieveWorld(tmp_path, Transcript.load(path).options)
    await world.fill()
    try:
        async with Stage(world.serve, world.connect) as stage:
            await Player(stage.open, MODES[mode]).play(path)
    finally:
        world.close()


def test_every_command_has_its_transcript_and_its_answer() -> None:
    played = {path.stem.upper().encode() for path in HERE.glob("*.transcript")}
    assert not TABLE.keys() - played
    assert {*get_args(Command), Response, TooLarge} == ANSWERS.keys()
