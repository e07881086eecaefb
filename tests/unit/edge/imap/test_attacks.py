"""Attack rows 3, 4, 11, 12 and 32 to 36 at the IMAP door: refused by name, linear, others undisturbed."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator

import pytest

from a3mailer.access import search
from a3mailer.edge.connection import HIGH_WATER
from a3mailer.edge.imap.session import COMMAND_SECONDS, SEND_SECONDS
from a3mailer.runtime.clock import SystemClock
from a3mailer.telemetry.events import LOG
from a3mailer.testing.memory_connection import MemoryConnection, MemorySession, Stage
from a3mailer.wire.imap import engine
from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.fetch import parse_fetch_items
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.search import parse_search
from a3mailer.wire.imap.wildcard import Pattern
from tests.growth import assert_linear
from tests.transcripts.imap_world import BusyClock, ImapWorld

LOGIN = b"a0 LOGIN alice@example.test secret-a\r\n"


@pytest.fixture
async def world(tmp_path: pathlib.Path) -> AsyncIterator[ImapWorld]:
    world = ImapWorld(tmp_path, {"messages": "plain mixed short"})
    await world.fill()
    yield world
    world.close()


@pytest.fixture
async def stage(world: ImapWorld) -> AsyncIterator[Stage]:
    async with Stage(world.serve, world.connect) as stage:
        yield stage


async def stranger(stage: Stage, number: int = 1) -> MemorySession:
    session = stage.open(number)
    await session.greeting()
    return session


async def user(stage: Stage, number: int = 1, *, selected: bool = True) -> MemorySession:
    session = await stranger(stage, number)
    await session.feed(LOGIN + (b"a0 SELECT INBOX\r\n" if selected else b""))
    return session


# --- row 3 and 4 -----------------------------------------------------------------------------------------


async def test_commands_behind_starttls_are_not_run(tmp_path: pathlib.Path) -> None:
    world = ImapWorld(tmp_path, {"tls": ""})
    await world.fill()
    async with Stage(world.serve, world.connect) as stage:
        session = await stranger(stage)
        said = await session.feed(b"a1 STARTTLS\r\na2 NOOP\r\n")
        assert said == b"* BYE octets after STARTTLS\r\na1 OK STARTTLS completed\r\n"
        assert session.closed
        assert not session.connection.secure
    world.close()


async def test_a_password_in_the_clear_is_refused_and_never_logged(
    tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    LOG.configure(level="debug")
    world = ImapWorld(tmp_path, {"tls": "", "public": ""})
    await world.fill()
    async with Stage(world.serve, world.connect) as stage:
        session = await stranger(stage)
        assert b"PRIVACYREQUIRED" in await session.feed(LOGIN)
        assert b"PRIVACYREQUIRED" in await session.feed(b"a1 AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldC1h\r\n")
        assert b"BAD" in await session.feed(b"a2 LOGIN alice secret-a extra\r\n")
    world.close()
    LOG.flush()
    seen = capfd.readouterr()
    assert "secret-a" not in seen.out + seen.err
    assert "AGFsaWNlAHNlY3JldC1h" not in seen.out + seen.err


# --- row 11 ----------------------------------------------------------------------------------------------


async def test_a_stranger_has_a_minute_whatever_it_sends(stage: Stage, world: ImapWorld) -> None:
    session = await stranger(stage)
    deadline = session.connection.deadline
    for _ in range(20):
        await session.feed(b"x")
        assert session.connection.deadline == deadline
    assert deadline <= asyncio.get_running_loop().time() + world.settings.imap.login_seconds


async def test_a_command_that_drips_in_has_one_deadline(stage: Stage) -> None:
    session = await user(stage)
    idle = session.connection.deadline
    await session.feed(b"a1 SEARCH TEXT {10}\r\n")
    begun = session.connection.deadline
    assert begun <= asyncio.get_running_loop().time() + COMMAND_SECONDS < idle
    for _ in range(5):
        await session.feed(b"x")
        assert session.connection.deadline == begun
    await session.feed(b"12345\r\n")
    assert session.connection.deadline > begun


async def test_a_client_that_does_not_read_has_a_deadline(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await user(stage)
    left: list[float] = []

    async def stuck(connection: MemoryConnection) -> None:
        left.append(connection.deadline - asyncio.get_running_loop().time())

    monkeypatch.setattr(MemoryConnection, "drain", stuck)
    monkeypatch.setattr(MemoryConnection, "unsent", property(lambda connection: HIGH_WATER + 1))
    await session.feed(b"a1 NOOP\r\n")
    assert 0 < left[-1] <= SEND_SECONDS


# --- row 12 ----------------------------------------------------------------------------------------------


async def test_a_flood_of_commands_is_answered_in_order_and_others_get_their_turn(stage: Stage) -> None:
    session, other = await user(stage), await user(stage, 2)
    count = 20_000
    session.connection.put(b"".join(b"n%d NOOP\r\n" % n for n in range(count)))
    other.connection.put(b"z NOOP\r\n")
    while not (said := other.connection.taken()):
        await asyncio.sleep(0)
    assert said == b"z OK NOOP completed\r\n"
    flooded = session.connection.taken()
    assert flooded.count(b"OK NOOP completed") < count  # it was not first served to its end
    flooded += await session.feed(b"")
    assert flooded.count(b"\r\n") == count
    assert flooded.endswith(b"n%d OK NOOP completed\r\n" % (count - 1))


# --- row 32 and 33 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "octets",
    [
        b"a1 LOGIN {4294967295+}\r\n",
        b"a1 LOGIN {4294967295}\r\n",
        b"a1 LOGIN" + b" {1+}\r\nx" * 100_000,
        b"a1 LOGIN {4096+}\r\n" + b"x" * 4096 + b" {4096+}\r\n",
        b"a1 ID (" + b'"a" "b" ' * 100_000,
        b"a1 " + b"(" * 100_000,
        b"x" * 5_000_000,
    ],
    ids=["4 GiB", "4 GiB, asked for", "many", "two", "ID", "parentheses", "line"],
)
async def test_a_stranger_gets_8_kib_a_command_and_then_bye(stage: Stage, octets: bytes) -> None:
    session = await stranger(stage)
    said = b""
    for at in range(0, len(octets), 65536):
        if not session.closed:
            said += await session.feed(octets[at : at + 65536])
    assert said.startswith(b"* BYE ")
    assert session.closed


async def test_a_response_of_sasl_has_8_kib_too(stage: Stage) -> None:
    session = await stranger(stage)
    assert await session.feed(b"a1 AUTHENTICATE PLAIN\r\n") == b"+ \r\n"
    assert (await session.feed(b"A" * 8188 + b"\r\n")).startswith(b"a1 NO ")
    assert await session.feed(b"a2 AUTHENTICATE PLAIN\r\n") == b"+ \r\n"
    assert await session.feed(b"A" * 8192) == b""
    assert (await session.feed(b"A" * 2)).startswith(b"* BYE command line too long")
    assert session.closed


@pytest.mark.parametrize(
    "command",
    [
        b"a1 SEARCH " + b"(" * 50_000,
        b"a1 SEARCH " + b"(" * 30_000 + b"ALL" + b")" * 29_999,
        b"a1 STORE 1 FLAGS " + b"(" * 50_000,
        b"a1 FETCH 1 " + b"(" * 50_000,
        b"a1 LIST " + b"(" * 50_000,
        b'a1 ID ("a" ' + b"(" * 50_000,
        b"a1 ID (" + b'"a" "b" ' * 31 + b'"a" "b")',
        b"a1 STATUS INBOX " + b"(" * 50_000,
        b"a1 SELECT INBOX " + b"(" * 50_000,
    ],
)
async def test_parentheses_are_counted_not_climbed(stage: Stage, command: bytes) -> None:
    session = await user(stage)
    assert (await session.feed(command + b"\r\n")).startswith(b"a1 BAD ")
    assert await session.feed(b"a2 NOOP\r\n") == b"a2 OK NOOP completed\r\n"


async def test_after_login_a_line_of_64_kib_is_the_end(stage: Stage) -> None:
    session = await user(stage)
    assert (await session.feed(b"a1 SEARCH " + b"(" * 100_000)).startswith(b"* BYE command line too long")
    assert session.closed


def test_framing_is_linear() -> None:
    def frame(octets: bytes) -> None:
        framing = engine.Engine()
        framing.authenticated = True
        for at in range(0, len(octets), 1000):
            framing.receive(octets[at : at + 1000])
            while framing.next_event() is not None:
                pass

    assert_linear(lambda n: b"a1 NOOP\r\n" * n, frame, 2000)
    assert_linear(lambda n: b"a1 SEARCH TEXT {%d+}\r\n%b\r\n" % (n, b"x" * n), frame, 100_000)
    assert_linear(lambda n: b"a1 X" + b" {1+}\r\nx" * n, frame, 100)


# --- row 34 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [b"NOT ", b"OR SEEN ", b"OR NOT "])
async def test_ten_thousand_operators(stage: Stage, key: bytes) -> None:
    session = await user(stage)
    count = 4_000 if key == b"OR NOT " else 8_000
    keys = key * count + b"ALL " * (count if key == b"OR NOT " else 0) + b"ALL"
    said = await session.feed(b"a1 SEARCH " + keys + b"\r\n")
    assert said.endswith(b"a1 OK SEARCH completed\r\n")


def test_parsing_a_search_is_linear() -> None:
    def parse(octets: bytes) -> None:
        with contextlib.suppress(BadSyntax):  # beyond a limit
            parse_search(Parser(octets))

    assert_linear(lambda n: b" " + b"(" * n + b"ALL" + b")" * n, parse, 2000)
    assert_linear(lambda n: b" " + b"OR 1 " * n + b"ALL", parse, 1000)
    assert_linear(lambda n: b' SUBJECT "' + b'\\"' * n + b'"', parse, 5000)
    assert_linear(lambda n: b" " + b",".join(b"%d" % i for i in range(1, n + 2)), parse, 2000)


async def test_a_search_that_costs_too_much_is_stopped(
    stage: Stage, world: ImapWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "READ_MESSAGES", 1)
    session = await user(stage)
    monkeypatch.setattr(world.services, "clock", BusyClock(30.0))
    *progress, last = (await session.feed(b"a1 SEARCH BODY x\r\n")).splitlines()
    assert all(line.startswith(b'* OK [INPROGRESS ("a1" ') for line in progress)
    assert last == b"a1 NO [LIMIT] that would take too long"
    assert await session.feed(b"a2 NOOP\r\n") == b"a2 OK NOOP completed\r\n"


async def test_others_are_answered_while_one_searches(stage: Stage, world: ImapWorld) -> None:
    mail = b"Subject: x\r\n\r\n" + b"needle in hay \xc3\xa4\r\n" * 2000
    for _ in range(300):
        await world.deliver(mail)
    world.services.clock = SystemClock()
    searcher, other = await user(stage), await user(stage, 2)
    searcher.connection.put(b"a1 SEARCH BODY nowhere\r\n")
    answered = 0
    while not searcher.connection.taken():
        if await other.feed(b"b NOOP\r\n"):
            answered += 1
    assert answered > 2


@pytest.mark.parametrize("command", [b"SORT (SUBJECT TO) UTF-8 ALL", b"THREAD REFERENCES UTF-8 ALL"])
async def test_others_are_answered_while_one_sorts_or_threads(
    stage: Stage, world: ImapWorld, command: bytes
) -> None:
    for number in range(1200):
        await world.deliver(b"Message-ID: <%d@x>\r\nReferences: <%d@x>\r\n\r\n" % (number, number - 1))
    world.services.clock = BusyClock(0.0)
    worker, other = await user(stage), await user(stage, 2)
    worker.connection.put(b"a1 " + command + b"\r\n")
    answered = 0
    while not worker.connection.taken():
        if await other.feed(b"b NOOP\r\n"):
            answered += 1
    assert answered > 2


@pytest.mark.parametrize("command", [b"SORT (SUBJECT TO) UTF-8 ALL", b"THREAD REFERENCES UTF-8 ALL"])
async def test_sorting_and_threading_have_a_budget(stage: Stage, world: ImapWorld, command: bytes) -> None:
    session = await user(stage)
    world.services.clock = BusyClock(30.0)
    *progress, last = (await session.feed(b"a1 " + command + b"\r\n")).splitlines()
    assert all(line.startswith(b'* OK [INPROGRESS ("a1" ') for line in progress)
    assert last == b"a1 NO [LIMIT] that would take too long"
    assert await session.feed(b"a2 NOOP\r\n") == b"a2 OK NOOP completed\r\n"


async def test_deep_parts_and_many_partial_ranges(stage: Stage) -> None:
    session = await user(stage)
    deep = b".".join([b"1"] * 500)
    said = await session.feed(b"a1 FETCH 1 BODY.PEEK[" + deep + b"]\r\n")
    assert said == b"* 1 FETCH (BODY[" + deep + b"] NIL)\r\na1 OK FETCH completed\r\n"
    ranges = b" ".join(b"BODY.PEEK[]<%d.1>" % at for at in range(128))
    said = await session.feed(b"a2 FETCH 1 (" + ranges + b")\r\n")
    assert said.count(b" {1}\r\n") == 128
    more = ranges + b" BODY.PEEK[]<999.1>"
    assert (await session.feed(b"a3 FETCH 1 (" + more + b")\r\n")).startswith(b"a3 BAD ")
    far = b"BODY.PEEK[]<9223372036854775807.9223372036854775807>"
    assert b"{0}" in await session.feed(b"a4 FETCH 1 " + far + b"\r\n")


def test_parsing_of_fetch_items_is_linear() -> None:
    def parse(octets: bytes) -> None:
        parse_fetch_items(Parser(octets))

    assert_linear(lambda n: b"BODY.PEEK[" + b".".join([b"1"] * n) + b"]", parse, 2000)


# --- row 35 ----------------------------------------------------------------------------------------------


def test_wildcards_are_linear_in_the_name() -> None:
    pattern = Pattern("*%a" * 300 + "b")
    assert_linear(lambda n: "a" * n, pattern.matches, 2000)
    assert not pattern.matches("a" * 1000)
    assert Pattern("*%*%*%*%*%*%*%*%*%*%").matches("a/b" * 300)


async def test_a_hostile_pattern_over_many_mailboxes(stage: Stage) -> None:
    session = await user(stage, selected=False)
    for number in range(100):
        await session.feed(b"c CREATE %b%d\r\n" % (b"a" * 200, number))
    said = await session.feed(b'a1 LIST "" ' + b"*a%" * 330 + b"b\r\n")
    assert said == b"a1 OK LIST completed\r\n"


async def test_hostile_patterns_leave_others_their_turn_and_have_a_budget(
    stage: Stage, world: ImapWorld
) -> None:
    """63 patterns of a KiB, 10,000 names: two minutes in which nobody else was answered."""
    session, other = await user(stage, selected=False), await user(stage, 2)
    for number in range(10):
        await session.feed(b"c CREATE %b%d\r\n" % (b"a" * 900, number))
    command = b'a1 LIST "" (' + b" ".join([b"*a%" * 330 + b"b"] * 60) + b")\r\n"
    world.services.clock = BusyClock(0.0)
    session.connection.put(command)
    answered = 0
    while not session.connection.taken():
        if await other.feed(b"b NOOP\r\n"):
            answered += 1
    assert answered > 2
    await session.feed(b"")
    world.services.clock = BusyClock(30.0)
    *progress, last = (await session.feed(command)).splitlines()
    assert all(line.startswith(b'* OK [INPROGRESS ("a1" ') for line in progress)
    assert last == b"a1 NO [LIMIT] that would take too long"


# --- row 36 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        b"../x", b"x/../y", b"./x", b"/etc/passwd", b"x/", b"x//y", b'""', b'" x"', b'"x "', b'"a%b"',
        b'"a*b"', b"&AAA-", b"&AGE-", b"&Jjo-&Jjo-", b"{3+}\r\na\0b", b"{3+}\r\na\nb", b"{1+}\r\n\xff",
        b'"\xc3\xa4"',
        b"&IAs-", b"&IC4-", b"/".join([b"a"] * 1000), b"a" * 1001, b"{65536+}\r\n" + b"a" * 65536,
    ],
)  # fmt: skip
async def test_names_that_cannot_be(stage: Stage, world: ImapWorld, name: bytes) -> None:
    session = await user(stage, selected=False)
    before = len(await world.store.mailboxes(world.accounts["alice"]))
    said = await session.feed(b"a1 CREATE " + name + b"\r\n")
    wanted = name == b"x/"  # a trailing delimiter only announces children
    assert said.startswith(b"a1 OK" if wanted else (b"a1 NO", b"a1 BAD")), said
    assert len(await world.store.mailboxes(world.accounts["alice"])) == before + wanted
    for command in (b"SELECT ", b"DELETE ", b"RENAME INBOX ", b"STATUS ", b"SUBSCRIBE "):
        tail = b" (MESSAGES)" if command == b"STATUS " else b""
        if not wanted:
            said = await session.feed(b"a2 " + command + name + tail + b"\r\n")
            assert said.startswith((b"a2 NO", b"a2 BAD")), (command, said)


async def test_names_that_look_like_another_are_that_other(stage: Stage) -> None:
    session = await user(stage, selected=False)
    await session.feed(b"a1 ENABLE IMAP4rev2\r\n")
    composed, decomposed = "é".encode(), "e\u0301".encode()
    assert b" OK " in await session.feed(b'a2 CREATE "' + composed + b'"\r\n')
    assert b"ALREADYEXISTS" in await session.feed(b'a3 CREATE "' + decomposed + b'"\r\n')
    assert b"ALREADYEXISTS" in await session.feed(b"a4 CREATE iNBoX\r\n")


async def test_one_account_never_sees_another(stage: Stage, world: ImapWorld) -> None:
    await world.deliver(b"Subject: for bob\r\n\r\n", account="bob")
    session = await user(stage)
    assert b"* SEARCH\r\n" in await session.feed(b"a1 SEARCH SUBJECT bob\r\n")
    bob = stage.open(2)
    await bob.greeting()
    await bob.feed(b"b1 LOGIN bob@example.test secret-a\r\nb2 SELECT INBOX\r\n")
    said = await bob.feed(b"b3 UID FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])\r\n")
    assert said.count(b"FETCH (") == 1
    assert b"for bob" in said
