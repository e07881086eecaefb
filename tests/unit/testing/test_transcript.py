"""The player itself: what it accepts, what it must not let pass."""

import pathlib

import pytest

from a3mailer.edge.connection import Connection
from a3mailer.testing.memory_connection import MemorySession, Stage
from a3mailer.testing.transcript import MODES, Player, Transcript, TranscriptMismatch, cases


async def echo(connection: Connection) -> None:
    """Greets; answers each line with its number and itself; BYE ends; "!" tells everybody."""
    connection.write(b"hello 7f3a\r\n")
    buffer, n = b"", 0
    while octets := await connection.read():
        buffer += octets
        while (end := buffer.find(b"\r\n")) >= 0:
            line, buffer = buffer[:end], buffer[end + 2 :]
            n += 1
            if line == b"BYE":
                connection.write(b"bye\r\n")
                connection.close()
                return
            connection.write(b"%d %s\r\n" % (n, line))


GOOD = r"""
# every kind of line
% profile=mx
S: hello <word>
C: one
C: two <word> <Unknown> <A@b>
S: 1 one
S: 2 two 7f3a <Unknown> <A@b>
C! th\x72ee\\\r
C! \n
S! 3 three\\\r\n
2S: hello <word>
2C: x
2S: 1 <...>
1C: again <word>
1S: 4 again <other>
C: BYE
S: bye
CLOSED
"""


def written(tmp_path: pathlib.Path, text: str) -> pathlib.Path:
    path = tmp_path / "a.transcript"
    path.write_text(text)
    return path


async def play(path: pathlib.Path, mode: str) -> Player:
    async with Stage(echo) as stage:
        player = Player(stage.open, MODES[mode])
        await player.play(path)
    return player


@pytest.mark.parametrize("mode", MODES)
async def test_every_kind_of_line(tmp_path: pathlib.Path, mode: str) -> None:
    path = written(tmp_path, GOOD.replace("again <other>", "again 7f3a"))
    player = await play(path, mode)
    assert player.captured == {b"word": b"7f3a"}
    assert Transcript.load(path).options == {"profile": "mx"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("S: hello 7f3b\n", "expected"),
        ("C: one\nS: 1 one\n", "also said"),
        ("S: hello <w>\nC: one\n", "also said"),
        ("S: hello <w>\nC: one\nS: 1 one\nS: 2 two\n", "got no line"),
        ("S: hello <w>\nC: one\nS: 1 <w>\n", "expected"),
        ("S: hello <w>\nC: a b\nS: <w> a b\n", "expected"),
        ("S: hello <w>\nCLOSED\n", "is not closed"),
        ("S: hello <w>\nC: one\nS! 1 onf\n", "expected"),
        ("S: hello <w>\nC: a b\nS: 1 <x> <x>\n", "expected"),
        ("S: hello <w>\n2S: hello 7\n", "expected"),
    ],
)
async def test_a_difference_is_found(tmp_path: pathlib.Path, mode: str, text: str, complaint: str) -> None:
    path = written(tmp_path, text)
    async with Stage(echo) as stage:
        with pytest.raises(TranscriptMismatch, match=complaint):
            await Player(stage.open, MODES[mode]).play(path)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "X: what\n", "c: small\n"])
async def test_a_file_that_says_nothing_is_refused(tmp_path: pathlib.Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=r"a\.transcript"):
        Transcript.load(path)


async def test_whole_only_is_not_played_by_octets(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="no transcript"):
        cases(tmp_path)
    path = written(tmp_path, "% whole\nS: hello 7f3a\n")
    assert cases(tmp_path) == [(path, "whole")]
    path.write_text("S: hello 7f3a\n")
    assert cases(tmp_path) == [(path, "whole"), (path, "octets")]


async def test_a_session_shows_what_was_said_by_itself() -> None:
    async with Stage(echo) as stage:
        session = stage.open(1)
        assert isinstance(session, MemorySession)
        assert await session.greeting() == b"hello 7f3a\r\n"
        assert await session.feed(b"x\r") == b""
        assert await session.feed(b"\n") == b"1 x\r\n"
        assert await session.feed(b"") == b""
