"""Fuzz targets of TLS reporting (RFC 8460): TXT records and reports from anybody."""

from __future__ import annotations

from a3mailer.msgauth.packed import Unreadable
from a3mailer.msgauth.tlsrpt import MAX_TARGETS, decode, encode, parse_record
from tests.fuzz import mutate
from tests.unit.msgauth.test_tlsrpt import EXAMPLE, SMALL

RECORDS = (
    b"v=TLSRPTv1; rua=mailto:reports@example.com,https://reporting.example.com/v1/tlsrpt?x=1",
    b"v=TLSRPTv1;rua=mailto:a%2Bb@c.test?subject=x ; other=1;",
    b"v=TLSRPTv1",
)
REPORTS = (EXAMPLE, encode(SMALL))
RECORD_TOKENS = (b";", b",", b"=", b":", b"rua=", b"mailto:", b"https://", b"%", b"@", b"%0d%0a", b" ", b"\0")
TOKENS = (b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\ud800", b"null", b"1e9", b"-1", b"NaN",
          b'"policy":', b'"policies":', b"9" * 30, b"\xed\xa0\x80", b"\0")  # fmt: skip


def record(octets: bytes) -> None:
    found = parse_record([octets, b"v=spf1 -all"])
    assert len(found) <= MAX_TARGETS
    for target in found:
        assert target.where.isascii()
        assert target.where.isprintable()
        assert " " not in target.where
        assert target.way == "post" or target.where.count("@") == 1


def report(octets: bytes) -> None:
    try:
        found = decode(octets)
    except Unreadable:
        return
    assert decode(encode(found)) == found


@mutate.CASES
def test_any_octets_are_a_tlsrpt_record(count: int, seed: int) -> None:
    mutate.run(record, RECORDS, count=count, seed=seed, tokens=RECORD_TOKENS)


@mutate.CASES
def test_any_octets_are_a_tls_report(count: int, seed: int) -> None:
    mutate.run(report, REPORTS, count=count, seed=seed, tokens=TOKENS)
