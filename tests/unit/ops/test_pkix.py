"""Requests, chains, and what is checked of a certificate that came back."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from a3mailer.ops import pkix
from a3mailer.ops.acme.schedule import renewal_id
from a3mailer.ops.pkix import check, covers, names_of, read_chain, read_key, request
from tests.certificates import NOW, Certified, authority, certified

NAME = "mail.example.test"


@pytest.fixture(scope="module")
def root() -> Certified:
    return authority()


def test_a_request_names_every_name() -> None:
    key = pkix.new_key()
    long = "x" * 60 + ".example.test"
    for names in ((NAME, "mta-sts.example.test"), (long, NAME)):
        made = request(key, names)
        found = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert tuple(found.get_values_for_type(x509.DNSName)) == names and made.is_signature_valid
        assert len(made.subject) == (0 if names[0] == long else 1)


def test_a_chain_has_an_order(root: Certified) -> None:
    leaf = certified(NAME, root)
    chain = read_chain(leaf.pem + root.pem)
    assert chain.names == (NAME,) and len(chain.above) == 1 and read_chain(chain.pem()) == chain
    for wrong in (root.pem + leaf.pem, root.pem, b"", b"nonsense", leaf.pem * 11):
        with pytest.raises(ValueError):
            read_chain(wrong)


def test_what_is_checked(root: Certified) -> None:
    leaf, now = certified(NAME, root), NOW.timestamp()
    chain = read_chain(leaf.pem)
    check(chain, leaf.key, (NAME,), now)
    with pytest.raises(ValueError, match="another key"):
        check(chain, pkix.new_key(), (NAME,), now)
    with pytest.raises(ValueError, match=r"not for b\.test"):
        check(chain, leaf.key, (NAME, "b.test"), now)
    with pytest.raises(ValueError, match="expired"):
        check(chain, leaf.key, (NAME,), now + 31 * 86_400)


def test_a_key_is_found_beside_certificates(root: Certified) -> None:
    leaf = certified(NAME, root)
    for text in (
        leaf.key_pem + leaf.pem,
        leaf.pem + leaf.key_pem,
        (leaf.pem + leaf.key_pem).replace(b"\n", b"\r\n"),
    ):
        assert pkix.spki(read_key(text)) == leaf.spki
    assert pkix.spki(read_key(pkix.key_pem(leaf.key))) == leaf.spki


@pytest.mark.parametrize("kind", ["rsa 1024", "ed25519", "p521", "nothing", "cut"])
def test_keys_that_no_client_would_take(kind: str) -> None:
    made = {
        "rsa 1024": lambda: rsa.generate_private_key(65537, 1024),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    }
    text = b"-----BEGIN PRIVATE KEY-----\nMIG" if kind == "cut" else b""
    if kind in made:
        text = made[kind]().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    with pytest.raises(ValueError):
        read_key(text)


def test_a_strong_rsa_key_is_taken() -> None:
    key = rsa.generate_private_key(65537, 2048)
    assert pkix.spki(read_key(pkix.key_pem(key))) == pkix.spki(key)


@pytest.mark.parametrize(
    ("names", "name", "covered"),
    [
        ((NAME,), NAME, True),
        (("*.example.test",), NAME, True),
        (("*.example.test",), "example.test", False),
        (("*.example.test",), "a.mail.example.test", False),
        (("*.test",), NAME, False),
        (("*",), "localhost", False),
        ((), NAME, False),
    ],
)
def test_a_wildcard_is_one_label(names: tuple[str, ...], name: str, covered: bool) -> None:
    assert covers(names, name) is covered


def test_the_renewal_id_of_rfc_9773() -> None:
    """Section 4.1: the example of the identifier and of the serial number 00:87:65:43:21."""
    identifier = bytes.fromhex("69885B6B87464041E1B37B847BA0AE2CDE01C8D4")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(0x87654321)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
        .add_extension(x509.AuthorityKeyIdentifier(identifier, None, None), critical=False)
        .sign(key, hashes.SHA256())
    )
    assert renewal_id(made) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
    assert base64.urlsafe_b64decode("AIdlQyE=") == bytes.fromhex("0087654321")


def test_a_certificate_without_the_identifier_has_no_renewal_id(root: Certified) -> None:
    assert renewal_id(certified(NAME, root).certificate)
    key = pkix.new_key()
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    bare = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW)
        .sign(key, hashes.SHA256())
    )
    assert renewal_id(bare) == "" and names_of(bare) == ()
