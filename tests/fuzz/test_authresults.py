"""Fuzz target of Authentication-Results: read, written again, and taken away where it claims to be ours."""

from __future__ import annotations

from a3mailer.mail.authresults import claims, encode, own_fields, parse, strip_own
from tests.fuzz import mutate

OWN = "mx.example.test"
SEEDS = (
    b"mx.example.test; none\r\n",
    b"Authentication-Results: mx.example.test 1;\r\n\tspf=pass smtp.mailfrom=a@b.example;\r\n\tdkim=fail\r\n",
    b'(x(y\\)))"mx.example.test"; auth=pass reason="a \\"b\\"" smtp.auth="a b"@c.example (d); dmarc=none\r\n',
    b"Subject: x\r\nAuthentication-Results : (\r\n )MX.example.test.; x=y\r\nFrom: z\r\n\r\nbody\r\n",
)
TOKENS = (
    *(
        b"Authentication-Results:",
        b"mx.example.test",
        b"spf=pass",
        b"none",
        b"reason=",
        b"smtp.",
        b"header.b=",
    ),
    *(
        b"\r\n",
        b"\n",
        b"\r\n ",
        b"\t",
        b";",
        b"=",
        b"(",
        b")",
        b'"',
        b"\\",
        b"/1",
        b"\0",
        b"\xc3\xa4",
        b"\xff",
        b"@",
    ),
)


def target(octets: bytes) -> None:
    left = strip_own(octets, OWN)
    for start, end in own_fields(octets, OWN):
        assert claims(octets[start:end].partition(b":")[2], OWN)
    assert not list(own_fields(left, OWN))
    assert len(left) <= len(octets)
    read = parse(octets)
    if read is not None:
        field = encode(read)
        again = parse(field.partition(b":")[2])
        assert again is not None
        assert parse(encode(again).partition(b":")[2]) == again


@mutate.CASES
def test_any_octets_are_results_or_none(count: int, seed: int) -> None:
    mutate.run(target, SEEDS, count=count, seed=seed, tokens=TOKENS)
