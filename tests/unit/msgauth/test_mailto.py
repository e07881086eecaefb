"""Addresses in the URIs of report records."""

import pytest

from a3mailer.msgauth.mailto import MAX_URI, mailbox


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        (b"mailto:a@b.test", "a@b.test"),
        (b"MAILTO:A.b@B.Test?subject=x", "A.b@b.test"),
        (b"mailto:a%2Bb@b.test", "a+b@b.test"),
        (b"https://b.test/", ""),
        (b"mailto:", ""),
        (b"mailto:b.test", ""),
        (b"mailto:a@b.test,c@d.test", ""),
        (b"mailto:a%0d%0aBcc:x@b.test", ""),
        (b"mailto:.a@b.test", ""),
        (b"mailto:a..b@b.test", ""),
        (b"mailto:a@[127.0.0.1]", ""),
        (b"mailto:" + b"a" * 65 + b"@b.test", ""),
        (b"mailto:a@b.test?" + b"x" * MAX_URI, ""),
        (b"\xff", ""),
    ],
)
def test_one_plain_mailbox_or_none(uri: bytes, address: str) -> None:
    assert mailbox(uri) == address
