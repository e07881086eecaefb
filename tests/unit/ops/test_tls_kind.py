"""TLS reports of others: found in mails, kept, listed, read by people, added up (RFC 8460 section 5)."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest

from a3mailer.mail.message import index
from a3mailer.msgauth.tlsrpt import Failure, TlsReport, decode, encode, pack
from a3mailer.ops.reports import tls as module
from a3mailer.ops.reports.tls import KIND, TlsSummary
from a3mailer.ops.reports.tls_report import DAY, Sender, compose, make
from a3mailer.store.operations import Tally
from a3mailer.store.rows import Report
from a3mailer.transfer.policy.reports import MAX_CONTENT, ReportFound, ReportMail
from a3mailer.transfer.relay.tls_outcomes import TlsOutcome
from tests.unit.msgauth.test_tlsrpt import EXAMPLE

DOMAIN = "company-y.example"


def mail(*parts: tuple[str, bytes], kind: str = 'multipart/report; report-type="tlsrpt"') -> bytes:
    pieces = [
        f"--x\r\nContent-Type: {media}\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode()
        + base64.encodebytes(octets)
        for media, octets in (("text/plain", b"hello"), *parts)
    ]
    head = f"From: <x@company-x.example>\r\nMIME-Version: 1.0\r\nContent-Type: {kind}; boundary=x\r\n\r\n"
    return head.encode() + b"".join(pieces) + b"--x--\r\n"


def read(octets: bytes) -> list[ReportFound]:
    return list(KIND.read(ReportMail("company-x.example", octets), index(octets)))


def row(found: ReportFound, number: int = 1) -> Report:
    return Report(number, "tls", found.domains[0], 5, found.begins, found.ends, "company-x.example",
                  found.identity, found.content)  # fmt: skip


@pytest.mark.parametrize(
    ("media", "octets"),
    [
        ("application/tlsrpt+gzip", pack(EXAMPLE)),
        ("application/tlsrpt+json", EXAMPLE),
        ("application/gzip; name=x.json.gz", pack(EXAMPLE)),
        ("application/octet-stream", pack(EXAMPLE)),
        ("application/json", EXAMPLE),
    ],
)
def test_a_report_is_found_whatever_its_label(media: str, octets: bytes) -> None:
    (found,) = read(mail((media, octets)))
    assert (found.kind, found.domains, found.identity) == (
        "tls",
        (DOMAIN,),
        "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
    )
    assert (found.begins, found.ends) == (1459468800, 1459468800 + DAY - 1)
    assert decode(found.content.encode()) == decode(EXAMPLE)


@pytest.mark.parametrize(
    "octets",
    [b"", b"{}", b"\x1f\x8b", EXAMPLE[:-20], pack(EXAMPLE)[:-9], b'{"date-range": 1, "policies": 2}'],
)
def test_what_is_no_report_is_none(octets: bytes) -> None:
    assert read(mail(("application/tlsrpt+gzip", octets))) == []


def test_a_report_without_a_name_has_that_of_its_time() -> None:
    nameless = encode(msgspec.structs.replace(decode(EXAMPLE), report_id=""))
    assert b"report-id" not in nameless
    (found,) = read(mail(("application/tlsrpt+json", nameless)))
    assert found.identity == "1459468800"


def test_our_own_mail_is_read_by_us() -> None:
    outcome = TlsOutcome("sts", ("mode: enforce",), ("mx.b.test",), "certificate-expired", "mx.b.test")
    tallies = [Tally(DAY, "b.test", msgspec.json.encode(outcome).decode(), 3)]
    sender = Sender("a.test", "postmaster@a.test")
    made = make(DAY, "b.test", tallies, sender)
    (found,) = read(compose(made, "b.test", "tls@b.test", sender, 0, "token"))
    assert decode(found.content.encode()) == made.report
    assert found.domains == ("b.test",)


def test_each_domain_of_a_report_is_kept_apart() -> None:
    report = decode(EXAMPLE)
    (result,) = report.policies
    other = msgspec.structs.replace(
        result, policy=msgspec.structs.replace(result.policy, policy_domain="Z.example.")
    )
    both = msgspec.structs.replace(report, policies=(result, other, result))
    found = read(mail(("application/tlsrpt+gzip", pack(encode(both)))))
    assert [each.domains for each in found] == [(DOMAIN,), ("z.example",)]
    assert [len(decode(each.content.encode()).policies) for each in found] == [2, 1]


def large(policies: int = 1) -> TlsReport:
    report = decode(EXAMPLE)
    (result,) = report.policies
    failures = tuple(
        Failure("validation-failure", n, receiving_mx_hostname=f"{n}.test")
        for n in range(2 * module.MOST_DETAILS)
    )
    result = msgspec.structs.replace(result, failure_details=failures)
    return msgspec.structs.replace(report, policies=(result,) * policies)


def test_what_is_kept_is_bounded_and_the_most_frequent_stay() -> None:
    for policies, details in ((1, module.MOST_DETAILS), (module.MOST_POLICIES + 5, 10)):
        (found,) = read(mail(("application/tlsrpt+gzip", pack(encode(large(policies))))))
        assert len(found.content) <= MAX_CONTENT
        kept = decode(found.content.encode())
        assert len(kept.policies) == min(policies, module.MOST_POLICIES)
        assert len(kept.policies[0].failure_details) == details
        assert kept.policies[0].failure_details[0].failed_session_count == 2 * module.MOST_DETAILS - 1


def example() -> Report:
    (found,) = read(mail(("application/tlsrpt+gzip", pack(EXAMPLE))))
    return row(found)


def test_a_list_says_who_and_how_many() -> None:
    assert KIND.columns(example()) == {"organization": "Company-X", "sessions": 5629, "failed": 303}


def test_a_report_for_people() -> None:
    assert KIND.lines(example()) == [
        "by Company-X <sts-reporting@company-x.example>",
        "company-y.example, policy sts: 5,326 sessions went well, 303 did not",
        "  mx1.mail.company-y.example showed a certificate that has expired 100 times",
        "  mx2.mail.company-y.example offered no STARTTLS 200 times",
        "  mx-backup.mail.company-y.example failed in TLS 3 times (X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED)",
    ]


def test_a_summary_adds_up_by_domain() -> None:
    summary = TlsSummary()
    summary.add(example())
    summary.add(example())
    (entry,) = summary.domains()
    assert json.loads(json.dumps(entry)) == entry, "plain values"
    assert {name: entry[name] for name in ("domain", "reports", "sessions", "failed", "policies")} == {
        "domain": DOMAIN,
        "reports": 2,
        "sessions": 11258,
        "failed": 606,
        "policies": [{"domain": DOMAIN, "policy": "sts", "sessions": 11258, "failed": 606}],
    }
    assert entry["failures"][0] == {  # type: ignore[index]
        "host": "mx2.mail.company-y.example",
        "result": "starttls-not-supported",
        "policy": "sts",
        "count": 400,
    }
    advice = entry["advice"]
    assert isinstance(advice, list)
    assert advice[0].startswith(
        "mx2.mail.company-y.example offered no STARTTLS 400 times: the MTA-STS policy demands it"
    )


def test_what_a_version_to_come_has_kept_spoils_nothing() -> None:
    strange = Report(1, "tls", DOMAIN, 5, 0, 1, "s", "i", '{"version": 9}')
    summary = TlsSummary()
    summary.add(strange)
    assert summary.domains() == []
    assert KIND.lines(strange) == ("it cannot be read by this version",)
    assert KIND.columns(strange) == {"organization": "", "sessions": 0, "failed": 0}
