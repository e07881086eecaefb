"""Fuzz targets of milters: any octets are a filter, and what it changes leaves one mail."""

from __future__ import annotations

import random
import struct
import zlib

from a3mailer.transfer.policy.rewrite import changed, split, told
from a3mailer.wire.errors import RemoteProtocolError
from a3mailer.wire.milter.engine import Mail, MilterEngine, Verdict
from a3mailer.wire.milter.packets import packet
from tests.fuzz import mutate

GO_ON = packet(b"c")
CHANGES = (
    packet(b"h", b"X-A\0 b\r\n c\0"), packet(b"i", b"\0\0\0\1X-B\0b\n\nc\0"),
    packet(b"m", b"\0\0\0\1Subject\0\0"),
    packet(b"b", b"new body"), packet(b"+", b"<x@a.test>\0"), packet(b"-", b"<x@a.test>\0"),
    packet(b"e", b"<y@a.test>\0"), packet(b"q", b"x\0"), packet(b"2", b"<x@a.test>\0NOTIFY=NEVER\0"),
    packet(b"m", b"\0\0\0\2From\0 z\0"),
)  # fmt: skip
SEEDS = (
    packet(b"O", struct.pack("!III", 6, 0x1FF, 0)) + GO_ON * 9 + b"".join(CHANGES) + GO_ON,
    packet(b"O", struct.pack("!III", 6, 0, 0x1FF0FF & ~0x800)) + GO_ON + packet(b"a"),
    packet(b"O", struct.pack("!III", 2, 0, 0) + b"\0\0\0\0i j\0") + GO_ON + packet(b"y", b"550 5.7.1 no\0"),
    packet(b"O", struct.pack("!III", 6, 0, 0)) + GO_ON * 8 + packet(b"s") + packet(b"p") + packet(b"t"),
)
TOKENS = (
    *CHANGES,
    GO_ON,
    packet(b"s"),
    packet(b"p"),
    packet(b"d"),
    b"\0",
    b"\n",
    b"\r\n",
    b"\0\0\0\1",
    b"\xff",
)
OCTETS = b"From: a\r\nSubject: b\r\n c\r\nno field\r\nSubject: d\r\n\r\nbody\r\n"


def filter_of(octets: bytes) -> None:
    fields, _, body = split(OCTETS)
    mail = Mail("x", "192.0.2.1", 1, b"y", (b"<>",), ((b"<a@b>",),), told(fields), body, max_body=1 << 20)
    rng = random.Random(zlib.crc32(octets))
    engine, at = MilterEngine(mail), 0
    while at < len(octets) and engine.result is None:
        step = rng.choice((1, 7, 100, 100_000))
        engine.receive(octets[at : at + step])
        engine.octets_to_send()
        at += step
    if engine.result is not None and engine.result.verdict is Verdict.ACCEPT:
        new = changed(OCTETS, engine.result.changes, leading_space=engine.leading_space)
        header, empty, _ = split(new)
        assert empty and all(b":" in field or field == b"no field\r\n" for field in header)


@mutate.CASES
def test_any_octets_are_a_filter(count: int, seed: int) -> None:
    mutate.run(filter_of, SEEDS, count=count, seed=seed, tokens=TOKENS, allowed=(RemoteProtocolError,))


MAILS = (
    OCTETS,
    b"",
    b"\r\n",
    b"\n\nx",
    b"a: b",
    b"a: b\r\n",
    b" x\r\na: b\n\n",
    b"a:b\rc:d\r\n\r\n",
    b"a\r\n\r\n",
)


def mail(octets: bytes) -> None:
    fields, empty, body = split(octets)
    assert b"".join(fields) + empty + body == octets
    assert changed(octets, (), leading_space=True) == octets
    assert all(name for name, _ in told(fields))


@mutate.CASES
def test_any_mail_comes_apart_and_together(count: int, seed: int) -> None:
    mutate.run(
        mail, MAILS, count=count, seed=seed, tokens=(b"\r\n", b"\n", b"\r", b":", b" ", b"a: b\r\n", b"\x0b")
    )
