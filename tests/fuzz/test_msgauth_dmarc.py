"""Fuzz targets of DMARC: any header has one author domain or none, any octets are a record or none."""

from __future__ import annotations

from a3mailer.msgauth.author import author, domain_name
from a3mailer.msgauth.dmarc_record import POLICIES, parse
from tests.fuzz import mutate

HEADERS = (
    b"Received: x\r\nFrom: Alice <a@legit.example>\r\nTo: b@c.example\r\n\r\n",
    b"From: a@legit.example, B <b@legit.example>\r\n\r\n",
    b'From: "A, \\"B\\"" <a@legit.example> (x)\r\n\r\n',
    b"From: x: a@legit.example;\r\n\r\n",
    b"From:\r\n =?utf-8?q?x?= <a@xn--bcher-kva.example>\nFrom : <@a,@b:c@d>\r\n\r\n",
)
TOKENS = (
    *(b"\r\n", b"\n", b"\r", b"\0", b"\r\n ", b"From:", b"\nFrom: ", b"From :", b"from", b"<", b">", b"@"),
    *(b'"', b"\\", b"(", b")", b",", b";", b":", b"[", b"]", b"=?", b"?=", b"a@b.example", b" ", b"\t"),
    *(b"xn--", "ü".encode(), "。".encode(), b"\xff", b".", b"..", b"a@[192.0.2.1]"),
)


def header(octets: bytes) -> None:
    found = author(octets)
    assert bool(found.domain) is not bool(found.problem)
    if found.domain:
        assert found.domain == domain_name(found.domain.encode())
        folded = octets.replace(b"\r", b"\n")
        # two readable From fields never have one author
        assert (b"\n" + folded).lower().count(b"\nfrom:") <= 1


@mutate.CASES
def test_any_octets_have_one_author_domain_or_none(count: int, seed: int) -> None:
    mutate.run(header, HEADERS, count=count, seed=seed, tokens=TOKENS)


RECORDS = (
    b"v=DMARC1; p=reject; sp=none; np=quarantine; adkim=s; aspf=r; psd=u; t=y",
    b"v=DMARC1;p=none;rua=mailto:a@b.example!10m,mailto:c@d.example;ruf=mailto:e@f.example;fo=1:d:s",
    b"v=DMARC1; p=quarantine; pct=50; rf=afrf; ri=86400",
)
TAGS = (
    b";",
    b"=",
    b" ",
    b"v=DMARC1",
    b"p=",
    b"reject",
    b"sp=",
    b"np=",
    b"psd=n",
    b"t=y",
    b"pct=",
    b",",
    b"!",
)


def record(octets: bytes) -> None:
    found = parse(octets)
    if found is not None:
        assert found.policy in ("", *POLICIES)
        assert found.psd in ("u", "y", "n")
        assert octets.lstrip(b" \t")[:1].lower() == b"v"


@mutate.CASES
def test_any_octets_are_a_dmarc_record_or_none(count: int, seed: int) -> None:
    mutate.run(record, RECORDS, count=count, seed=seed, tokens=TAGS)
