"""Framing: commands, literals, their limits, messages of APPEND."""

import pytest

from a3mailer.wire.imap import engine as e
from a3mailer.wire.imap import limits
from a3mailer.wire.imap.errors import LocalProtocolError


def events(octets: bytes, *, authenticated: bool = True) -> list[e.Event]:
    engine = e.Engine()
    engine.authenticated = authenticated
    engine.receive(octets)
    found: list[e.Event] = []
    while (event := engine.next_event()) is not None:
        found.append(event)
    return found


def test_a_command_is_its_line_without_the_crlf() -> None:
    assert events(b"a1 NOOP\r\na2 NOOP\r\n") == [e.Command(b"a1 NOOP"), e.Command(b"a2 NOOP")]


def test_half_a_line_is_no_event() -> None:
    engine = e.Engine()
    engine.receive(b"a1 NO")
    assert engine.next_event() is None
    assert engine.pending
    engine.receive(b"OP\r")
    assert engine.next_event() is None
    engine.receive(b"\na2")
    assert engine.next_event() == e.Command(b"a1 NOOP")


def test_a_line_that_ends_in_lf_alone_is_refused_and_never_run() -> None:
    assert events(b"a1 NOOP\na2 NOOP\r\n") == [
        e.Refused(b"a1", b"a line must end in CRLF", fatal=False),
        e.Command(b"a2 NOOP"),
    ]


def test_literals_stay_in_place() -> None:
    octets = b"a1 LOGIN {5+}\r\nal\r\nx {0+}\r\n\r\n"
    assert events(octets) == [e.Command(octets[:-2])]


def test_a_synchronising_literal_is_asked_for() -> None:
    assert events(b"a1 LOGIN {3}\r\n") == [e.GO_AHEAD]
    assert events(b"a1 LOGIN {3}\r\nbob x\r\n") == [e.GO_AHEAD, e.Command(b"a1 LOGIN {3}\r\nbob x")]


def test_braces_that_are_no_literal_are_text() -> None:
    for line in (b"a1 X foo}", b"a1 X {}", b"a1 X {+}", b"a1 X {a}", b"a1 X {1-}", b"a1 X {-1}"):
        assert events(line + b"\r\n") == [e.Command(line)]


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"a1 LOGIN {4294967295+}\r\n", b"command too large before login"),
        (b"a1 LOGIN {%b+}\r\n" % (b"9" * 5000), b"command too large before login"),
        (b"a1 LOGIN {4097+}\r\n", b"literal too large, LITERAL- allows 4096"),
        (b"a1 LOGIN {8192}\r\n", b"command too large before login"),
        (b"a1 X" + b"x" * 8200, b"command line too long"),
        (b"a1 X {4000+}\r\n" + b"x" * 8300, b"command line too long"),
        (b"a1 X {4090+}\r\n" + b"x" * 4090 + b" {4096+}\r\n", b"command too large before login"),
    ],
)
def test_before_login_a_command_has_8_kib_and_no_more(octets: bytes, text: bytes) -> None:
    found = events(octets, authenticated=False)
    assert found == [e.Refused(b"a1", text, fatal=True)]


def test_before_login_a_literal_of_4096_octets_is_taken() -> None:
    octets = b"a1 LOGIN {4096+}\r\n" + b"x" * 4096 + b" y"
    assert events(octets + b"\r\n", authenticated=False) == [e.Command(octets)]


def test_many_small_literals_end_the_connection() -> None:
    found = events(b"a1 SEARCH" + b" {1+}\r\nx" * 100_000)
    assert found == [e.Refused(b"a1", b"too many literals in one command", fatal=True)]


def test_a_large_literal_is_refused_before_it_comes() -> None:
    size = limits.COMMAND_LITERALS + 1
    assert events(b"a1 SEARCH TEXT {%d}\r\na2 NOOP\r\n" % size) == [
        e.Refused(b"a1", b"literal too large", fatal=False),
        e.Command(b"a2 NOOP"),
    ]
    assert events(b"a1 SEARCH TEXT {%d+}\r\n" % size) == [e.Refused(b"a1", b"literal too large", fatal=True)]


def test_a_refused_connection_says_nothing_more() -> None:
    engine = e.Engine()
    engine.receive(b"x" * 9000)
    assert isinstance(engine.next_event(), e.Refused)
    engine.receive(b"a1 NOOP\r\n")
    assert engine.next_event() is None


def test_a_continuation_line_belongs_to_its_command() -> None:
    engine = e.Engine()
    engine.receive(b"a1 IDLE\r\nDONE\r\na2 NOOP\r\n")
    assert engine.next_event() == e.Command(b"a1 IDLE")
    engine.expect_line()
    assert engine.next_event() == e.ContinuationLine(b"DONE")
    assert engine.next_event() == e.Command(b"a2 NOOP")
    engine.expect_line()
    with pytest.raises(LocalProtocolError):
        engine.expect_line()


# --- APPEND --------------------------------------------------------------------------------------------


def start(octets: bytes) -> e.Engine:
    engine = e.Engine()
    engine.authenticated = True
    engine.receive(octets)
    return engine


def test_a_message_comes_in_pieces_as_it_arrives() -> None:
    engine = start(b"a1 APPEND INBOX {6+}\r\nab")
    assert engine.next_event() == e.MessageStart(b"a1 APPEND INBOX ", 6, binary=False, synchronising=False)
    assert engine.next_event() is None
    assert not engine.take_message()
    assert engine.next_event() == e.MessageData(b"ab", last=False)
    assert engine.next_event() is None
    engine.receive(b"cdef\r\na2 NOOP\r\n")
    assert engine.next_event() == e.MessageData(b"cdef", last=True)
    assert engine.next_event() == e.AppendEnd(b"")
    assert engine.next_event() == e.Command(b"a2 NOOP")


def test_a_mailbox_that_is_a_literal_is_no_message() -> None:
    engine = start(b"a1 append {5+}\r\nINBOX ~{2}\r\n")
    assert engine.next_event() == e.MessageStart(
        b"a1 append {5+}\r\nINBOX ", 2, binary=True, synchronising=True
    )
    assert engine.take_message()


def test_before_login_append_is_a_command_like_others() -> None:
    assert events(b"a1 APPEND INBOX {2+}\r\nxy\r\n", authenticated=False) == [
        e.Command(b"a1 APPEND INBOX {2+}\r\nxy")
    ]


def test_several_messages() -> None:
    engine = start(b"a1 APPEND x {1+}\r\na (\\Seen) {1+}\r\nb tail\r\n")
    assert isinstance(engine.next_event(), e.MessageStart)
    engine.take_message()
    assert engine.next_event() == e.MessageData(b"a", last=True)
    assert engine.next_event() == e.MessageStart(b" (\\Seen) ", 1, binary=False, synchronising=False)
    engine.take_message()
    assert engine.next_event() == e.MessageData(b"b", last=True)
    assert engine.next_event() == e.AppendEnd(b" tail")


def test_a_refused_message_is_read_over() -> None:
    engine = start(b"a1 APPEND x {3+}\r\nabc (\\Seen) {2+}\r\nde\r\na2 NOOP\r\n")
    assert isinstance(engine.next_event(), e.MessageStart)
    engine.skip_message()
    assert engine.next_event() is e.SKIPPED
    assert engine.next_event() == e.Command(b"a2 NOOP")


def test_a_refused_synchronising_message_never_comes() -> None:
    engine = start(b"a1 APPEND x {3}\r\na2 NOOP\r\n")
    assert isinstance(engine.next_event(), e.MessageStart)
    engine.skip_message()
    assert engine.next_event() is e.SKIPPED
    assert engine.next_event() == e.Command(b"a2 NOOP")


def test_the_rest_of_a_message_and_of_its_line_can_be_read_over() -> None:
    engine = start(b"a1 APPEND x {4+}\r\nab")
    assert isinstance(engine.next_event(), e.MessageStart)
    engine.take_message()
    assert engine.next_event() == e.MessageData(b"ab", last=False)
    engine.skip_message()
    engine.receive(b"cd rest\r\n")
    assert engine.next_event() is e.SKIPPED
    assert not engine.appending
    with pytest.raises(LocalProtocolError):
        engine.skip_message()


def test_reading_over_has_an_end() -> None:
    size = limits.SKIPPED_OCTETS + 1
    engine = start(b"a1 APPEND x {%d+}\r\n" % size)
    assert isinstance(engine.next_event(), e.MessageStart)
    engine.skip_message()
    assert engine.next_event() == e.Refused(b"*", b"message too large", fatal=True)


def test_reading_over_many_literals_does_not_recurse() -> None:
    engine = start(b"a1 APPEND x {0+}\r\n" + b" {0+}\r\n" * 50_000 + b"\r\na2 NOOP\r\n")
    assert isinstance(engine.next_event(), e.MessageStart)
    engine.skip_message()
    assert engine.next_event() is e.SKIPPED
    assert engine.next_event() == e.Command(b"a2 NOOP")
