"""What a ManageSieve server writes (RFC 5804 section 4)."""

from a3mailer.wire.managesieve.encode import string
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
