"""Fuzz targets of DANE: a server's certificates and the data of TLSA records are anybody's octets."""

from __future__ import annotations

from cryptography import x509

from a3mailer.msgauth.dane import Verdict, key_info, plan_of, verify
from a3mailer.runtime.resolver import Tlsa
from tests.certificates import NOW, authority, certified
from tests.fuzz import mutate

ROOT = authority()
LEAF = certified("mx.test", ROOT)
SIGNED = LEAF.certificate.tbs_certificate_bytes
PLAN = plan_of(
    (Tlsa(2, 0, 0, ROOT.der), Tlsa(2, 1, 1, ROOT.key_digest), Tlsa(3, 1, 1, bytes(32))),
    "mx.test",
    ("mx.test",),
)
TOKENS = (b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\xa0\x03\x02\x01\x02", b"\x30\x00", b"\x02\x01\x00")


def certificate(octets: bytes) -> None:
    key_info(octets)
    found = verify(PLAN, (octets, ROOT.der), NOW)
    # the signature's own encoding has some play, as a count of unused bits; what is signed has none
    assert (
        found is not Verdict.MATCH or x509.load_der_x509_certificate(octets).tbs_certificate_bytes == SIGNED
    )
    verify(PLAN, (LEAF.der, octets), NOW)


def record(octets: bytes) -> None:
    head, data = (*octets[:3], 0, 0, 0)[:3], octets[3:]
    records = (Tlsa(*head, data), Tlsa(2, 0, 0, data))
    verify(plan_of(records, "mx.test", ("mx.test", data[:80].decode("latin-1"))), (LEAF.der,), NOW)


@mutate.CASES
def test_any_octets_are_a_certificate_or_none(count: int, seed: int) -> None:
    mutate.run(certificate, (LEAF.der, ROOT.der), count=count, seed=seed, tokens=TOKENS)


@mutate.CASES
def test_any_octets_are_a_record_or_none(count: int, seed: int) -> None:
    seeds = (b"\x02\x00\x00" + ROOT.der, b"\x03\x01\x01" + bytes(32))
    mutate.run(record, seeds, count=count, seed=seed, tokens=TOKENS)
