"""Fuzz targets of POP3: framing with all parsers, contents, headers beyond ASCII, whole sessions."""

import asyncio
import pathlib
import random

import pytest

from a3mailer.mail.downgrade import downgraded, in_ascii
from a3mailer.telemetry.events import LOG
from a3mailer.testing.memory_connection import MemorySession, Stage
from a3mailer.testing.transcript import Transcript
from a3mailer.wire.pop3 import limits
from a3mailer.wire.pop3.engine import Engine, Refused
from a3mailer.wire.pop3.multiline import TopCutter, encode, encoder, top
from tests.fuzz import mutate
from tests.transcripts.pop3_world import Pop3World

TRANSCRIPTS = pathlib.Path(__file__).parents[1] / "transcripts" / "pop3"
TOKENS = (
    *(b"\r\n", b"\n", b"\r", b" ", b".", b"*", b"=", b"+", b"\0", b"\xff", b"\xc3\xa4", b"a" * 300, b"-1"),
    *(b"USER ", b"PASS ", b"AUTH PLAIN ", b"AUTH LOGIN\r\n", b"STLS\r\n", b"CAPA\r\n", b"LANG ", b"UTF8\r\n"),
    *(b"RETR 1\r\n", b"TOP 1 0\r\n", b"LIST\r\n", b"UIDL\r\n", b"DELE 1\r\n", b"RSET\r\n", b"QUIT\r\n"),
    *(
        b"99999999999",
        b"AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQtYQ==",
        b"USER alice@example.test\r\nPASS secret-a\r\n",
    ),
)
MAILS = (
    b"From: a@b\r\nSubject: x\r\n\r\n.\r\n..\r\nbody\r\n",
    "From: Zoë <zoë@a.test>, b@c\r\nTo: g: ü <x@y>;\r\nContent-Type: text/plain; name=ü\r\n\r\nx".encode(),
    b"\r\n.\n.\r.\r\n",
)


def said() -> list[bytes]:
    """What clients of POP3 say in the transcripts."""
    found = []
    for path in sorted(TRANSCRIPTS.glob("*.transcript")):
        steps = [step for step in Transcript.load(path).steps if step.kind == "C" and step.connection < 5]
        found.append(b"".join(step.octets if step.exact else step.octets + b"\r\n" for step in steps))
    assert len(found) > 20
    return found


def frame(octets: bytes) -> None:
    for authorized in (False, True):
        framing = Engine()
        if authorized:
            framing.authorized()
        half = len(octets) // 2
        for piece in (octets[:half], octets[half:]):
            framing.receive(piece)
            while (event := framing.next_event()) is not None:
                kind = type(event).__name__
                if isinstance(event, Refused):
                    continue
                if kind == "Auth":
                    framing.expect_response()
                elif kind == "User":
                    framing.accept_name()
        assert len(framing._buffer) - framing._start <= max(limits.RESPONSE_LINE, limits.COMMAND_LINE)


@mutate.CASES
def test_any_octets_are_commands_or_refused(count: int, seed: int) -> None:
    mutate.run(frame, said(), count=count, seed=seed, tokens=TOKENS)


def content(octets: bytes) -> None:
    whole = encode(octets)
    assert whole.endswith(b".\r\n") and whole.count(b"\r\n.\r\n") == (len(whole) > 3)
    assert whole.count(b"\n") == whole.count(b"\r") == whole.count(b"\r\n")
    third = len(octets) // 3
    pieces = encoder()
    parts = (octets[:third], octets[third : 2 * third], octets[2 * third :])
    assert b"".join(map(pieces.feed, parts)) + pieces.finish() == whole
    for lines in (0, 1, 3):
        cutter = TopCutter(lines)
        assert b"".join(map(cutter.feed, parts)) == top(octets, lines)


@mutate.CASES
def test_any_octets_are_one_multi_line_response(count: int, seed: int) -> None:
    mutate.run(content, MAILS, count=count, seed=seed, tokens=TOKENS)


def header(octets: bytes) -> None:
    said = downgraded(octets)
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        assert said == octets
    else:
        assert said.isascii()
    in_ascii(octets)


@mutate.CASES
def test_any_header_has_a_form_in_ascii(count: int, seed: int) -> None:
    mutate.run(header, MAILS, count=count, seed=seed, tokens=TOKENS)


# --- whole sessions --------------------------------------------------------------------------------------

LOGIN = b"USER alice@example.test\r\nPASS secret-a\r\n"


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(2_000, id="ci"),
        pytest.param(50_000, id="long", marks=[pytest.mark.long, pytest.mark.timeout(7200)]),
    ],
)
async def test_a_session_answers_whatever_it_is_told(count: int, seed: int, tmp_path: pathlib.Path) -> None:
    """Nothing but ConnectionLost leaves the door (the stage fails otherwise); the maildrop is free then."""
    LOG.configure(level="error")
    world = Pop3World(tmp_path, {"messages": "plain mixed short utf8"})
    await world.fill()
    cases = mutate.Mutations(said(), TOKENS, seed)
    rng = random.Random(seed)
    try:
        async with Stage(world.serve, world.connect) as stage:
            for number in range(count):
                session = stage.open(number % 5)
                await session.greeting()
                if rng.random() < 0.9:
                    await session.feed(LOGIN)
                async with asyncio.timeout(20):
                    await talk(session, cases.case(number), rng)
                session.connection.end()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            last = stage.open(0)
            await last.greeting()
            assert b"+OK maildrop has" in await last.feed(LOGIN)
    finally:
        world.close()


async def talk(session: MemorySession, octets: bytes, rng: random.Random) -> None:
    """Send in a few pieces, until the server closes."""
    cuts = sorted(rng.randrange(len(octets) + 1) for _ in range(rng.randrange(4)))
    for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
        if session.closed:
            return
        await session.feed(octets[start:end])
