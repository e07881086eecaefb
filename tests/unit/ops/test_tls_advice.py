"""What reports of others come to: added up, in words, and never in a stranger's words alone (RFC 8460)."""

from __future__ import annotations

import msgspec
import pytest

from a3mailer.msgauth.tlsrpt import (
    RESULT_TYPES,
    Failure,
    Policy,
    PolicyResult,
    Summary,
    TlsReport,
    day_range,
)
from a3mailer.ops.reports import tls_advice as module
from a3mailer.ops.reports.tls_advice import TlsSum

HOST = "mx1.example.net"


def report(
    *failures: Failure,
    good: int = 10,
    kind: str = "sts",
    source: str = "a.test",
    mode: str = "enforce",
    domain: str = "example.net",
) -> TlsReport:
    failed = sum(failure.failed_session_count for failure in failures)
    lines = ("version: STSv1", f"mode: {mode}") if kind == "sts" else ()
    result = PolicyResult(Policy(kind, domain, lines, (HOST,)), Summary(good, failed), failures)
    return TlsReport(organization_name=source, date_range=day_range(20_000), policies=(result,))


def said(*reports: TlsReport) -> list[str]:
    found = TlsSum()
    for each in reports:
        found.add(each)
    return found.advice()


def test_nothing_went_wrong() -> None:
    assert said() == []
    assert said(report()) == []


def test_no_starttls_where_a_policy_demands_it() -> None:
    failure = Failure("starttls-not-supported", 7, receiving_mx_hostname=HOST)
    (sentence,) = said(report(failure), report(failure, source="b.test"))
    assert sentence == (
        "mx1.example.net offered no STARTTLS 14 times: the MTA-STS policy demands it; says a.test, b.test;"
        " see that it offers STARTTLS to all, and that nothing on the way takes it out"
    )
    (sentence,) = said(report(failure, kind="tlsa"))
    assert "7 times: the TLSA records demand it" in sentence
    (sentence,) = said(report(failure, kind="no-policy-found"))
    assert "offered no STARTTLS 7 times; says a.test" in sentence


@pytest.mark.parametrize(
    ("result", "kind", "words"),
    [
        ("certificate-host-mismatch", "sts", "must carry the name mx1.example.net"),
        ("certificate-expired", "sts", "renew"),
        ("certificate-not-trusted", "sts", "public authority"),
        ("certificate-not-trusted", "tlsa", "before it is used"),
        ("tlsa-invalid", "tlsa", "domain dns"),
        ("dnssec-invalid", "tlsa", "DS record"),
        ("dane-required", "tlsa", "signed zone"),
        ("sts-policy-fetch-error", "sts", "https://mta-sts.example.net/.well-known/mta-sts.txt answers"),
        ("sts-policy-invalid", "sts", "https://mta-sts.example.net/.well-known/mta-sts.txt gives"),
        (
            "sts-policy-fetch-error",
            "sts",
            "could not be fetched once (X509_V_ERR_CERT_REVOKED); says a.test;",
        ),
        ("sts-webpki-invalid", "sts", "the name mta-sts.example.net"),
        ("validation-failure", "sts", "failed in TLS once (X509_V_ERR_CERT_REVOKED); says a.test"),
        ("never-heard-of", "sts", "mx1.example.net never-heard-of once (X509_V_ERR_CERT_REVOKED)"),
    ],
)
def test_each_failure_has_words(result: str, kind: str, words: str) -> None:
    failure = Failure(result, 1, receiving_mx_hostname=HOST, failure_reason_code="X509_V_ERR_CERT_REVOKED")
    (sentence,) = said(report(failure, kind=kind))
    assert words in sentence
    assert sentence.startswith("example.net has" if result == "sts-policy-fetch-error" else "")
    assert "once" in sentence
    assert "{" not in sentence


def test_every_result_type_of_the_rfc_is_told() -> None:
    for result in RESULT_TYPES:
        (sentence,) = said(report(Failure(result, 2)))
        assert RESULT_TYPES[result] in sentence


def test_the_gravest_first() -> None:
    def failure(result: str, count: int) -> Failure:
        return Failure(result, count, receiving_mx_hostname=HOST)

    found = said(
        report(failure("starttls-not-supported", 1000), kind="no-policy-found"),
        report(failure("certificate-expired", 1), failure("validation-failure", 5)),
    )
    assert [sentence.split(";")[0] for sentence in found] == [
        "mx1.example.net failed in TLS 5 times",
        "mx1.example.net showed a certificate that has expired once",
        "mx1.example.net offered no STARTTLS 1000 times",
    ]


def test_a_policy_in_testing_that_everybody_meets_can_be_enforced() -> None:
    (sentence,) = said(report(mode="testing"), report(mode="testing"))
    assert sentence == (
        "example.net: 20 times a session met the MTA-STS policy, which is in testing, and none failed:"
        " web.mta_sts can be enforce"
    )
    assert "enforce" not in " ".join(said(report(Failure("certificate-expired", 1), mode="testing")))


def test_sources_are_named_up_to_a_few() -> None:
    failure = Failure("certificate-expired", 1, receiving_mx_hostname=HOST)
    (sentence,) = said(*(report(failure, source=f"{n}.test") for n in range(5)))
    assert "5 times; says 0.test, 1.test, 2.test and 2 more;" in sentence


def test_the_words_of_strangers_are_cleaned_and_cut() -> None:
    evil = "\x1b]0;owned\x07\u202e\r\n" + "x" * 1000
    failure = Failure(evil, 1, receiving_mx_hostname=evil, failure_reason_code=evil)
    (sentence,) = said(report(failure, source=evil, domain=evil, kind=evil))
    assert sentence.isprintable()
    assert len(sentence) < 8 * module.MOST_WORD


def test_hosts_are_the_same_in_any_case() -> None:
    failures = [
        Failure("certificate-expired", 1, receiving_mx_hostname=name) for name in (HOST, "MX1.Example.NET.")
    ]
    assert len(said(report(*failures))) == 1


def test_a_flood_of_kinds_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FAILURES", 5)
    monkeypatch.setattr(module, "MOST_SOURCES", 2)
    failures = [Failure("certificate-expired", 1, receiving_mx_hostname=f"{n}.test") for n in range(50)]
    assert len(said(report(*failures))) == 5
    assert "and" not in said(*(report(failures[0], source=f"{n}.test") for n in range(9)))[0].split(";")[1]
    found = TlsSum()
    for n in range(50):
        found.add(report(domain=f"{n}.test"))
    assert len(found.good) == 5


def test_hugest_numbers_add_up() -> None:
    failure = Failure("certificate-expired", 1 << 53, receiving_mx_hostname=HOST)
    assert f"{3 << 53} times" in said(*[report(failure)] * 3)[0]


def test_a_sum_is_made_of_plain_reports() -> None:
    found = TlsSum()
    found.add(report(Failure("certificate-expired", 3), good=4))
    found.add(msgspec.structs.replace(report(good=5), organization_name="b.test"))
    assert found.reports == 2
    assert found.good == {("example.net", "sts"): 9}
    assert found.failed == {("example.net", "sts"): 3}
