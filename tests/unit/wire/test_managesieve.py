"""What a ManageSieve server writes (RFC 5804 section 4)."""

from a3mailer.wire.managesieve.commands import Noop
from a3mailer.wire.managesieve.encode import string
from a3mailer.wire.managesieve.engine import Engine, TooLarge
from a3mailer.wire.sieve.extensions import USERS


def test_a_quoted_string_has_up_to_1024_octets() -> None:
    """Those of its quotes' backslashes included; what is longer, or has lines, is a literal."""
    assert string(b"x" * 1024) == b'"' + b"x" * 1024 + b'"'
    assert string(b"x" * 1025) == b"{1025}\r\n" + b"x" * 1025
    assert string(b'"' * 512) == b'"' + b'\\"' * 512 + b'"'
    assert string(b'"' * 513) == b"{513}\r\n" + b'"' * 513
    assert string(b"a\\b") == b'"a\\\\b"'
    assert string(b"a\nb") == b"{3}\r\na\nb"


def test_the_list_of_capabilities_is_a_quoted_string() -> None:
    """sieve-connect and others read no literal in it."""
    assert string(" ".join(USERS.capabilities).encode())[:1] == b'"'


def test_octets_that_are_no_text_are_a_literal() -> None:
    """QUOTED-CHAR is UTF-8 (section 4)."""
    assert string(b"\xff\xfe") == b"{2}\r\n\xff\xfe"
    assert string("ü".encode()) == '"ü"'.encode()


def test_whose_literal_was_read_over_is_said() -> None:
    engine = Engine(largest=10)
    engine.authenticated = True
    for keyword in (b"PUTSCRIPT", b"CHECKSCRIPT", b"NOOP"):
        engine.receive(keyword.lower() + b' "a" {11+}\r\n0123456789')
        assert engine.next_event() is None
        engine.receive(b'0 "b"\r\nNOOP\r\n')
        assert engine.next_event() == TooLarge(keyword)
        assert engine.next_event() == Noop(None)
