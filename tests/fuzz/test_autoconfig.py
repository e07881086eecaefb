"""Fuzz targets of what mail programs ask, and of the records that vouch for what they are told."""

from __future__ import annotations

from a3mailer.ops.autoconfig import autodiscover, pacc
from a3mailer.runtime.markup import BadMarkup
from tests.fuzz import mutate
from tests.unit.ops.autoconfig.test_documents import OURS, request

TOKENS = (b"<EMailAddress>", b"</EMailAddress>", b"<!DOCTYPE a [", b"<!ENTITY b 'c'>", b"]>", b"&b;", b"&#0;",
          b"&#55555;", b"<![CDATA[", b"]]>", b"<?x", b"?>", b"<!--", b"-->", b"/>", b"\xff\xfe",
          b"<a b='c'", b"a:")  # fmt: skip
RECORD = pacc.record(pacc.encode(OURS)).encode()


def question(octets: bytes) -> None:
    try:
        found = autodiscover.parse(octets)
    except BadMarkup:
        return
    assert 0 < len(found.address) <= autodiscover.MAX_TEXT
    assert b"DOCTYPE" not in octets or b"<!--" in octets or b"<![CDATA[" in octets or b"<?" in octets


def record(octets: bytes) -> None:
    assert len(pacc.digest_of(octets.decode("utf-8", "replace"))) in (0, pacc.DIGEST)


@mutate.CASES
def test_any_octets_are_an_autodiscover_request(count: int, seed: int) -> None:
    mutate.run(question, (request(),), count=count, seed=seed, tokens=TOKENS)


@mutate.CASES
def test_any_octets_are_a_digest_or_none(count: int, seed: int) -> None:
    mutate.run(record, (RECORD,), count=count, seed=seed, tokens=(b"; ", b"d=", b"a=sha256", b"=="))
