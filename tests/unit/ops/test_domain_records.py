"""Records of a domain: what is in them, and that name servers read them."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
from dataclasses import replace

import dns.name
import dns.rdata
import dns.zone
import pytest

from a3mailer.msgauth.mta_sts import own_id
from a3mailer.msgauth.tlsrpt import parse_record
from a3mailer.ops.domain_records import DomainRecord, Facts, quoted, records, spf_text, zone_file

FACTS = Facts(
    domain="example.test",
    hostname="mail.example.test",
    addresses=("192.0.2.1", "2001:db8::1"),
    dkim=(("a3-rsa", "v=DKIM1; k=rsa; p=" + "A" * 392), ("a3-ed25519", "v=DKIM1; k=ed25519; p=AAAA")),
    keys=("ab" * 32, "cd" * 32),
    listeners={"smtp": 25, "submissions": 465, "submission": 587, "imap": 143, "imaps": 993},
)


def data(facts: Facts, kind: str, name: str) -> list[str]:
    return [r.data for r in records(facts) if (r.kind, r.name) == (kind, name)]


def text(record: DomainRecord) -> str:
    return b"".join(dns.rdata.from_text("IN", "TXT", record.data).strings).decode()


def test_every_record_is_one_a_name_server_reads() -> None:
    for record in records(replace(FACTS, listeners={**FACTS.listeners, "https": 443})):
        dns.rdata.from_text("IN", record.kind, record.data)
        assert dns.name.from_text(record.name).is_subdomain(dns.name.from_text(FACTS.domain))
        assert record.why and record.ttl == 3600


def test_what_mail_needs_is_marked_needed() -> None:
    assert {r.subject for r in records(FACTS) if r.needed} == {"mx", "address", "spf", "dkim", "dmarc"}
    assert data(FACTS, "MX", "example.test") == ["10 mail.example.test."]
    assert data(FACTS, "A", "mail.example.test") == ["192.0.2.1"]
    assert data(FACTS, "AAAA", "mail.example.test") == ["2001:db8::1"]
    assert data(FACTS, "TLSA", "_25._tcp.mail.example.test") == [
        f"3 1 1 {'ab' * 32}",
        f"3 1 1 {'cd' * 32}",
    ]


@pytest.mark.parametrize(
    ("relayed", "mx", "subjects"),
    [
        ("next.test", "10 mail.example.test.", {"mx", "address", "spf", "caa", "tlsa", "mta-sts"}),
        ("mx", "20 mail.example.test.", {"mx", "address", "spf", "caa", "tlsa"}),
    ],
)
def test_a_relayed_domain_has_what_is_about_receiving(relayed: str, mx: str, subjects: set[str]) -> None:
    facts = replace(FACTS, relayed=relayed, listeners={**FACTS.listeners, "https": 443})
    found = records(facts)
    assert {r.subject for r in found} == subjects and {r.subject for r in found if r.needed} <= {
        "mx",
        "address",
    }
    assert data(facts, "MX", "example.test") == [mx]
    assert [r.name for r in found if r.subject == "spf"] == ["mail.example.test"]


def test_long_keys_are_cut_into_strings_and_come_back_whole() -> None:
    found = {r.name: text(r) for r in records(FACTS) if r.subject == "dkim"}
    assert found == {f"{s}._domainkey.example.test": t for s, t in FACTS.dkim}
    assert quoted('a"b\\c') == '"a\\"b\\\\c"' and quoted("") == '""'


def test_a_service_that_is_not_offered_says_so() -> None:
    assert data(FACTS, "SRV", "_imaps._tcp.example.test") == ["0 1 993 mail.example.test."]
    assert data(FACTS, "SRV", "_pop3._tcp.example.test") == ["0 0 0 ."]
    assert data(FACTS, "SRV", "_jmap._tcp.example.test") == ["0 0 0 ."]
    with_web = replace(FACTS, listeners={"https": 8443})
    assert data(with_web, "SRV", "_jmap._tcp.example.test") == ["0 1 8443 mail.example.test."]


def test_a_policy_is_announced_only_where_it_can_be_fetched() -> None:
    assert not [r for r in records(FACTS) if r.subject == "mta-sts"]
    with_web = replace(FACTS, listeners={"https": 443})
    found = [r for r in records(with_web) if r.subject == "mta-sts"]
    assert [(r.name, r.kind) for r in found] == [
        ("_mta-sts.example.test", "TXT"),
        ("mta-sts.example.test", "CNAME"),
    ]
    assert text(found[0]) == f"v=STSv1; id={own_id('mail.example.test', 'testing')}"
    assert not [r for r in records(replace(with_web, sts_mode="none")) if r.subject == "mta-sts"]


def test_reports_are_posted_where_the_domain_says_so_and_somebody_listens() -> None:
    def wanted(**more: object) -> list[str]:
        return [text(r) for r in records(replace(FACTS, **more)) if r.subject == "tls-rpt"]  # type: ignore[arg-type]

    mailed = "v=TLSRPTv1; rua=mailto:tls-reports@example.test"
    where = "https://mail.example.test{}/reports/tls/example.test"
    assert wanted() == wanted(posts=True) == wanted(listeners={"https": 443}) == [mailed]
    assert wanted(posts=True, listeners={"https": 443}) == [f"{mailed},{where.format('')}"]
    (other,) = wanted(posts=True, listeners={"https": 8443})
    assert other == f"{mailed},{where.format(':8443')}"
    assert [each.way for each in parse_record([other.encode()])] == ["mail", "post"]


def test_a_host_of_another_zone_gets_no_records_here() -> None:
    found = records(replace(FACTS, hostname="mx.provider.test"))
    assert {r.subject for r in found} == {"mx", "spf", "dkim", "dmarc", "tls-rpt", "autoconfig"}
    assert not [r for r in found if "provider.test" in r.name]
    assert not Facts("ample.test", "mail.example.test").holds_host


@pytest.mark.parametrize(
    ("relay", "wanted"),
    [
        ("", "v=spf1 mx -all"),
        ("out.provider.test:587", "v=spf1 mx a:out.provider.test -all"),
        ("192.0.2.9:25", "v=spf1 mx ip4:192.0.2.9 -all"),
        ("[2001:db8::9]:25", "v=spf1 mx ip6:2001:db8::9 -all"),
    ],
)
def test_spf_names_the_smart_host(relay: str, wanted: str) -> None:
    assert spf_text(replace(FACTS, relay=relay)) == wanted


@pytest.mark.parametrize("hostname", ["mail.example.test", "example.test", "mx.provider.test"])
def test_the_zone_file_loads_in_bind(hostname: str, tmp_path: pathlib.Path) -> None:
    facts = replace(FACTS, hostname=hostname, listeners={**FACTS.listeners, "https": 443})
    made = zone_file(facts, ["ns.provider.test"], 7)
    zone = dns.zone.from_text(made, "example.test", relativize=False)
    wanted = {(r.name, r.kind) for r in records(facts)}
    assert not [(n, k) for n, k in wanted if zone.get_rdataset(n + ".", k) is None]
    program = shutil.which("named-checkzone", path="/usr/sbin:/usr/bin:/sbin")
    if program is None:
        pytest.skip("absent: named-checkzone (bind9-utils)")
    (tmp_path / "zone").write_text(made)
    checked = subprocess.run(
        [program, "-i", "full-sibling", "-k", "fail", "-n", "fail", "-m", "fail", "-M", "fail", "-r", "fail",
         "-S", "fail", "example.test", str(tmp_path / "zone")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout
