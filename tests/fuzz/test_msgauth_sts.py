"""Fuzz targets of MTA-STS (RFC 8461): policy files and TXT records from anybody's web and name servers."""

from __future__ import annotations

from a3mailer.msgauth.mta_sts import BadPolicy, encode_policy, parse_policy, parse_record
from tests.fuzz import mutate

POLICIES = (
    b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n",
    b"version : STSv1 \nmode:testing\nmx:\ta.example.\nnew: x\nmax_age: 9999999999",
    b"version: STSv1\nmode: none\nmax_age: 0\n",
)
RECORDS = (b"v=STSv1; id=20160831085700Z;", b"v=STSv1;id=1 ; x=y", b"v=spf1 -all")
TOKENS = (b"\r\n", b"\n", b":", b";", b"=", b" ", b"\t", b"*.", b".", b"\0", b"\xff", b"mx: ", b"mode: ",
          b"max_age: ", b"version: ", b"id=", b"v=STSv1")  # fmt: skip


def policy(octets: bytes) -> None:
    try:
        found = parse_policy(octets)
    except BadPolicy:
        return
    assert parse_policy(encode_policy(found)) == found


def record(octets: bytes) -> None:
    found = parse_record([octets, b"v=spf1 -all"])
    assert len(found) <= 32
    assert found.isalnum() or not found


@mutate.CASES
def test_any_octets_are_an_mta_sts_policy(count: int, seed: int) -> None:
    mutate.run(policy, POLICIES, count=count, seed=seed, tokens=TOKENS)


@mutate.CASES
def test_any_octets_are_an_mta_sts_record(count: int, seed: int) -> None:
    mutate.run(record, RECORDS, count=count, seed=seed, tokens=TOKENS)
