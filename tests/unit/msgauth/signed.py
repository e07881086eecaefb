"""Keys of a domain, their records, mails and the two ways: for the tests of DKIM."""

import asyncio
import base64
import functools
import random

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from a3mailer.msgauth import fields
from a3mailer.msgauth.canonical import Bodies
from a3mailer.msgauth.dkim import DkimResult, verify
from a3mailer.msgauth.sign import Form, SigningKey, load_key, sign
from a3mailer.testing.resolver import FakeResolver
from bench.mails import crlf, generated
from tests.tree import ROOT

NOW = 1_795_000_000
DOMAIN = "example.org"
SHARED = ROOT.parent / "shared" / "vectors" / "dkim"
VECTORS = SHARED if (SHARED / "PROVENANCE").exists() else ROOT / "tests" / "vectors" / "dkim"
MAIL = (
    b"Received: from a by b; Sun, 22 Nov 2026 10:00:00 +0000\r\nFrom: Alice <alice@example.org>\r\n"
    b"To: bob@example.net\r\nSubject: folded\r\n\tsubject \r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@example.org>\r\n\r\nHello  Bob,\r\n\r\nbye \r\n\r\n\r\n"
)


@functools.cache
def pem(selector: str) -> bytes:
    """A private key as a file holds it; "rsa" and "ed", and "rsa1024" for quick ones."""
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey = ed25519.Ed25519PrivateKey.generate()
    if selector.startswith("rsa"):
        key = rsa.generate_private_key(65537, int(selector[3:] or 2048))
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def key(selector: str, domain: str = DOMAIN) -> SigningKey:
    return load_key(domain, selector, pem(selector))


def record(signing: SigningKey) -> bytes:
    """The TXT record of its public half."""
    public = signing.private.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        octets, kind = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), b"rsa"
    else:
        octets, kind = public.public_bytes(Encoding.Raw, PublicFormat.Raw), b"ed25519"
    return b"v=DKIM1; k=%b; p=%b" % (kind, base64.b64encode(octets))


def zone(*keys: SigningKey) -> FakeResolver:
    resolver = FakeResolver()
    for one in keys:
        resolver.put(f"{one.selector}._domainkey.{one.domain}", "TXT", record(one))
    return resolver


def signed(mail: bytes, *keys: SigningKey, form: Form | None = None, now: int = NOW) -> bytes:
    header = fields.read(mail)
    return sign(header, Bodies(mail, header.body), keys, now, form) + mail


def verified(
    mail: bytes, resolver: FakeResolver, author: str = DOMAIN, now: int = NOW
) -> tuple[DkimResult, ...]:
    header = fields.read(mail)
    return asyncio.run(verify(header, Bodies(mail, header.body), resolver, now, author))


def mails(count: int, seed: int) -> list[bytes]:
    """Of every shape: nested, eight bits, long lines, dots, empty bodies, odd ends and white space."""
    draw = random.Random(seed)
    made = [crlf(mail) for _, mail in generated(count, seed, "sender@example.org")]
    return [_odd_end(draw, mail) for mail in made]


def _odd_end(draw: random.Random, mail: bytes) -> bytes:
    head, _, body = mail.partition(b"\r\n\r\n")
    kind = draw.randrange(8)
    extra = (
        b"",
        b"\r\n" * draw.randrange(1, 9),
        b" \t \r\n \r\n",
        b"  two  spaces\t\ttabs \r\n",
        b"no end",
        b" ",
        b"\r\n \r\n",
        b"",
    )[kind]
    head += (b"\r\nX-Odd:  a  b\t\r\n\tc ", b"\r\nReply-To :\r\n x@example.org", b"")[draw.randrange(3)]
    return head + b"\r\n\r\n" + (b"" if kind == 7 else body + extra)
