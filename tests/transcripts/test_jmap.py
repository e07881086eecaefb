"""Every JMAP transcript, whole and one octet at a time; every method has one."""

import pathlib

import pytest

from a3mailer.edge.http.jmap.capabilities import CAPABILITIES
from a3mailer.edge.http.jmap.methods import METHODS
from a3mailer.identity.roles import RULES
from a3mailer.testing.transcript import MODES, Player, Transcript, case_id, cases
from tests.transcripts.jmap_world import JmapSession, JmapWorld

HERE = pathlib.Path(__file__).parent / "jmap"


@pytest.mark.parametrize(("path", "mode"), cases(HERE), ids=case_id)
async def test_transcript(path: pathlib.Path, mode: str) -> None:
    world = JmapWorld(Transcript.load(path).options)
    await world.fill()
    try:
        async with world.stage() as stage:
            await Player(lambda number: JmapSession(stage.open(number), MODES[mode])).play(path)
    finally:
        world.close()


def test_every_method_has_a_transcript_a_rule_and_a_capability() -> None:
    played = "".join(path.read_text("utf-8") for path in HERE.glob("*.transcript"))
    assert not [each.name for each in METHODS if f'["{each.name}",' not in played]
    assert not {each.action for each in METHODS} - RULES.keys()
    assert not {each.capability for each in METHODS} - {each.urn for each in CAPABILITIES}
    assert len({each.name for each in METHODS}) == len(METHODS)
