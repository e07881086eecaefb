"""TLSRPT records and reports (RFC 8460): what counts, what does not, and nothing else ever."""

import contextlib
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.msgauth import tlsrpt as module
from a3mailer.msgauth.packed import Unreadable, unpack
from a3mailer.msgauth.tlsrpt import (
    Failure,
    Policy,
    PolicyResult,
    Summary,
    Target,
    TlsReport,
    day_range,
    decode,
    encode,
    file_name,
    pack,
    parse_record,
    subject,
)
from tests.growth import assert_linear

EXAMPLE = b"""{
  "organization-name": "Company-X",
  "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
  "contact-info": "sts-reporting@company-x.example",
  "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
  "policies": [{
    "policy": {
      "policy-type": "sts",
      "policy-string": ["version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"],
      "policy-domain": "company-y.example",
      "mx-host": ["*.mail.company-y.example"]
    },
    "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
    "failure-details": [{
      "result-type": "certificate-expired",
      "sending-mta-ip": "2001:db8:abcd:0012::1",
      "receiving-mx-hostname": "mx1.mail.company-y.example",
      "failed-session-count": 100
    }, {
      "result-type": "starttls-not-supported",
      "sending-mta-ip": "2001:db8:abcd:0013::1",
      "receiving-mx-hostname": "mx2.mail.company-y.example",
      "receiving-ip": "203.0.113.56",
      "failed-session-count": 200,
      "additional-information": "https://reports.company-x.example/report_info?id=5065427c-23d3#StarttlsNotSupported"
    }, {
      "result-type": "validation-failure",
      "sending-mta-ip": "198.51.100.62",
      "receiving-ip": "203.0.113.58",
      "receiving-mx-hostname": "mx-backup.mail.company-y.example",
      "failed-session-count": 3,
      "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"
    }]
  }]
}"""
"""The example of RFC 8460 appendix B."""
SMALL = TlsReport(
    organization_name="b.test",
    date_range=day_range(20_000),
    contact_info="postmaster@b.test",
    report_id="1@b.test",
    policies=(PolicyResult(Policy("no-policy-found", "a.test"), Summary(1, 0)),),
)


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([b"v=TLSRPTv1;rua=mailto:reports@example.com"], ["reports@example.com"]),
        (
            [b"v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt"],
            ["https://reporting.example.com/v1/tlsrpt"],
        ),
        (
            [b"v=TLSRPTv1; rua=mailto:a@B.test , HTTPS://c.test/ ;x=y;"],
            ["a@b.test", "HTTPS://c.test/"],
        ),
        ([b"v=TLSRPTv1; x=y; rua=mailto:a%2Bb@c.test?subject=x"], ["a+b@c.test"]),
        ([b"v=spf1 -all", b"v=TLSRPTv1;rua=mailto:a@b.test"], ["a@b.test"]),
        ([b"v=TLSRPTv1;rua=mailto:a@b.test,mailto:a@b.test"], ["a@b.test"]),
        ([b"v=TLSRPTv1;rua=mailto:a@b.test", b"v=TLSRPTv1;rua=mailto:c@b.test"], []),
        ([b"v=TLSRPTv2;rua=mailto:a@b.test"], []),
        ([b"v=TLSRPTv10;rua=mailto:a@b.test"], []),
        ([b"rua=mailto:a@b.test;v=TLSRPTv1"], []),
        ([b"v=TLSRPTv1"], []),
        ([b"v=TLSRPTv1;rua="], []),
        ([b"v=TLSRPTv1;rua=http://b.test/"], []),
        ([b"v=TLSRPTv1;rua=https:"], []),
        ([b"v=TLSRPTv1;rua=mailto:a@b.test%0d%0aRCPT"], []),
        ([b"v=TLSRPTv1;rua=mailto:%22a%22@b.test"], []),
        ([b"v=TLSRPTv1;rua=mailto:a..b@b.test"], []),
        ([b"v=TLSRPTv1;rua=mailto:a"], []),
        ([b"v=TLSRPTv1;rua=mailto:@b.test"], []),
        ([b"v=TLSRPTv1;rua=mailto:a@[192.0.2.1]"], []),
        ([b"v=TLSRPTv1;rua=mailto:\xe4@b.test"], []),
        ([b"\xff"], []),
        ([], []),
    ],
)
def test_the_record(texts: list[bytes], found: list[str]) -> None:
    assert [target.where for target in parse_record(texts)] == found


def test_the_ways_of_a_record() -> None:
    record = b"v=TLSRPTv1; rua=mailto:a@b.test,https://c.test/"
    assert parse_record([record]) == (Target("mail", "a@b.test"), Target("post", "https://c.test/"))


def test_no_record_makes_us_write_to_the_whole_world() -> None:
    many = b",".join(b"mailto:a%d@b.test" % n for n in range(100))
    assert len(parse_record([b"v=TLSRPTv1;rua=" + many])) == module.MAX_TARGETS


def test_the_example_of_the_rfc() -> None:
    report = decode(EXAMPLE)
    assert report.organization_name == "Company-X"
    assert report.contact_info == "sts-reporting@company-x.example"
    assert report.report_id == "5065427c-23d3-47ca-b6e0-946ea0e8c4be"
    assert report.date_range.start_datetime == datetime(2016, 4, 1, tzinfo=UTC)
    assert report.date_range.end_datetime == datetime(2016, 4, 1, 23, 59, 59, tzinfo=UTC)
    (result,) = report.policies
    assert result.policy == Policy(
        "sts",
        "company-y.example",
        ("version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"),
        ("*.mail.company-y.example",),
    )
    assert result.summary == Summary(5326, 303)
    assert [each.failed_session_count for each in result.failure_details] == [100, 200, 3]
    assert result.failure_details[0] == Failure(
        "certificate-expired", 100, "2001:db8:abcd:0012::1", "mx1.mail.company-y.example"
    )
    assert result.failure_details[1].additional_information.endswith("#StarttlsNotSupported")
    assert result.failure_details[2].failure_reason_code == "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"
    assert {each.result_type for each in result.failure_details} <= set(module.RESULT_TYPES)


def test_what_we_write_has_the_members_of_the_example() -> None:
    assert msgspec.json.decode(encode(decode(EXAMPLE))) == msgspec.json.decode(EXAMPLE)


def test_a_day_is_whole_and_in_utc() -> None:
    written = msgspec.json.decode(encode(SMALL))["date-range"]
    assert written == {"start-datetime": "2024-10-04T00:00:00Z", "end-datetime": "2024-10-04T23:59:59Z"}


def test_what_others_leave_out_or_write_otherwise() -> None:
    text = EXAMPLE.replace(b'["*.mail.company-y.example"]', b'"*.mail.company-y.example"')
    assert decode(text) == decode(b"\xef\xbb\xbf" + EXAMPLE)
    assert decode(text.replace(b": 5326", b': "5326"')) == decode(EXAMPLE)
    nameless = text.replace(b'"organization-name": "Company-X",', b"").replace(b'"report-id"', b'"id"')
    assert decode(nameless).organization_name == decode(nameless).report_id == ""
    (result,) = decode(
        text[: text.index(b'"failure-details"')] + b'"failure-details": null, "x": {}}]}'
    ).policies
    assert result.failure_details == ()


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        EXAMPLE[:-1],
        EXAMPLE.replace(b": 5326", b": -1"),
        EXAMPLE.replace(b": 5326", b": " + b"9" * 5000),
        EXAMPLE.replace(b": 5326", b": 9007199254740993"),
        EXAMPLE.replace(b": 5326", b": 1e400"),
        EXAMPLE.replace(b": 5326", b": NaN"),
        EXAMPLE.replace(b": 5326", b': "many"'),
        EXAMPLE.replace(b": 5326", b': "' + b"9" * 5000 + b'"'),
        EXAMPLE.replace(b": 5326", b": []"),
        EXAMPLE.replace(b"2016-04-01T00:00:00Z", b"2016-04-01T00:00:00"),
        EXAMPLE.replace(b"2016-04-01T00:00:00Z", b"yesterday"),
        EXAMPLE.replace(b'"Company-X"', b'"Company-\\ud800"'),
        EXAMPLE.replace(b'"Company-X"', b'"Company-\xed\xa0\x80"'),
        EXAMPLE.replace(b'"Company-X"', b'"' + b"x" * 5000 + b'"'),
        EXAMPLE.replace(b'"contact-info"', b'"report-id": "1", "contact-info"'),
        EXAMPLE.replace(b'"Company-X"', b'"Company-X", "x": ' + DEEP),
        EXAMPLE.replace(b'"Company-X"', b'"Company-X", "x": ' + DEEP + b"]" * len(DEEP)),
        EXAMPLE.replace(b'"Company-X"', b'"Company-X", "x": ' + b"9" * 10_000_000),
        DEEP,
        b'{"a":' * 100_000,
    ],
    ids=lambda octets: f"{len(octets)} octets",
)
def test_row_28_what_is_no_report(octets: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(octets)


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert decode(EXAMPLE.replace(b"Company-X", b"\\ud83d\\ude00")).organization_name == "\U0001f600"


def test_too_many_of_anything() -> None:
    policy = SMALL.policies[0]
    failures = (Failure("validation-failure", 1),) * (module.MAX_DETAILS + 1)
    for policies in (
        (policy,) * (module.MAX_POLICIES + 1),
        (msgspec.structs.replace(policy, failure_details=failures),),
    ):
        with pytest.raises(Unreadable):
            decode(encode(msgspec.structs.replace(SMALL, policies=policies)))


def test_a_report_is_read_in_step_with_its_size() -> None:
    detail = Failure("validation-failure", 1, "192.0.2.1", "mx.a.test")

    def make(n: int) -> bytes:
        result = PolicyResult(Policy("sts", "a.test"), Summary(0, n), (detail,) * (n // 8))
        return encode(msgspec.structs.replace(SMALL, policies=(result,)))

    assert_linear(make, decode, 8 * 1000)


def test_row_28_strange_json_is_refused_in_step_with_its_size() -> None:
    def refused(octets: bytes) -> None:
        with pytest.raises(Unreadable):
            decode(octets)

    assert_linear(lambda n: b'{"x": ' + b"9" * n + b"}", refused, 1 << 16)
    assert_linear(lambda n: b'{"a":1,"a":1}' * n, refused, 1 << 12)


def test_packed_and_back() -> None:
    assert unpack(pack(EXAMPLE)) == EXAMPLE == unpack(EXAMPLE)
    assert pack(EXAMPLE) == pack(EXAMPLE)


def test_names() -> None:
    assert (
        file_name("mail.sender.example.com", "example.net", 1013662812, 1013749130, "1")
        == "mail.sender.example.com!example.net!1013662812!1013749130!1.json.gz"
    )
    assert subject("example.net", "mail.sender.example.com", "735ff.e317@mailexample.net") == (
        "Report Domain: example.net Submitter: mail.sender.example.com"
        " Report-ID: <735ff.e317@mailexample.net>"
    )


@given(st.binary(max_size=300))
def test_any_octets_are_a_report_or_none(octets: bytes) -> None:
    with contextlib.suppress(Unreadable):
        decode(unpack(octets))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
COUNTS = st.integers(0, module.MAX_SESSIONS)


@given(
    TEXTS,
    TEXTS,
    st.lists(st.builds(Failure, TEXTS, COUNTS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS), max_size=3),
    st.lists(TEXTS, max_size=3),
    COUNTS,
)
def test_what_is_written_is_read_again(
    name: str, contact: str, failures: list[Failure], lines: list[str], sessions: int
) -> None:
    result = PolicyResult(
        Policy("tlsa", name, tuple(lines), tuple(lines)), Summary(sessions, sessions), tuple(failures)
    )
    report = TlsReport(
        organization_name=name,
        date_range=day_range(sessions % 30_000),
        contact_info=contact,
        report_id=name,
        policies=(result, result),
    )
    assert decode(encode(report)) == report
