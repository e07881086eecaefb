"""Every POP3 transcript, whole and one octet at a time."""

import pathlib
from typing import get_args

import pytest

from a3mailer.access import view
from a3mailer.edge.pop3.answers import AT_ONCE, WAITING
from a3mailer.testing.memory_connection import Stage
from a3mailer.testing.transcript import MODES, Player, Transcript, case_id, cases
from a3mailer.wire.pop3.commands import TABLE, Command
from a3mailer.wire.pop3.engine import Refused, Response
from tests.transcripts.pop3_world import Pop3World

HERE = pathlib.Path(__file__).parent / "pop3"


@pytest.mark.parametrize(("path", "mode"), cases(HERE), ids=case_id)
async def test_transcript(path: pathlib.Path, mode: str, tmp_path: pathlib.Path) -> None:
    await play(path, mode, tmp_path)


@pytest.mark.parametrize("path", sorted(HERE.glob("*.transcript")), ids=lambda path: path.stem)
async def test_transcript_as_if_maildrops_were_large(
    path: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of which only the row is read at the login, contents come in pieces, and lists in slices."""
    monkeypatch.setattr(view, "READ_AT_ONCE", -1)
    monkeypatch.setattr("a3mailer.access.maildrop.WHOLE", 16)
    monkeypatch.setattr("a3mailer.access.maildrop.PIECE", 7)
    monkeypatch.setattr("a3mailer.access.maildrop.FAIR", 2)
    monkeypatch.setattr("a3mailer.edge.pop3.answers.FAIR", 2)
    await play(path, next(iter(MODES)), tmp_path)


async def play(path: pathlib.Path, mode: str, tmp_path: pathlib.Path) -> None:
    world = Pop3World(tmp_path, Transcript.load(path).options)
    await world.fill()
    try:
        async with Stage(world.serve, world.connect) as stage:
            await Player(stage.open, MODES[mode]).play(path)
    finally:
        world.close()


def test_every_command_has_its_transcript_and_its_answer() -> None:
    played = {path.stem.upper().encode() for path in HERE.glob("*.transcript")}
    assert not TABLE.keys() - played
    assert not {*get_args(Command), Refused, Response} - (AT_ONCE.keys() | WAITING.keys())
