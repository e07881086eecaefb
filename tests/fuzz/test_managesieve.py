"""Fuzz targets of ManageSieve: framing with all parsers, and whole sessions."""

import asyncio
import pathlib
import random

import pytest

from a3mailer.telemetry.events import LOG
from a3mailer.testing.memory_connection import MemorySession, Stage
from a3mailer.testing.transcript import Transcript
from a3mailer.wire.managesieve import commands as c
from a3mailer.wire.managesieve import limits
from a3mailer.wire.managesieve.encode import string
from a3mailer.wire.managesieve.engine import Engine, Refused
from tests.fuzz import mutate
from tests.transcripts.managesieve_world import ManageSieveWorld

TRANSCRIPTS = pathlib.Path(__file__).parents[1] / "transcripts" / "managesieve"
LOGIN = b'AUTHENTICATE "PLAIN" "AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQtYQ=="\r\n'
TOKENS = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b'"',
        b"\\",
        b'"*"',
        b"{",
        b"}",
        b"{3+}\r\n",
        b"{3}\r\n",
        b"{0+}\r\n",
        b"\0",
    ),
    *(
        b"{4294967295+}\r\n",
        b"{99999999999999999999+}\r\n",
        b"{65536+}\r\n",
        b"\xff",
        b"\xc3\xa4",
        b"a" * 300,
    ),
    *(
        b'PUTSCRIPT "a" ',
        b'SETACTIVE ""',
        b"LISTSCRIPTS\r\n",
        b'CHECKSCRIPT "keep;"\r\n',
        b"UNAUTHENTICATE\r\n",
    ),
    *(b'NOOP "x"\r\n', b"LOGOUT\r\n", b'HAVESPACE "a" 9\r\n', b"4294967296", b"keep;", LOGIN),
)


def said() -> list[bytes]:
    """What clients say in the transcripts."""
    found = []
    for path in sorted(TRANSCRIPTS.glob("*.transcript")):
        steps = [step for step in Transcript.load(path).steps if step.kind == "C"]
        found.append(b"".join(step.octets if step.exact else step.octets + b"\r\n" for step in steps))
    assert len(found) > 15
    return found


def frame(octets: bytes) -> None:
    for authenticated in (False, True):
        framing = Engine(1024)
        framing.authenticated = authenticated
        half = len(octets) // 2
        for piece in (octets[:half], octets[half:]):
            framing.receive(piece)
            while (event := framing.next_event()) is not None:
                match event:
                    case Refused(text):
                        assert text.isascii() and "\n" not in text and "\r" not in text
                    case c.Authenticate():
                        framing.expect_response()
                    case c.PutScript(_, script) | c.CheckScript(script):
                        assert len(script) <= 1024
                    case _:
                        pass
        largest = 1024 * limits.LITERALS + limits.LINE if authenticated else limits.RESPONSE
        assert len(framing._buffer) <= largest + limits.STRANGER or framing._closed


@mutate.CASES
def test_any_octets_are_commands_or_refused(count: int, seed: int) -> None:
    mutate.run(frame, said(), count=count, seed=seed, tokens=TOKENS)


def written(octets: bytes) -> None:
    """What a server writes is read as what it was."""
    text = string(octets).replace(b"}\r\n", b"+}\r\n", 1) if string(octets)[:1] == b"{" else string(octets)
    arguments = c.Arguments(text, 0)
    assert arguments.bare_string() == octets
    arguments.end()


@mutate.CASES
def test_any_octets_are_a_string(count: int, seed: int) -> None:
    mutate.run(written, said(), count=count, seed=seed, tokens=TOKENS)


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(1_500, id="ci"),
        pytest.param(50_000, id="long", marks=[pytest.mark.long, pytest.mark.timeout(7200)]),
    ],
)
async def test_a_session_answers_whatever_it_is_told(count: int, seed: int, tmp_path: pathlib.Path) -> None:
    """Nothing but ConnectionLost leaves the door (the stage fails otherwise)."""
    LOG.configure(level="error")
    world = ManageSieveWorld(tmp_path, {})
    await world.fill()
    cases = mutate.Mutations(said(), TOKENS, seed)
    rng = random.Random(seed)
    try:
        async with Stage(world.serve, world.connect) as stage:
            for number in range(count):
                session = stage.open(number)
                await session.greeting()
                if rng.random() < 0.9:
                    await session.feed(LOGIN)
                async with asyncio.timeout(20):
                    await talk(session, cases.case(number), rng)
                session.connection.end()
                await asyncio.sleep(0)
            last = stage.open(count)
            await last.greeting()
            assert (await last.feed(LOGIN)).endswith(b'OK "logged in"\r\n')
    finally:
        world.close()


async def talk(session: MemorySession, octets: bytes, rng: random.Random) -> None:
    """Send in a few pieces, until the server closes."""
    cuts = sorted(rng.randrange(len(octets) + 1) for _ in range(rng.randrange(4)))
    for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
        if session.closed:
            return
        await session.feed(octets[start:end])
