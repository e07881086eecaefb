"""What is kept of reports of others, and the words that are made of it."""

import base64
import gzip
import json

import msgspec
import pytest

from a3mailer.msgauth.aggregate import Aggregate, DkimAuth, Published, Row, SpfAuth, encode
from a3mailer.ops.reports import KINDS, arf, dmarc
from a3mailer.ops.reports.kind import DAY, Kind, days, mails
from a3mailer.ops.reports.read import read
from a3mailer.store.rows import Report
from a3mailer.transfer.policy.reports import MAX_CONTENT, Complaint, ReportFound, ReportMail
from tests.unit.msgauth.test_aggregate import WITHOUT_NAMESPACE, zipped
from tests.unit.msgauth.test_feedback import ABUSE


def mail_with(content: bytes, media: str = "application/gzip") -> bytes:
    """A mail as reporters send it."""
    head = f"From: r@big.example\r\nMIME-Version: 1.0\r\nContent-Type: {media}\r\n"
    return head.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(content)


def stored(found: ReportFound, number: int = 1, domain: str = "example.org") -> Report:
    return Report(
        number, found.kind, domain, 1, found.begins, found.ends, "big.example", found.identity, found.content
    )


def report(*rows: Row, policy: str = "none", day: int = 0) -> Report:
    made = Aggregate(
        "big.example", "r@big.example", f"id{day}", day * DAY, (day + 1) * DAY - 1,
        Published("example.org", policy), rows,
    )  # fmt: skip
    (found,) = read(ReportMail("big.example", mail_with(gzip.compress(encode(made)))))
    return stored(found)


def advice(kind: Kind, *reports: Report) -> list[str]:
    summary = kind.summary()
    for each in reports:
        summary.add(each)
    (entry,) = summary.domains()
    assert json.loads(json.dumps(entry)) == entry, "plain values"
    said = entry["advice"]
    assert isinstance(said, list)
    return said


@pytest.mark.parametrize(
    ("content", "media"),
    [
        (gzip.compress(WITHOUT_NAMESPACE), "application/gzip"),
        (gzip.compress(WITHOUT_NAMESPACE), "application/octet-stream; name=x.gz"),
        (zipped(WITHOUT_NAMESPACE), "application/zip"),
        (WITHOUT_NAMESPACE, "text/xml"),
    ],
)
def test_an_aggregate_report_is_found_and_kept(content: bytes, media: str) -> None:
    (found,) = read(ReportMail("big.example", mail_with(content, media)))
    assert (found.kind, found.identity, found.domains) == ("dmarc", "17205544938312", ("example.org",))
    assert (found.begins, found.ends) == (1_700_000_000, 1_700_086_399)
    kept = msgspec.json.decode(found.content, type=dmarc.Kept)
    assert (kept.mails, kept.passed, kept.policy, kept.organization) == (415, 3, "none", "big.example")
    first, second = kept.sources
    assert (first.ip, first.count, first.spf, first.dkim, first.passed) == (
        "192.0.2.7",
        412,
        "softfail",
        "none",
        False,
    )
    assert (second.dkim, second.dkim_domain, second.passed) == ("pass", "example.org", True)
    row = stored(found)
    assert dmarc.KIND.columns(row) == {
        "organization": "big.example",
        "mails": 415,
        "passed": 3,
        "policy": "none",
    }
    assert any("192.0.2.7  412 mails  FAILED  SPF softfail" in line for line in dmarc.KIND.lines(row))


@pytest.mark.parametrize(
    "octets",
    [
        b"Subject: hello\r\n\r\nhello\r\n",
        mail_with(b"<html><feedback></html>", "text/xml"),
        mail_with(b"not packed at all"),
        mail_with(gzip.compress(bytes(40 << 20))),
        mail_with(b"<!DOCTYPE feedback []><feedback/>", "text/xml"),
    ],
)
def test_a_mail_without_a_report(octets: bytes) -> None:
    assert read(ReportMail("big.example", octets)) == ()


def test_rows_that_say_the_same_are_one_and_the_rarest_are_left_out() -> None:
    rows = [
        Row(f"10.0.{n // 250}.{n % 250}", 1 + n % 2, "none", "fail", "fail", "example.org")
        for n in range(2000)
    ]
    kept = dmarc.keep(Aggregate("o", "e", "i", 0, DAY, Published("example.org"), (*rows, *rows)))
    assert (len(kept.sources), kept.mails, kept.left_out) == (dmarc.MAX_SOURCES, 6000, 2000)
    assert all(source.count == 4 for source in kept.sources)


def test_what_is_kept_of_one_is_bounded_in_octets() -> None:
    long = "x" * 250 + ".test"
    rows = [
        Row(f"10.0.{n >> 8}.{n & 255}", 1000 - n, "none", "fail", "fail", long,
            dkim_auth=(DkimAuth(long, "s", "fail"),), spf_auth=(SpfAuth(long, "mfrom", "fail"),))
        for n in range(900)
    ]  # fmt: skip
    report = Aggregate("o", "e", "i", 0, DAY, Published("example.org"), tuple(rows))
    content = dmarc.fitting(dmarc.keep(report))
    kept = msgspec.json.decode(content, type=dmarc.Kept)
    assert len(content) <= MAX_CONTENT
    assert 20 < len(kept.sources) < 900
    assert kept.left_out == kept.mails - sum(source.count for source in kept.sources)
    assert kept.sources[0].count == 1000


def test_advice_of_a_forgotten_sender() -> None:
    row = Row(
        "192.0.2.7",
        206,
        "none",
        "fail",
        "fail",
        "example.org",
        spf_auth=(SpfAuth("example.org", "mfrom", "fail"),),
    )
    good = Row("192.0.2.1", 9, "none", "pass", "pass", "example.org")
    said = advice(dmarc.KIND, report(row, good, day=1), report(row, day=3))
    assert said == [
        "192.0.2.7 sends as example.org with SPF fail and DKIM none: 412 mails in 3 days; "
        "if it is yours, add it to SPF or sign there."
    ]


def test_advice_of_a_signer_in_another_name_and_of_a_broken_signature() -> None:
    other = Row(
        "192.0.2.7", 2, "none", "fail", "fail", "example.org",
        dkim_auth=(DkimAuth("news.example", "s", "pass"),),
        spf_auth=(SpfAuth("news.example", "mfrom", "pass"),),
    )  # fmt: skip
    broken = Row(
        "192.0.2.8",
        1,
        "none",
        "fail",
        "fail",
        "example.org",
        dkim_auth=(DkimAuth("example.org", "s", "fail"),),
    )
    assert advice(dmarc.KIND, report(other, broken)) == [
        "192.0.2.7 sends as example.org with SPF pass for news.example and DKIM pass for news.example: "
        "2 mails in 1 day; if it is yours, have it sign as example.org.",
        "192.0.2.8 sends as example.org with SPF none and DKIM fail: 1 mail in 1 day; "
        "if it is yours, its signatures break on the way or its key record is wrong.",
    ]


def test_a_stricter_policy_is_advised_when_all_pass() -> None:
    good = Row("192.0.2.1", 100, "none", "pass", "pass", "example.org")
    (said,) = advice(dmarc.KIND, report(good))
    assert (
        said == "All 100 mails as example.org passed in 1 day: its policy can be p=quarantine, then p=reject."
    )
    assert advice(dmarc.KIND, report(good, policy="reject")) == []
    few = Row("192.0.2.1", 99, "none", "pass", "pass", "example.org")
    assert advice(dmarc.KIND, report(few)) == []


def test_a_complaint_is_kept_and_said() -> None:
    (found,) = read(ReportMail("example.com", ABUSE))
    assert (found.kind, found.domains[0]) == ("arf", "example.net")
    assert found.complaint == Complaint(
        "abuse",
        "8787KJKJ3K4J3K4J3K4J3.mail@example.net",
        ("somespammer@example.net",),
        ("user@example.com",),
    )
    row = stored(found, domain="example.net")
    assert arf.KIND.columns(row) == {
        "type": "abuse",
        "ip": "192.0.2.1",
        "from": "somespammer@example.net",
        "mails": 3,
    }
    assert "  subject: Earn money" in arf.KIND.lines(row)
    assert advice(arf.KIND, row) == [
        "Readers complain about 3 mails of somespammer@example.net (abuse): "
        "send them no more, look at that account."
    ]
    (other,) = read(
        ReportMail("example.com", ABUSE.replace(b"Feedback-Type: abuse", b"Feedback-Type: auth-failure"))
    )
    assert other.complaint is None
    assert advice(arf.KIND, stored(other))[0].startswith(
        "3 mails as somespammer@example.net from 192.0.2.1 failed;"
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_content_of_a_version_to_come(kind: Kind) -> None:
    row = Report(1, kind.name, "a.test", 1, 1, 2, "b.test", "x", '{"unknown": [1]}')
    assert kind.lines(row)
    assert kind.columns(row)
    summary = kind.summary()
    summary.add(row)
    assert summary.domains() == []


def test_words() -> None:
    assert [days(0, DAY - 1), days(0, 3 * DAY), days(5, 5)] == ["1 day", "3 days", "1 day"]
    assert [mails(1), mails(1234)] == ["1 mail", "1,234 mails"]
