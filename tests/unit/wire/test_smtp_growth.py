"""What an SMTP client or server can send costs in step with its size (attack rows 12, 20; CPU, not time)."""

from __future__ import annotations

import contextlib

import pytest

from a3mailer.wire.errors import RemoteProtocolError
from a3mailer.wire.smtp import commands, paths
from a3mailer.wire.smtp import events as ev
from a3mailer.wire.smtp.content import encode_data, in_pieces
from a3mailer.wire.smtp.engine import Engine, Offer
from a3mailer.wire.smtp.remote import ReplyReader
from a3mailer.wire.smtp.replies import Reply
from a3mailer.wire.smtp.xtext import decode_xtext
from tests.growth import assert_linear

OK, GO = Reply(250, "2.0.0", "ok"), Reply(354, "", "go on")
BEGIN = b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n"
SESSIONS = {
    "one long line": lambda n: b"x" * n,
    "bare line feeds": lambda n: b"\n" * n,
    "bare carriage returns": lambda n: b"\r" * n,
    "empty commands": lambda n: b"\r\n" * n,
    "commands": lambda n: b"NOOP\r\n" * n,
    "recipients": lambda n: BEGIN + b"RCPT TO:<c@d>\r\n" * n,
    "stuffed lines": lambda n: BEGIN + b"DATA\r\n" + b"..\r\n" * n,
    "nearly ends": lambda n: BEGIN + b"DATA\r\n" + b"\r\n.\r" * n,
    "line ends": lambda n: BEGIN + b"DATA\r\n" + b"\r\n" * n,
    "wrong ends": lambda n: BEGIN + b"DATA\r\n" + b"\n.\n\r.\r" * n,
    "chunks": lambda n: BEGIN + b"BDAT 1\r\nx" * n,
    "refused chunks": lambda n: b"BDAT 1\r\nx" * n,
    "one content": lambda n: BEGIN + b"DATA\r\n" + b"y" * n,
}


def play(octets: bytes, step: int) -> None:
    engine = Engine(Offer("mx", 10**9, 100, 100))
    for at in range(0, len(octets), step):
        engine.receive(octets[at : at + step])
        while (event := engine.next_event()) is not None:
            if not isinstance(event, ev.Content) or event.last:
                engine.reply(
                    GO if isinstance(event, ev.Data) else event.reply if isinstance(event, ev.Refused) else OK
                )


@pytest.mark.parametrize("step", [1, 65_536])
@pytest.mark.parametrize("name", SESSIONS)
def test_a_session(name: str, step: int) -> None:
    assert_linear(SESSIONS[name], lambda octets: play(octets, step), 1000)


LINES = {
    "source route": lambda n: b"RCPT TO:<" + b",".join([b"@a"] * n) + b":b@c>",
    "open brackets": lambda n: b"RCPT TO:<" + b"@[:" * n + b"b@c>",
    "quotes": lambda n: b'RCPT TO:<"' + b"\\a" * n + b'"@c>',
    "dots": lambda n: b"RCPT TO:<a@" + b"b." * n + b"c>",
    "parameters": lambda n: b"MAIL FROM:<>" + b" A=b" * n,
    "xtext": lambda n: b"MAIL FROM:<> ENVID=" + b"+2B" * n,
    "labels": lambda n: b"RCPT TO:<a@" + "ü.".encode() * n + b"c>",
}


@pytest.mark.parametrize("name", LINES)
def test_a_command(name: str) -> None:
    """A line is at most 4,096 octets; its parsers are linear beyond that."""

    def parse(octets: bytes) -> None:
        paths.parse_domain.cache_clear()
        with contextlib.suppress(RemoteProtocolError):
            commands.parse_command(octets, commands.COMMANDS)

    assert_linear(LINES[name], parse, 1000)


def test_xtext() -> None:
    assert_linear(lambda n: b"+2B" * n, decode_xtext, 10_000)


@pytest.mark.parametrize("piece", [b"x", b"\n", b"\r", b".\r\n", b"\r\n.\r\n", b"x\n.\n"])
def test_contents_out(piece: bytes) -> None:
    assert_linear(lambda n: piece * n, lambda octets: list(encode_data(in_pieces(octets))), 10_000)


@pytest.mark.parametrize("piece", [b"250-x\r\n", b"250 x\r\n", b"x", b"250-\n"])
@pytest.mark.parametrize("step", [1, 100_000])
def test_replies(piece: bytes, step: int) -> None:
    def read(octets: bytes) -> None:
        reader = ReplyReader()
        with contextlib.suppress(RemoteProtocolError):
            for at in range(0, len(octets), step):
                reader.receive(octets[at : at + step])
                while reader.next_reply() is not None:
                    pass

    assert_linear(lambda n: piece * n, read, 5000)
