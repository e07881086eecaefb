"""Filters (RFC 5466): whose they are, and what may not be made of them."""

import pathlib
from collections.abc import AsyncIterator

import pytest

from a3mailer.mail.ids import DEFAULT_TENANT, SYSTEM_ACCOUNT, AccountId
from a3mailer.store.operations import PutDocument
from a3mailer.store.ports import Transaction
from a3mailer.store.rows import METADATA
from a3mailer.testing.memory_connection import MemorySession, Stage
from a3mailer.wire.imap import limits
from a3mailer.wire.imap.errors import BadSyntax, UndefinedFilter
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.search import FILTER_PASSES, parse_search, with_filters
from tests.transcripts.imap_world import ImapWorld


@pytest.fixture
async def world(tmp_path: pathlib.Path) -> AsyncIterator[ImapWorld]:
    world = ImapWorld(tmp_path, {"messages": "plain mixed short"})
    await world.fill()
    yield world
    world.close()


async def put(world: ImapWorld, account: AccountId, name: str, value: str) -> None:
    await world.store.commit(Transaction((PutDocument(account, METADATA, name, value),)))


async def reader(stage: Stage) -> MemorySession:
    session = stage.open(1)
    await session.greeting()
    await session.feed(b"a0 LOGIN alice@example.test secret-a\r\na0 EXAMINE INBOX\r\n")
    return session


async def test_a_private_filter_goes_before_that_of_all(world: ImapWorld) -> None:
    values = "/shared/filters/values/mine"
    await put(world, SYSTEM_ACCOUNT, f"{DEFAULT_TENANT}{values}", "SUBJECT short")
    await put(world, SYSTEM_ACCOUNT, f"{DEFAULT_TENANT + 1}/shared/filters/values/theirs", "ALL")
    await put(world, world.accounts["bob"], "0/private/filters/values/bobs", "ALL")
    async with Stage(world.serve, world.connect) as stage:
        session = await reader(stage)
        assert (await session.feed(b"b1 SEARCH FILTER mine\r\n")).startswith(b"* SEARCH 3\r\n")
        await put(world, world.accounts["alice"], "0/private/filters/values/mine", "1:2")
        assert (await session.feed(b"b2 SEARCH FILTER mine\r\n")).startswith(b"* SEARCH 1 2\r\n")
        for other in (b"theirs", b"bobs"):
            told = await session.feed(b"b3 SEARCH FILTER %b\r\n" % other)
            assert told == b"b3 NO [UNDEFINED-FILTER %b] no such filter\r\n" % other


@pytest.mark.parametrize("value", ["OR SEEN", "ALL)", 'SUBJECT "', "SUBJECT {9}\r\nabc", "", "FILTER"])
async def test_a_filter_that_is_no_search_fails_the_command(world: ImapWorld, value: str) -> None:
    await put(world, world.accounts["alice"], "0/private/filters/values/x", value)
    async with Stage(world.serve, world.connect) as stage:
        session = await reader(stage)
        await session.feed(b"b1 SEARCH RETURN (SAVE) ALL\r\n")
        told = await session.feed(b"b2 SEARCH RETURN (SAVE) NOT FILTER x\r\n")
        assert told == b"b2 NO [CANNOT] the filter is not a search\r\n"
        assert await session.feed(b"b3 SEARCH $\r\n") == b"* SEARCH\r\nb3 OK SEARCH completed\r\n"


def test_filters_cannot_make_a_search_of_any_length() -> None:
    value = b"FILTER b " * 1000 + b"ALL"
    request = parse_search(Parser(b" FILTER a"))
    with pytest.raises(BadSyntax, match="too long"):
        with_filters(request, {b"a": value, b"b": b"ALL " * 100 + b"ALL"})
    assert len(value) * 403 > limits.COMMAND_LINE


def test_a_circle_of_filters_ends_where_depth_does() -> None:
    request = parse_search(Parser(b" FILTER a"))
    with pytest.raises(UndefinedFilter):
        with_filters(request, {b"a": b"NOT FILTER b", b"b": b"(FILTER a)"})
    values = {b"f%d" % depth: b"FILTER f%d" % (depth + 1) for depth in range(FILTER_PASSES)}
    values[b"f%d" % (FILTER_PASSES - 1)] = b"SEEN"
    assert (
        with_filters(parse_search(Parser(b" FILTER f0")), values).program
        == parse_search(Parser(b" SEEN")).program
    )
