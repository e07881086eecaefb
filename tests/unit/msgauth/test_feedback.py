"""Reports in the Abuse Reporting Format: those of others, and ours read back."""

from a3mailer.mail.message import index
from a3mailer.msgauth.feedback import Feedback, compose, parse, redact
from tests.growth import assert_linear

# After the example of RFC 5965 section 5 (appendix B.2).
ABUSE = b"""From: <abusedesk@example.com>
Date: Thu, 8 Mar 2005 17:40:36 EDT
Subject: FW: Earn money
To: <abuse@example.net>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report;
     boundary="part1_13d.2e68ed54_boundary"

--part1_13d.2e68ed54_boundary
Content-Type: text/plain; charset="US-ASCII"
Content-Transfer-Encoding: 7bit

This is an email abuse report.

--part1_13d.2e68ed54_boundary
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <somespammer@example.net>
Original-Rcpt-To: <user@example.com>
Arrival-Date: Thu, 8 Mar 2005 14:00:00 EDT
Reporting-MTA: dns; mail.example.com
Source-IP: 192.0.2.1
Authentication-Results: mail.example.com;
               spf=fail smtp.mail=somespammer@example.com
Reported-Domain: Example.NET
Reported-Uri: http://example.net/earn_money.html
Incidents: 3

--part1_13d.2e68ed54_boundary
Content-Type: message/rfc822
Content-Disposition: inline

From: =?utf-8?q?S=C3=A4m?= <somespammer@example.net>
Received: from mailserver.example.net
To: <Undisclosed Recipients>
Subject: Earn money
Message-ID: 8787KJKJ3K4J3K4J3K4J3.mail@example.net

Spam Spam Spam
--part1_13d.2e68ed54_boundary--
"""
FAILURE = Feedback(
    "auth-failure",
    "A3Mailer",
    "192.0.2.7",
    ("example.org",),
    "alice@example.org",
    (),
    1_700_000_000,
    2,
    "dmarc",
    "delivered",
    ("mx.b.test; dmarc=fail header.from=example.org",),
    "example.org",
    "@example.org",
    "epsilon",
    ("dkim", "spf"),
    message_id="<1@example.org>",
    author="Alice <alice@example.org>",
    subject="Hello",
)


def read(octets: bytes) -> Feedback | None:
    return parse(octets, index(octets))


def test_the_example_of_the_rfc() -> None:
    found = read(ABUSE)
    assert found is not None
    assert (found.kind, found.agent, found.source_ip, found.incidents) == (
        "abuse",
        "SomeGenerator/1.0",
        "192.0.2.1",
        3,
    )
    assert (found.mail_from, found.rcpt_to) == ("somespammer@example.net", ("user@example.com",))
    assert found.reported_domains == ("example.net",)
    assert found.arrival == 1_110_304_800
    assert found.results == ("mail.example.com;               spf=fail smtp.mail=somespammer@example.com",)
    assert found.author == "Säm <somespammer@example.net>"
    assert (found.subject, found.message_id) == ("Earn money", "8787KJKJ3K4J3K4J3K4J3.mail@example.net")


def test_what_carries_no_report() -> None:
    assert read(b"Subject: hello\r\n\r\nhello\r\n") is None
    assert read(ABUSE.replace(b"Feedback-Type", b"Feedback-Tope")) is None
    assert read(ABUSE.replace(b"message/feedback-report", b"text/plain")) is None


def test_numbers_that_are_none() -> None:
    for text, number in ((b"0", 1), (b"-5", 1), (b"9" * 30, 1), (b"\xb2", 1), (b"17", 17)):
        found = read(ABUSE.replace(b"Incidents: 3", b"Incidents: " + text))
        assert found is not None
        assert found.incidents == number


def test_ours_is_read_back() -> None:
    header = b"From: Alice <alice@example.org>\r\nSubject: Hello\r\nMessage-ID: <1@example.org>\r\n"
    octets = compose(
        FAILURE,
        header,
        sender="postmaster@b.test",
        to="reports@example.org",
        subject="FW: Hello",
        now=1_700_000_100,
        token="abc",
    )
    assert read(octets) == FAILURE
    assert octets.isascii()
    assert max(map(len, octets.split(b"\r\n"))) < 998


def test_a_stranger_cannot_put_fields_in() -> None:
    evil = Feedback(
        "auth-failure", "x\r\nEvil: 1", reported_domains=("a\r\nEvil: 2",), mail_from="e\r\nEvil: 3"
    )
    octets = compose(
        evil, b"", sender="p@b.test", to="r@a.test", subject="x\r\nBcc: z@z.test", now=1, token="abc"
    )
    assert b"\nEvil" not in octets
    assert b"\nBcc" not in octets


def test_no_name_is_told() -> None:
    header = b'From: "Bob Smith" <bob@b.test>\r\nTo: carol.jones+x@c.test, bob@b.test\r\nX: no at sign\r\n'
    hidden = redact(header, b"key")
    assert b"bob@" not in hidden
    assert b"carol" not in hidden
    assert hidden.count(b"@b.test") == 2
    assert (
        len({word for word in hidden.replace(b"<", b" ").replace(b">", b" ").split() if b"@b.test" in word})
        == 1
    )
    assert redact(header, b"other key") != hidden


def test_reading_is_linear() -> None:
    assert_linear(lambda n: ABUSE.replace(b"Incidents: 3", b"Reported-Domain: a.test\r\n" * n), read, 500)
    assert_linear(lambda n: b"a.b" * n + b"@x.test " * n, lambda octets: redact(octets, b"k"), 1000)
    assert_linear(lambda n: b"a" * n, lambda octets: redact(octets, b"k"), 1000)
    assert_linear(lambda n: b"a@" * n, lambda octets: redact(octets, b"k"), 1000)
