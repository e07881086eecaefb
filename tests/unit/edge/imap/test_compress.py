"""COMPRESS=DEFLATE (RFC 4978): the same conversation, compressed; bombs, garbage, and what sizes tell."""

from __future__ import annotations

import asyncio
import pathlib
import random
import zlib
from collections.abc import AsyncIterator

import pytest

from a3mailer.testing.memory_connection import MemorySession, Stage
from a3mailer.wire.imap import deflate
from a3mailer.wire.imap.deflate import INFLATED_AT_ONCE, BadCompression, Deflate
from tests.transcripts.imap_world import ImapWorld

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


class Client:
    """The client's side of a connection that compresses."""

    def __init__(self, session: MemorySession) -> None:
        self.session = session
        self.sends = zlib.compressobj(wbits=-15)
        self.hears = zlib.decompressobj(-15)

    def packed(self, octets: bytes) -> bytes:
        return self.sends.compress(octets) + self.sends.flush(zlib.Z_SYNC_FLUSH)

    async def feed(self, octets: bytes, *, by: int = 1 << 30) -> bytes:
        packed, said = self.packed(octets), b""
        for at in range(0, len(packed), by):
            said += await self.session.feed(packed[at : at + by])
        return self.hears.decompress(said)


async def client(stage: Stage, number: int = 1) -> Client:
    session = stage.open(number)
    await session.greeting()
    await session.feed(LOGIN)
    assert await session.feed(b"a1 COMPRESS DEFLATE\r\n") == b"a1 OK DEFLATE active\r\n"
    return Client(session)


TALK = (
    b"b1 SELECT INBOX\r\n",
    b"b2 FETCH 1:* (UID FLAGS ENVELOPE BODY.PEEK[])\r\nb3 NOOP\r\nb4 SEARCH ALL\r\n",
    b"b5 STORE 1 +FLAGS (\\Seen)\r\n",
    b"b6 APPEND INBOX {14+}\r\nSubject: x\r\n\r\n\r\n",
    b"b7 APPEND INBOX {14}\r\n",
    b"Subject: y\r\n\r\n\r\n",
    b"b8 IDLE\r\n",
    b"DONE\r\n",
    b"b9 BOGUS\r\n",
    b"c1 COMPRESS DEFLATE\r\n",
    b"c2 LOGOUT\r\n",
)


@pytest.mark.parametrize("by", [1 << 30, 1])
async def test_the_conversation_is_the_same(tmp_path: pathlib.Path, by: int) -> None:
    said = []
    for compressed in (False, True):
        world = ImapWorld(tmp_path, {"messages": "plain mixed short"})
        await world.fill()
        async with Stage(world.serve, world.connect) as stage:
            if compressed:
                talker = await client(stage)
                said.append([await talker.feed(octets, by=by) for octets in TALK])
                assert talker.session.closed
            else:
                session = stage.open(1)
                await session.greeting()
                await session.feed(LOGIN)
                said.append([await session.feed(octets) for octets in TALK])
        world.close()
    plain, packed = said
    assert packed[:9] == plain[:9]
    assert packed[9] == b"c1 BAD compressed already\r\n"
    assert packed[10].startswith(b"* BYE ")
    assert packed[10].endswith(b"c2 OK LOGOUT completed\r\n")


async def test_news_come_compressed_to_who_idles(stage: Stage, world: ImapWorld) -> None:
    idler = await client(stage)
    await idler.feed(b"b1 SELECT INBOX\r\n")
    await idler.feed(b"b2 IDLE\r\n")
    await world.deliver(b"Subject: new\r\n\r\n")
    assert await idler.feed(b"") == b"* 4 EXISTS\r\n* 1 RECENT\r\n"
    await world.deliver(b"Subject: new\r\n\r\n")
    assert await idler.feed(b"") == b"* 5 EXISTS\r\n* 2 RECENT\r\n"
    assert await idler.feed(b"DONE\r\n") == b"b2 OK IDLE terminated\r\n"


async def test_what_was_sent_too_early_counts_as_compressed(stage: Stage) -> None:
    session = stage.open(1)
    await session.greeting()
    await session.feed(LOGIN)
    talker = Client(session)
    said = await session.feed(b"a1 COMPRESS DEFLATE\r\n" + talker.packed(b"a2 NOOP\r\n"))
    plain, _, packed = said.partition(b"\r\n")
    assert plain == b"a1 OK DEFLATE active"
    assert talker.hears.decompress(packed) == b"a2 OK NOOP completed\r\n"


async def test_unauthenticate_ends_it(stage: Stage) -> None:
    talker = await client(stage)
    assert await talker.feed(b"b1 UNAUTHENTICATE\r\n") == b"b1 OK UNAUTHENTICATE completed\r\n"
    assert await talker.session.feed(b"b2 NOOP\r\n") == b"b2 OK NOOP completed\r\n"
    await talker.session.feed(LOGIN)
    assert await talker.session.feed(b"b3 COMPRESS DEFLATE\r\n") == b"b3 OK DEFLATE active\r\n"
    assert await Client(talker.session).feed(b"b4 NOOP\r\n") == b"b4 OK NOOP completed\r\n"


async def test_a_stranger_has_no_compression(stage: Stage) -> None:
    session = stage.open(1)
    assert b"COMPRESS" not in await session.greeting()
    assert (await session.feed(b"a1 COMPRESS DEFLATE\r\n")).startswith(b"a1 BAD ")


# --- row 25 ----------------------------------------------------------------------------------------------


async def test_a_bomb_is_inflated_piece_by_piece_until_a_limit_is_met(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    talker, other = await client(stage), await client(stage, 2)
    most = 0
    more = Deflate.more

    def counted(self: Deflate) -> bytes:
        nonlocal most
        found = more(self)
        most += len(found)
        return found

    monkeypatch.setattr(Deflate, "more", counted)
    bomb = b"b1 NOOP" + b" " * 10_000_000
    said = await talker.feed(bomb)
    assert said.startswith(b"* BYE command line too long")
    assert most <= 4 * INFLATED_AT_ONCE
    assert await other.feed(b"b1 NOOP\r\n") == b"b1 OK NOOP completed\r\n"


async def test_a_bomb_of_commands_lets_others_have_their_turn(stage: Stage) -> None:
    talker, other = await client(stage), await client(stage, 2)
    talker.session.connection.put(talker.packed(b"b NOOP\r\n" * 30_000))
    answered = 0
    while answered < 5:
        if await asyncio.wait_for(other.feed(b"b1 NOOP\r\n"), 20):
            answered += 1
    said = talker.hears.decompress(talker.session.connection.taken() + await talker.session.feed(b""))
    assert said.count(b"b OK NOOP") == 30_000


@pytest.mark.parametrize("octets", [b"b1 NOOP\r\n", b"\xff" * 100, bytes(range(256))])
async def test_garbage_is_the_end(stage: Stage, octets: bytes) -> None:
    talker = await client(stage)
    said = talker.hears.decompress(await talker.session.feed(octets))
    assert said == b"* BYE what came is not compressed\r\n"
    assert talker.session.closed


async def test_the_end_of_the_stream_is_the_end(stage: Stage) -> None:
    talker = await client(stage)
    last = talker.sends.compress(b"b1 NOOP\r\n") + talker.sends.flush(zlib.Z_FINISH)
    assert talker.hears.decompress(await talker.session.feed(last)).startswith(b"* BYE the compressed stream")
    assert talker.session.closed


async def test_garbage_inside_a_message_and_while_idle(stage: Stage) -> None:
    for command in (b"b1 APPEND INBOX {1000+}\r\nSubject", b"b1 IDLE\r\n"):
        talker = await client(stage)
        await talker.feed(command)
        assert b"* BYE what came is not compressed" in talker.hears.decompress(
            await talker.session.feed(b"\xff" * 100)
        )
        assert talker.session.closed


async def test_pieces_without_content_cost_nothing(stage: Stage) -> None:
    talker = await client(stage)
    assert await talker.session.feed(b"\x00\x00\x00\xff\xff" * 100_000) == b""
    assert await talker.feed(b"b1 NOOP\r\n") == b"b1 OK NOOP completed\r\n"


async def test_the_size_of_a_reply_tells_nothing_of_another(stage: Stage) -> None:
    talker = await client(stage)
    await talker.feed(b"b1 SELECT INBOX\r\n")
    sizes = []
    for _ in range(3):  # were it compressed by what was said before, the second would be shorter
        said = await talker.session.feed(talker.packed(b"b2 FETCH 1 BODY.PEEK[]\r\n"))
        sizes.append(len(said))
        assert talker.hears.decompress(said).endswith(b"b2 OK FETCH completed\r\n")
    assert len(set(sizes)) == 1
    together = await talker.session.feed(talker.packed(b"b2 FETCH 1 BODY.PEEK[]\r\n" * 2))
    assert len(together) == 2 * sizes[0]


def test_any_octets_are_inflated_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(300):
        text = bytes(rng.choices(b"abc \r\n", k=rng.randrange(2000)))
        packer = zlib.compressobj(wbits=-15)
        packed = bytearray(packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))
        spoiled = rng.random() < 0.5
        if spoiled:
            packed[rng.randrange(len(packed))] ^= 1 << rng.randrange(8)
        layer, found = Deflate(), b""
        try:
            while packed:
                cut = rng.randrange(1, len(packed) + 1)
                layer.receive(bytes(packed[:cut]))
                del packed[:cut]
                while layer.waiting:
                    found += layer.more()
        except BadCompression:
            assert spoiled
        else:
            assert spoiled or found == text


def test_what_is_inflated_is_bounded_at_every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deflate, "INFLATED_AT_ONCE", 100)
    packer = zlib.compressobj(wbits=-15)
    for size in (99, 100, 101, 5000):
        layer = Deflate()
        packer = zlib.compressobj(wbits=-15)
        layer.receive(packer.compress(b"x" * size) + packer.flush(zlib.Z_SYNC_FLUSH))
        looks = []
        while layer.waiting:
            looks.append(layer.more())
        assert b"".join(looks) == b"x" * size
        assert max(map(len, looks)) <= 100
