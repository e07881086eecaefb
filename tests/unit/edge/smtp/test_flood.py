"""Attack row 12: long lines, floods of RCPT and of NOOP are answered and cost no memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from a3mailer.testing.memory_connection import MemorySession, Stage
from tests.transcripts.smtp_world import SmtpWorld

SEGMENT = 64 * 1024
KEPT = 2 * 1024 * 1024
"""Octets a session may hold at its worst: a few segments, whatever is sent."""


async def flood(session: MemorySession, octets: bytes, times: int) -> tuple[bytes, int, int]:
    """(the end of what was said, replies, peak memory)."""
    said, replies = b"", 0
    tracemalloc.start()
    for _ in range(times):
        if session.closed:
            break
        answer = await session.feed(octets)
        replies += answer.count(b"\n")
        said = (said + answer)[-200:]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return said, replies, peak


@pytest.mark.parametrize("begin", [b"EHLO ", b"", b"MAIL FROM:<", b"RCPT TO:<@a", b"AUTH PLAIN ", b"\0"])
async def test_a_line_of_five_megabytes(begin: bytes, tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path)
    async with Stage(world.serve, world.connect) as stage:
        session = stage.open(1)
        await session.greeting()
        await session.feed(begin)
        said, replies, peak = await flood(session, b"x" * SEGMENT, 80)
        assert said.startswith(b"500 5.5.2 ") and replies == 1
        assert peak < KEPT
        assert await session.feed(b"y\r\nNOOP\r\n") == b"250 2.0.0 OK\r\n"


async def test_a_hundred_thousand_noops(tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path)
    async with Stage(world.serve, world.connect) as stage:
        session = stage.open(1)
        await session.greeting()
        said, replies, peak = await flood(session, b"NOOP\r\n" * 10_000, 10)
        assert said.endswith(b"421 4.7.0 too many errors\r\n")
        assert replies == 101
        assert peak < KEPT


async def test_a_hundred_thousand_recipients(tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path)
    async with Stage(world.serve, world.connect) as stage:
        session = stage.open(1)
        await session.greeting()
        await session.feed(b"EHLO a\r\nMAIL FROM:<a@example.org>\r\n")
        said, replies, peak = await flood(session, b"RCPT TO:<bob@example.test>\r\n" * 10_000, 10)
        assert said.endswith(b"421 4.7.0 too many errors\r\n")
        assert replies == 100 + 1000 + 1
        assert peak < KEPT


async def test_empty_chunks_are_no_way_to_stay(tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path)
    async with Stage(world.serve, world.connect) as stage:
        session = stage.open(1)
        await session.greeting()
        await session.feed(b"EHLO a\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<bob@example.test>\r\n")
        said, replies, _ = await flood(session, b"BDAT 0\r\n" * 1000, 10)
        assert said.endswith(b"421 4.7.0 too many errors\r\n")
        assert replies == 100


@pytest.mark.parametrize("piece", [b"x" * 1023, b"x" * SEGMENT])
async def test_a_large_content_is_on_disk_and_an_endless_one_is_dropped(piece: bytes, tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path, {"smtp.size": str(4 * 1024 * 1024)})
    async with Stage(world.serve, world.connect) as stage:
        session = stage.open(1)
        await session.greeting()
        await session.feed(b"EHLO a\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n")
        times = SEGMENT // len(piece)
        _, _, peak = await flood(session, piece, 6 * times)
        for _ in range(120 if times == 1 else 0):
            await session.feed(piece)
        assert peak < 2 * KEPT
        assert (await session.feed(b"\r\n.\r\n"))[:4] == (b"552 " if times == 1 else b"250 ")


async def test_content_in_tiny_pieces_costs_its_octets(tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path)
    async with Stage(world.serve, world.connect) as stage:
        session = stage.open(1)
        await session.greeting()
        await session.feed(b"EHLO a\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<bob@example.test>\r\n")
        _, _, peak = await flood(session, b"BDAT 2\r\nab" * 5000, 10)
        assert peak < KEPT
        await session.feed(b"BDAT 0 LAST\r\n")
    assert world.kept.octets == [b"ab" * 50_000]
