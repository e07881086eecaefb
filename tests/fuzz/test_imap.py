"""Fuzz targets of IMAP: framing with all parsers behind it, search programs, names, whole sessions."""

import asyncio
import pathlib
import random

import pytest

from a3mailer.edge.imap.commands import COMMANDS
from a3mailer.edge.imap.door import begun_with
from a3mailer.telemetry.events import LOG
from a3mailer.testing.memory_connection import MemorySession, Stage
from a3mailer.testing.transcript import Transcript
from a3mailer.wire.imap import engine, limits
from a3mailer.wire.imap.errors import RemoteProtocolError
from a3mailer.wire.imap.names import decode_utf7, encode_utf7
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.search import SearchRequest, parse_search, with_filters
from tests.fuzz import mutate
from tests.transcripts.imap_world import ImapWorld

TRANSCRIPTS = pathlib.Path(__file__).parents[1] / "transcripts" / "imap"
TABLE = {each.name: each for each in COMMANDS}
TOKENS = (
    *(
        b"(",
        b")",
        b" ",
        b"\r\n",
        b"\n",
        b"\r",
        b'"',
        b"\\",
        b"*",
        b"%",
        b"$",
        b",",
        b":",
        b"{",
        b"}",
        b"[",
        b"]",
        b"<",
        b">",
    ),
    *(b"{3}\r\n", b"{3+}\r\n", b"~{3+}\r\n", b"{4294967295+}\r\n", b"{0}\r\n", b"{99999999999999999999}\r\n"),
    *(b"NOT ", b"OR ", b"UID ", b"ALL", b"1:*", b"*:4294967295", b"0", b"NIL", b"\\Seen", b"$Junk", b"INBOX"),
    *(b"BODY[", b"BODY.PEEK[HEADER.FIELDS (", b"<0.1>", b"RETURN (", b"STATUS (", b"QRESYNC (", b"CHARSET "),
    *(b"&AGEAYg-", b"&", b"\0", b"\xff", b"\xc3\xa4", b"a" * 300, b"1-Jan-2022", b"(((("),
)


def said() -> list[bytes]:
    """What clients say in the transcripts, connection by connection."""
    found = []
    for path in sorted(TRANSCRIPTS.glob("*.transcript")):
        steps = [step for step in Transcript.load(path).steps if step.kind == "C"]
        found.append(b"".join(step.octets if step.exact else step.octets + b"\r\n" for step in steps))
    assert len(found) > 30
    return found


def parse(octets: bytes) -> None:
    """What the door does with a command before it runs it."""
    p = Parser(octets, utf8=len(octets) % 2 == 0)
    p.tag()
    p.space()
    kind = TABLE.get(p.keyword())
    if kind is not None:
        kind.parse(p)


def begin(event: engine.MessageStart) -> None:
    p = Parser(event.octets)
    p.tag()
    begun_with(p, event)


def frame(octets: bytes, *, authenticated: bool) -> None:
    framing = engine.Engine()
    framing.authenticated = authenticated
    half = len(octets) // 2
    for piece in (octets[:half], octets[half:]):
        framing.receive(piece)
        while (event := framing.next_event()) is not None:
            try:
                match event:
                    case engine.Command(command):
                        assert len(command) <= limits.COMMAND_LINE + limits.COMMAND_LITERALS
                        assert authenticated or len(command) <= limits.PRE_LOGIN_COMMAND
                        if command.endswith((b"IDLE", b"PLAIN")):
                            framing.expect_line()
                        parse(command)
                    case engine.MessageStart():
                        if len(octets) % 3:
                            framing.take_message()
                        else:
                            framing.skip_message()
                        begin(event)
                    case _:
                        pass
            except RemoteProtocolError as error:
                assert str(error).isascii()  # it is sent to the client
                assert "\n" not in str(error)
                assert "\r" not in str(error)


def commands(octets: bytes) -> None:
    frame(octets, authenticated=True)
    frame(octets, authenticated=False)


@mutate.CASES
def test_any_octets_are_framed_and_parsed_or_refused(count: int, seed: int) -> None:
    mutate.run(commands, said(), count=count, seed=seed, tokens=TOKENS)


PROGRAMS = (
    b" OR (FROM bob NOT 1:3) (OR SEEN KEYWORD x) UID 7:*",
    b' RETURN (MIN MAX SAVE) CHARSET UTF-8 SUBJECT "a\\"b" HEADER x {3+}\r\nabc',
    b' SENTSINCE 1-Jan-2022 BEFORE "2-Feb-2022" LARGER 10 SMALLER 99 MODSEQ "/flags/\\\\x" all 7',
    b' RETURN (UPDATE CONTEXT PARTIAL -1:-9) NOT FILTER a OR (FILTER b YOUNGER 60) FUZZY FILTER c TEXT "x y"',
)


def program(octets: bytes) -> None:
    p = Parser(octets)
    found = parse_search(p)
    p.end()
    leaves_one(found)
    if found.filters:  # which stand for the same octets, and for less and less of them
        values = {name.lower(): found.keys[number:] for number, name in enumerate(found.filters)}
        leaves_one(with_filters(found, values | {b"c": b"SEEN", b"b": b"OR SEEN 1", b"a": b"1 2"}))


def leaves_one(found: SearchRequest) -> None:
    depth = 0
    for one in found.program:  # a postfix program that leaves one value
        name = getattr(one, "name", "")
        depth += {"AND": -1, "OR": -1, "NOT": 0}.get(name, 1)
        assert depth > 0
    assert depth == 1


@mutate.CASES
def test_any_octets_are_a_search_program_or_none(count: int, seed: int) -> None:
    mutate.run(program, PROGRAMS, count=count, seed=seed, tokens=TOKENS, allowed=(RemoteProtocolError,))


NAMES = (b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", b"a&-b", b"&2D3eAA-", b"INBOX", b"../../etc/passwd")


def name(octets: bytes) -> None:
    assert encode_utf7(decode_utf7(octets)) == octets


@mutate.CASES
def test_any_octets_are_one_name_or_none(count: int, seed: int) -> None:
    mutate.run(name, NAMES, count=count, seed=seed, tokens=TOKENS, allowed=(RemoteProtocolError,))


# --- whole sessions --------------------------------------------------------------------------------------

LOGIN = b"a0 LOGIN alice@example.test secret-a\r\nz0 SELECT INBOX\r\n"


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(3_000, id="ci"),
        pytest.param(50_000, id="long", marks=[pytest.mark.long, pytest.mark.timeout(7200)]),
    ],
)
async def test_a_session_answers_whatever_it_is_told(count: int, seed: int, tmp_path: pathlib.Path) -> None:
    """Nothing but ConnectionLost leaves the door (the stage fails otherwise); others are not disturbed."""
    LOG.configure(level="error")
    world = ImapWorld(tmp_path, {"messages": "plain mixed short"})
    await world.fill()
    cases = mutate.Mutations(said(), TOKENS, seed)
    rng = random.Random(seed)
    try:
        async with Stage(world.serve, world.connect) as stage:
            for number in range(count):
                octets = cases.case(number)
                session = stage.open(number)
                await session.greeting()
                if rng.random() < 0.9:
                    await session.feed(LOGIN)
                try:
                    async with asyncio.timeout(20):
                        await talk(session, octets, rng)
                except TimeoutError:
                    print(f"case {number} of seed {seed}: {octets!r}")
                    raise
                session.connection.end()
                await asyncio.sleep(0)
            last = stage.open(count)
            await last.greeting()
            assert (await last.feed(LOGIN)).endswith(b"SELECT completed\r\n")
            assert (await last.feed(b"a1 NOOP\r\n")).endswith(b"a1 OK NOOP completed\r\n")
    finally:
        world.close()


async def talk(session: MemorySession, octets: bytes, rng: random.Random) -> None:
    """Send in a few pieces, until the server closes."""
    at = 0
    while at < len(octets) and not session.closed:
        step = rng.randrange(1, max(2, len(octets)))
        await session.feed(octets[at : at + step])
        at += step
