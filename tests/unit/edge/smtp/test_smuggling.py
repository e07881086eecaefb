"""Attack row 1 (CVE-2023-51764, -51765, -51766): whatever only looks like an end of data ends nothing.

What we do with such a content is what Postfix does since 3.9: it is one mail. It is stored as it came;
``wire/smtp/content.py`` makes it harmless for every server after us (row 2).
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from a3mailer.testing.memory_connection import Stage
from tests.transcripts.smtp_world import SmtpWorld

VARIANTS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\n.\r\r\n",
    b"\r\n.\0\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\r\0\n",
    b"\r.\r\n",
    b"\r.\n",
    b"\n.\r",
    b"\r\r\n.\n",
    b"\r\n.\r\r\n",
    b"\r\n. \r\n",
    b"\r\n.\x85\r\n",
    b"\r\n.\xe2\x80\xa8",
]
PIECES = [b"\r\n", b"\n", b"\r", b"\0"]
EVIL = (
    b"MAIL FROM:<admin@example.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n"
    b"From: admin@example.test\r\n\r\nsmuggled\r\n.\r\n"
)
BEGIN = b"EHLO a.example\r\nMAIL FROM:<eve@example.org>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"


def all_variants() -> list[bytes]:
    """The published ones, and every dot between two wrong or right line ends but the right pair."""
    made = [a + b"." + b for a, b in itertools.product(PIECES, PIECES) if (a, b) != (b"\r\n", b"\r\n")]
    return sorted({*VARIANTS, *made})


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize("variant", all_variants(), ids=repr)
async def test_one_mail(variant: bytes, step: int, tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path)
    sent = BEGIN + b"Subject: x\r\n\r\nbefore" + variant + EVIL + b"QUIT\r\n"
    async with Stage(world.serve, world.connect) as stage:
        session = stage.open(1)
        said = await session.greeting()
        for at in range(0, len(sent), step or len(sent)):
            said += await session.feed(sent[at : at + (step or len(sent))])
    assert [str(a.envelope.reverse_path) for a in world.kept.arrivals] == ["eve@example.org"]
    content = world.kept.octets[0]
    assert content.endswith(b"smuggled\r\n")
    stuffed = b"before" + variant + b"MAIL"
    assert stuffed.replace(b"\r\n.", b"\r\n") in content
    assert said.endswith(b"221 2.0.0 bye\r\n")


async def test_the_right_end_is_an_end(tmp_path: Path) -> None:
    """The same bytes with CRLF.CRLF are two mails: the test above can tell the difference."""
    world = SmtpWorld(tmp_path)
    async with Stage(world.serve, world.connect) as stage:
        session = stage.open(1)
        await session.greeting()
        await session.feed(BEGIN + b"before\r\n.\r\n" + EVIL + b"QUIT\r\n")
    assert len(world.kept.arrivals) == 2
