"""Framing and order of POP3 commands (RFC 1939, RFC 2449, RFC 5034)."""

import pytest

from a3mailer.wire.errors import LocalProtocolError
from a3mailer.wire.pop3 import commands as c
from a3mailer.wire.pop3 import limits
from a3mailer.wire.pop3.commands import State
from a3mailer.wire.pop3.engine import Engine, Event, Refused, Response, Wrong


def events(engine: Engine, octets: bytes) -> list[Event]:
    engine.receive(octets)
    found = []
    while (event := engine.next_event()) is not None:
        found.append(event)
    return found


def user() -> Engine:
    engine = Engine()
    engine.authorized()
    return engine


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b"STAT", c.Stat()),
        (b"stat", c.Stat()),
        (b"LIST", c.List(None)),
        (b"LIST 007", c.List(7)),
        (b"UIDL 3", c.Uidl(3)),
        (b"RETR 4294967295", c.Retr(4294967295)),
        (b"TOP 1 0", c.Top(1, 0)),
        (b"DELE 2", c.Dele(2)),
        (b"NOOP", c.Noop()),
        (b"RSET", c.Rset()),
        (b"QUIT", c.Quit()),
        (b"CAPA", c.Capa()),
        (b"LANG zh-Hans", c.Lang("zh-Hans")),
        (b"LANG *", c.Lang("*")),
        (b"USER x", Refused(Wrong.STATE)),
        (b"LIST  1", Refused(Wrong.ARGUMENTS)),
        (b"LIST 1 ", Refused(Wrong.ARGUMENTS)),
        (b"RETR +1", Refused(Wrong.ARGUMENTS)),
        (b"RETR \xd9\xa1", Refused(Wrong.ARGUMENTS)),
        (b"RETR 12345678901", Refused(Wrong.ARGUMENTS)),
        (b"TOP 1", Refused(Wrong.ARGUMENTS)),
        (b"TOP 1 1 1", Refused(Wrong.ARGUMENTS)),
        (b"LANG " + b"a" * 65, Refused(Wrong.ARGUMENTS)),
        (b"LANG en/us", Refused(Wrong.ARGUMENTS)),
        (b"STAT\t", Refused(Wrong.OCTETS)),
        (b"RETRX 1", Refused(Wrong.UNKNOWN)),
    ],
)
def test_a_line_is_a_command_or_refused(line: bytes, event: Event) -> None:
    assert events(user(), line + b"\r\n") == [event]


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b"USER alice", c.User("alice")),
        (b"USER a b", c.User("a b")),
        (b"USER \xff", Refused(Wrong.ARGUMENTS)),
        (b"USER ", Refused(Wrong.ARGUMENTS)),
        (b"PASS x", Refused(Wrong.STATE)),
        (b"AUTH", c.AuthList()),
        (b"AUTH PLAIN", c.Auth("PLAIN", None)),
        (b"AUTH PLAIN =", c.Auth("PLAIN", b"")),
        (b"AUTH PLAIN AGEAYg==", c.Auth("PLAIN", b"\0a\0b")),
        (b"AUTH PLAIN AGEAYg", Refused(Wrong.ARGUMENTS)),
        (b"AUTH PLAIN ", Refused(Wrong.ARGUMENTS)),
        (b"AUTH " + b"X" * 21, Refused(Wrong.ARGUMENTS)),
        (b"AUTH a.b", Refused(Wrong.ARGUMENTS)),
        (b"STAT", Refused(Wrong.STATE)),
    ],
)
def test_a_strangers_line(line: bytes, event: Event) -> None:
    assert events(Engine(), line + b"\r\n") == [event]


def test_a_password_follows_its_name_at_once_and_keeps_its_spaces() -> None:
    engine = Engine()
    assert events(engine, b"USER a\r\n") == [c.User("a")]
    engine.accept_name()
    assert events(engine, b"PASS  b c \r\n") == [c.Pass(" b c ")]
    engine.accept_name()
    assert events(engine, b"CAPA\r\nPASS b\r\n") == [c.Capa(), Refused(Wrong.STATE)]
    assert "b c" not in repr(c.Pass("b c"))


def test_a_response_belongs_to_its_exchange() -> None:
    engine = Engine()
    for line, event in (
        (b"AGEAYg==", Response(b"\0a\0b")),
        (b"", Response(b"")),
        (b"*", Refused(Wrong.CANCELLED)),
        (b"a b", Refused(Wrong.BASE64)),
    ):
        engine.expect_response()
        assert events(engine, line + b"\r\nCAPA\r\n") == [event, c.Capa()]


def test_lines_end_in_crlf_and_nothing_else() -> None:
    engine = user()
    assert events(engine, b"NOOP\nNOOP\r\n\nNO\rOP\r\n") == [
        Refused(Wrong.LINE_END),
        c.Noop(),
        Refused(Wrong.LINE_END),
        Refused(Wrong.OCTETS),
    ]


@pytest.mark.parametrize("responding", [False, True])
def test_a_line_that_does_not_end_ends_the_session_and_takes_no_more_room(responding: bool) -> None:
    engine = Engine()
    if responding:
        engine.expect_response()
    most = limits.RESPONSE_LINE if responding else limits.COMMAND_LINE
    assert events(engine, b"A" * (most - 1)) == []
    assert events(engine, b"A") == [Refused(Wrong.TOO_LONG, fatal=True)]
    assert events(engine, b"\r\nQUIT\r\n" * 1000) == []


def test_what_is_pipelined_behind_a_command_waits() -> None:
    engine = Engine()
    engine.receive(b"STLS\r\nUSER")
    assert engine.next_event() == c.Stls() and engine.pending and not engine.complete
    engine.receive(b" a\r\n")
    assert engine.complete and engine.next_event() == c.User("a") and not engine.pending


def test_our_own_mistakes_are_named() -> None:
    engine = user()
    with pytest.raises(LocalProtocolError):
        engine.authorized()
    with pytest.raises(LocalProtocolError):
        engine.expect_response()
    assert engine.state is State.TRANSACTION
