"""Whose 250 may not have been heard: the mails of a session that ends without a word (ADR 0010)."""

from __future__ import annotations

from pathlib import Path

import pytest

from a3mailer.edge.smtp.unheard import MOST, SECONDS, Unheard
from a3mailer.testing.memory_connection import Stage
from tests.transcripts.smtp_world import SmtpWorld

MAIL = b"MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n"
CONTENT = b"Subject: x\r\n\r\ny\r\n.\r\n"


@pytest.mark.parametrize(
    ("last", "doubted"),
    [
        (b"", [b"mail 1", b"mail 2"]),
        (b"NOOP\r\n" + MAIL, [b"mail 1", b"mail 2"]),  # it may have gone before it wrote either down
        (b"QUIT\r\n", []),
    ],
)
async def test_who_goes_without_quit_is_doubted(tmp_path: Path, last: bytes, doubted: list[bytes]) -> None:
    world = SmtpWorld(tmp_path)
    async with Stage(world.serve, world.connect) as stage:
        session = stage.open(1)
        for octets in (b"EHLO b.test\r\n", MAIL, CONTENT, MAIL, CONTENT, last):
            await session.feed(octets)
        session.connection.end()
    assert world.kept.doubted == doubted


def test_the_last_mails_of_the_last_minute() -> None:
    now = 0.0
    unheard = Unheard(lambda: now)
    unheard.add(b"old")
    now = SECONDS + 1
    for number in range(3):
        unheard.add(b"%d" % number)
    assert unheard.take() == (b"0", b"1", b"2")
    assert unheard.take() == ()
    for number in range(MOST + 5):
        unheard.add(b"%d" % number)
    assert unheard.take()[0] == b"5"
