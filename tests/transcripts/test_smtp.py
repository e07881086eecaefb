"""Every SMTP and LMTP transcript, whole and one octet at a time."""

import pathlib

import pytest

from a3mailer.testing.memory_connection import Stage
from a3mailer.testing.transcript import MODES, Player, Transcript, case_id, cases
from tests.transcripts.smtp_world import SmtpWorld

HERE = pathlib.Path(__file__).parent


@pytest.mark.parametrize(("path", "mode"), cases(HERE / "smtp") + cases(HERE / "lmtp"), ids=case_id)
async def test_transcript(path: pathlib.Path, mode: str, tmp_path: pathlib.Path) -> None:
    options = Transcript.load(path).options
    world = SmtpWorld(tmp_path, options)
    async with Stage(world.serve, world.connect) as stage:
        await Player(stage.open, MODES[mode]).play(path)
    assert len(world.kept.arrivals) == int(options["stored"]), "mails stored"
    for word in options.get("envelope", "").split():
        name, _, value = word.partition(":")
        assert str(getattr(world.kept.arrivals[-1].envelope, name)) == value, word
    if "content" in options:
        assert world.kept.octets[-1] == options["content"].encode().decode("unicode_escape").encode("latin-1")
    assert not list(tmp_path.iterdir()), "no file is left"
