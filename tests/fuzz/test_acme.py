"""Fuzz targets of ACME (RFC 8555): what an authority says, certificates and keys in PEM, base64url."""

from __future__ import annotations

import pytest

from a3mailer.ops.acme.documents import (
    Account,
    AcmeFailure,
    Authorization,
    Directory,
    Order,
    RenewalAdvice,
    read,
    read_problem,
    retry_after,
)
from a3mailer.ops.acme.jose import base64url, from_base64url
from a3mailer.ops.pkix import read_chain, read_key
from tests.certificates import authority, certified
from tests.fuzz import mutate

DOCUMENTS = (
    b'{"newNonce":"https://a/","newAccount":"https://a/","newOrder":"https://a/","meta":{"termsOfService":"x"}}',
    b'{"status":"valid","contact":["mailto:a@b"]}',
    b'{"status":"pending","finalize":"https://a/","authorizations":["https://a/"],"error":{"type":"urn:x"}}',
    b'{"status":"pending","identifier":{"type":"dns","value":"a.test"},"challenges":[{"type":"http-01",'
    b'"url":"https://a/","token":"abc","error":{"detail":"x","subproblems":[{"detail":"y"}]}}]}',
    b'{"suggestedWindow":{"start":"2027-01-03T04:00:00Z","end":"2027-01-05T04:00:00Z"}}',
    b'{"type":"urn:ietf:params:acme:error:badNonce","detail":"JWS has an invalid anti-replay nonce"}',
)
TOKENS = (b"{", b"}", b"[", b"]", b'"', b":", b",", b"null", b"true", b"1e999", b"\\u0000",
          b"\\ud800", b"\xff", b'"status"', b'"error"', b"2027-01-03T04:00:00Z")  # fmt: skip
FORMS = (Directory, Account, Order, Authorization, RenewalAdvice)
ROOT = authority()
LEAF = certified("mail.example.test", ROOT)
PEMS = (LEAF.pem + ROOT.pem, LEAF.key_pem, LEAF.pem + LEAF.key_pem)
PEM_TOKENS = (
    b"-----BEGIN ",
    b"-----END ",
    b"CERTIFICATE-----",
    b"PRIVATE KEY-----",
    b"\n",
    b"\r",
    b"=",
    b"\0",
    b"\xff",
)
FIELDS = (b"120", b"Fri, 15 Jan 2027 08:01:00 GMT", b"aYhba4dGQEHhs3uEe6CuLN4ByNQ")


def document(octets: bytes) -> None:
    for form in FORMS:
        try:
            read(octets, form, "it")
        except AcmeFailure as failure:
            assert failure.kind == "nonsense"
    assert len(read_problem(octets, 400).words) <= 1000


def pem(octets: bytes) -> None:
    for parse in (read_chain, read_key):
        try:
            parse(octets)
        except ValueError:
            continue


def field(octets: bytes) -> None:
    text = octets.decode("latin-1")
    assert 0.0 <= retry_after(text, 1.8e9) <= 86_400.0
    try:
        found = from_base64url(text)
    except ValueError:
        return
    assert from_base64url(base64url(found)) == found


@mutate.CASES
def test_any_octets_are_an_acme_document(count: int, seed: int) -> None:
    mutate.run(document, DOCUMENTS, count=count, seed=seed, tokens=TOKENS)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@mutate.CASES
def test_any_octets_are_certificates_or_a_key(count: int, seed: int) -> None:
    mutate.run(pem, PEMS, count=count, seed=seed, tokens=PEM_TOKENS)


@mutate.CASES
def test_any_octets_are_a_field_of_an_acme_answer(count: int, seed: int) -> None:
    mutate.run(field, FIELDS, count=count, seed=seed, tokens=(b"=", b"-", b"_", b"GMT", b" ", b",", b":"))
