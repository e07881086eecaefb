"""Key records (RFC 6376 section 3.6): what can be used, and why the others cannot."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from a3mailer.mail.authresults import PERMERROR, TEMPERROR
from a3mailer.msgauth import domainkeys
from a3mailer.msgauth.domainkeys import DomainKey, Fault, fetch, is_name, load
from a3mailer.testing.resolver import FakeResolver

RSA = rsa.generate_private_key(65537, 1024)
SPKI = base64.b64encode(RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
PKCS1 = base64.b64encode(RSA.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1))
ED = ed25519.Ed25519PrivateKey.generate()
ED_TEXT = base64.b64encode(ED.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
NAME = "sel._domainkey.example.test"


def key(text: bytes) -> DomainKey:
    found = load(text)
    assert isinstance(found, DomainKey)
    return found


def fault(found: DomainKey | Fault) -> str:
    assert isinstance(found, Fault)
    return f"{found.result}: {found.reason}"


def test_keys_that_can_be_used() -> None:
    plain = key(b"p=" + SPKI)
    assert (plain.kind, plain.bits, plain.hashes, plain.testing, plain.strict) == (
        "rsa",
        1024,
        None,
        False,
        False,
    )
    assert key(b"v=DKIM1; k=rsa; p=" + PKCS1).public == plain.public
    full = key(b"v=DKIM1; h=sha256:x; k=ed25519; n=a note; s=email : *; t=y:s; x=new; p=" + ED_TEXT)
    assert (full.kind, full.bits, full.testing, full.strict) == ("ed25519", 256, True, True)
    assert (full.hashes, full.services) == ((b"sha256", b"x"), (b"email", b"*"))
    folded = b"p=" + SPKI[:40] + b" " + SPKI[40:]
    assert key(folded).public == plain.public


def test_signatures_are_checked() -> None:
    digest = hashlib.sha256(b"x").digest()
    for found, signature in (
        (key(b"p=" + SPKI), RSA.sign(b"x", PKCS1v15(), SHA256())),
        (key(b"k=ed25519; p=" + ED_TEXT), ED.sign(digest)),
    ):
        assert found.verify(signature, digest)
        assert not found.verify(signature, digest[::-1])
        assert not found.verify(signature[:-1], digest) and not found.verify(b"", digest)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "malformed"),
        (b"no tags", "malformed"),
        (b"v=DKIM2; p=" + SPKI, "malformed"),
        (b"k=rsa; v=DKIM1; p=" + SPKI, "malformed"),
        (b"v=DKIM1: g=*; p=" + SPKI, "malformed"),
        (b"p=" + SPKI + b"; p=" + SPKI, "malformed"),
        (b"p=" + SPKI + b"; n=" + b"x" * 9000, "malformed"),
        (b"v=DKIM1", "has no key"),
        (b"v=DKIM1; p=", "revoked"),
        (b"p=####", "unknown kind"),
        (b"p=" + SPKI[:-8], "unknown kind"),
        (b"k=dsa; p=" + SPKI, "unknown kind"),
        (b"k=ed25519; p=" + SPKI, "unknown kind"),
        (b"k=ed25519; p=" + ED_TEXT[:-8], "unknown kind"),
        (b"k=rsa; p=" + ED_TEXT, "unknown kind"),
    ],
)
def test_records_that_are_no_key(text: bytes, reason: str) -> None:
    assert fault(load(text)).startswith(PERMERROR) and reason in fault(load(text))


def test_an_exponent_that_makes_checks_dear_is_refused() -> None:
    numbers = RSA.public_key().public_numbers()
    dear = rsa.RSAPublicNumbers((1 << 400) + 1, numbers.n).public_key()
    text = base64.b64encode(dear.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    assert "unknown kind" in fault(load(b"p=" + text))


async def test_a_key_is_fetched() -> None:
    resolver = FakeResolver()
    assert "no key" in fault(await fetch(resolver, b"sel", b"example.test"))
    resolver.put(NAME, "TXT", b"v=spf1 -all", b"p=" + SPKI)
    assert isinstance(await fetch(resolver, b"SEL", b"Example.test"), DomainKey)
    resolver.put(NAME, "TXT", b"junk", b"v=DKIM1; p=")
    assert "malformed" in fault(await fetch(resolver, b"sel", b"example.test"))
    resolver.fail(NAME, "TXT")
    assert fault(await fetch(resolver, b"sel", b"example.test")).startswith(TEMPERROR)


async def test_what_is_no_name_is_never_asked() -> None:
    resolver = FakeResolver()
    for selector, domain in (
        (b"", b"example.test"),
        (b"sel", b""),
        (b"sel", b"a..b"),
        (b"sel", b".example.test"),
        (b"sel", b"example.test."),
        (b"s\0l", b"example.test"),
        (b"sel", b"legitimate.test(.attacker.test"),
        (b"sel", b"a b.test"),
        (b"sel", b"x" * 64 + b".test"),
        (b"sel", b"x." * 130 + b"test"),
        (b"sel", "bücher.test".encode()),
    ):
        assert fault(await fetch(resolver, selector, domain)).startswith(PERMERROR)
    assert not resolver.asked
    assert is_name(b"a_b.c-d.test") and not is_name(b"-a.test")


async def test_what_no_domain_needs_is_not_kept() -> None:
    caches = (domainkeys._load, domainkeys._key_name)
    before = [cache.cache_info().currsize for cache in caches]
    assert isinstance(load(b"p=" + SPKI + b"; n=" + b"x" * domainkeys.MAX_RECORD), Fault)
    await fetch(FakeResolver(), b"s" * domainkeys.MAX_NAME, b"example.test")
    assert [cache.cache_info().currsize for cache in caches] == before
