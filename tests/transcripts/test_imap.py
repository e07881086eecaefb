"""Every IMAP transcript, whole and one octet at a time."""

import pathlib
import re

import pytest

from a3mailer.access import view
from a3mailer.config.tree import Imap
from a3mailer.edge.imap import capability
from a3mailer.edge.imap.commands import COMMANDS
from a3mailer.identity.roles import RULES
from a3mailer.testing.memory_connection import Stage
from a3mailer.testing.transcript import MODES, Player, Transcript, case_id, cases
from tests.transcripts.imap_world import ImapWorld

ROOT = pathlib.Path(__file__).parents[2]
HERE = pathlib.Path(__file__).parent / "imap"


@pytest.mark.parametrize(("path", "mode"), cases(HERE), ids=case_id)
async def test_transcript(path: pathlib.Path, mode: str, tmp_path: pathlib.Path) -> None:
    await play(path, mode, tmp_path)


@pytest.mark.parametrize("path", sorted(HERE.glob("*.transcript")), ids=lambda path: path.stem)
async def test_transcript_as_if_mailboxes_were_large(
    path: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of which only the row is read when they are opened, and whose orders and threads are remembered."""
    monkeypatch.setattr(view, "READ_AT_ONCE", -1)
    monkeypatch.setattr(view, "ANSWERED", 0)
    await play(path, next(iter(MODES)), tmp_path)


async def play(path: pathlib.Path, mode: str, tmp_path: pathlib.Path) -> None:
    world = ImapWorld(tmp_path, Transcript.load(path).options)
    await world.fill()
    try:
        async with Stage(world.serve, world.connect) as stage:
            await Player(stage.open, MODES[mode]).play(path)
    finally:
        world.close()
    assert not list(tmp_path.iterdir()), "no file is left"


def test_every_command_has_its_transcript_and_its_rule() -> None:
    played = {path.stem for path in HERE.glob("*.transcript")}
    assert not {each.__module__.rpartition(".")[2] for each in COMMANDS} - played
    assert not {each.action for each in COMMANDS} - RULES.keys()


def test_every_capability_has_a_transcript_that_names_it_and_a_line_in_the_table_of_rfcs() -> None:
    texts = [path.read_bytes() for path in HERE.glob("*.transcript") if path.stem != "capability"]
    rows = (ROOT / "docs/develop/rfc.tsv").read_text("utf-8").splitlines()
    states = {number: state for number, _title, state, _where in (row.split("\t") for row in rows)}
    words = {**capability.AFTER_LOGIN, **capability.CONDITIONAL}
    for word, number in words.items():
        named = re.compile(rb"(?<![\w=+-])" + re.escape(word) + rb"(?![\w-])")
        assert any(named.search(text) for text in texts), word
        assert states.get(str(number)) in {"Yes", "Partial"}, word


def test_what_is_announced_is_in_that_table() -> None:
    words = capability.after_login(Imap(), jmap=True).split()
    words += capability.before_login(start_tls=True, mechanisms=("PLAIN",), login=False).split()
    known = capability.AFTER_LOGIN.keys() | capability.CONDITIONAL.keys()
    for word in words:
        assert word in known or word.partition(b"=")[0] in known | {b"AUTH"}, word
