"""Headers beyond ASCII, put into ASCII (RFC 6858)."""

import pytest

from a3mailer.mail.downgrade import downgraded, in_ascii


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("Subject: grüße\r\n  und mehr\r\n", "Subject: =?utf-8?b?Z3LDvMOfZSAgdW5kIG1laHI=?=\r\n"),
        ('From: "J. Öl" <j@a.test>\r\n', "From: =?utf-8?b?Si4gw5Zs?= <j@a.test>\r\n"),
        ("From: Öl <ö@a.test>\r\n", "From: =?utf-8?b?w5ZsIMO2QGEudGVzdA==?=:;\r\n"),
        ("Cc: a@b.test, x@ö.test\r\n", "Cc: a@b.test, =?utf-8?b?eEDDti50ZXN0?=:;\r\n"),
        ("Resent-To: Ö <a@b.test>\r\n", "Resent-To: =?utf-8?b?w5Y=?= <a@b.test>\r\n"),
        ("X-Odd: ö\r\n", ""),
        ("X-Ödd: o\r\n", ""),
        ("Message-ID: <a@b>\r\n", "Message-ID: <a@b>\r\n"),
        (
            "Content-Type: text/plain; name=ö.txt; charset=utf-8\r\n",
            "Content-Type: text/plain; name*=utf-8''%C3%B6.txt; charset=\"utf-8\"\r\n",
        ),
        ("Subject: ö\n", "Subject: =?utf-8?b?w7Y=?=\r\n"),
    ],
)
def test_a_field_becomes_ascii(field: str, said: str) -> None:
    assert downgraded(f"A: b\r\n{field}\r\n".encode()) == f"A: b\r\n{said}\r\n".encode()


def test_what_is_no_utf8_is_left_alone() -> None:
    assert downgraded(b"Subject: \xff\r\n") == b"Subject: \xff\r\n"


@pytest.mark.parametrize("octets", ["A: b\r\n\r\nö", "A: b\r\n\r\no", "\r\nSubject: ö", ""])
def test_a_header_in_ascii_stays_as_it_is(octets: str) -> None:
    assert in_ascii(octets.encode()) == octets.encode()


def test_only_the_header_is_touched() -> None:
    assert in_ascii("Subject: ö\r\n\r\nSubject: ö\r\n".encode()) == (
        b"Subject: =?utf-8?b?w7Y=?=\r\n\r\nSubject: \xc3\xb6\r\n"
    )
