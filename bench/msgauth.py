"""How many mails a second of CPU are verified and signed with DKIM, beside dkimpy?"""

import asyncio
import base64
import hashlib
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from a3mailer.mail.authresults import PASS
from a3mailer.msgauth import fields
from a3mailer.msgauth.canonical import Bodies
from a3mailer.msgauth.dkim import verify
from a3mailer.msgauth.domainkeys import DomainKey, load
from a3mailer.msgauth.sign import SigningKey, load_key, sign
from a3mailer.runtime.resolver import Answer
from bench.message import with_attachment, written
from bench.peers.dkimpy import dkimpy
from bench.peers.packages import Absent
from bench.report import Options, Report, Row, at_least, main

SIZES: Final = (4_096, 65_536)
VERIFY_FACTOR: Final = 8.0
SIGN_FACTOR: Final = 15.0
DOMAIN: Final = "example.com"
NOW: Final = 1_795_000_000


class Records:
    """A resolver with everything in its cache."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    async def lookup(self, name: str, kind: str) -> Answer:
        return self.known(name, kind)

    def known(self, name: str, kind: str) -> Answer:
        return Answer(name, kind, (self._text,), ttl=300.0)


def pem_of(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def record_of(key: SigningKey) -> bytes:
    """The TXT record of a key."""
    public = key.private.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return b"v=DKIM1; k=ed25519; p=" + base64.b64encode(raw)


def rate(work: Callable[[], object], count: int, rounds: int) -> float:
    """Mails a second of CPU, the best of several rounds."""
    best = float("inf")
    for _ in range(rounds):
        before = time.process_time()
        work()
        best = min(best, time.process_time() - before)
    return count / best


def signed(mail: bytes, key: SigningKey) -> bytes:
    """One signature on top; the header is read anew, as for every mail."""
    header = fields.read(mail)
    return sign(header, Bodies(mail, header.body), (key,), NOW) + mail


def verifying(mails: Sequence[bytes], text: bytes) -> None:
    """Every mail must pass: its header read anew, its key known already."""

    async def all_of_them() -> None:
        resolver = Records(text)
        for mail in mails:
            header = fields.read(mail)
            (result,) = await verify(header, Bodies(mail, header.body), resolver, NOW, DOMAIN)
            assert result.result == PASS

    asyncio.run(all_of_them())


def peer_verifying(dkim: ModuleType, mails: Sequence[bytes], text: bytes) -> None:
    """The same by dkimpy."""
    for mail in mails:
        assert dkim.verify(mail, dnsfunc=lambda name, timeout=5: text)


def bare(key: SigningKey, text: bytes, count: int) -> None:
    """What of a verification is RSA alone: no time of ours can be below it."""
    public, digest = load(text), hashlib.sha256(b"").digest()
    signature = key.sign(digest)
    assert isinstance(public, DomainKey)
    for _ in range(count):
        assert public.verify(signature, digest)


def peer_bare(dkim: ModuleType, key: SigningKey, text: bytes, count: int) -> None:
    """The same by dkimpy."""
    made = hashlib.sha256()
    signature = key.sign(made.digest())
    public = dkim.crypto.parse_public_key(base64.b64decode(text.partition(b"p=")[2]))
    for _ in range(count):
        assert dkim.crypto.RSASSA_PKCS1_v1_5_verify(made, signature, public)


def measure(chosen: Options, report: Report) -> None:
    """RSA 2048 beside dkimpy at two sizes, Ed25519 and a large mail alone."""
    warnings.simplefilter("ignore")  # dkimpy's own
    peer = None
    if chosen.peer:
        try:
            peer = dkimpy()
        except Absent as reason:
            report.note(f"absent: {reason}")
    many, few, rounds = (20, 3, 1) if chosen.smoke else (400, 30, 5)
    pem = pem_of(rsa.generate_private_key(65537, 2048))
    key = load_key(DOMAIN, "bench", pem)
    for size in SIZES:
        mails = [written(size, chosen.seed + n, html=False) for n in range(few)]
        again = mails * (many // few + 1)
        ours = rate(lambda mails=again: [signed(mail, key) for mail in mails], len(again), rounds)
        theirs = peer and rate(
            lambda mails=mails: [
                peer.sign(mail, b"bench", DOMAIN.encode(), pem, canonicalize=(b"relaxed", b"relaxed"))
                for mail in mails
            ],
            len(mails),
            rounds,
        )
        report.add(at_least(f"sign RSA 2048, {size} octets", "mails/s", ours, theirs, SIGN_FACTOR))
        made, text = [signed(mail, key) for mail in again], record_of(key)
        ours = rate(lambda made=made, text=text: verifying(made, text), len(made), rounds)
        theirs = peer and rate(
            lambda made=made[:many], text=text: peer_verifying(peer, made, text), many, rounds
        )
        report.add(at_least(f"verify RSA 2048, {size} octets", "mails/s", ours, theirs, VERIFY_FACTOR))
    text = record_of(key)
    ours = rate(lambda: bare(key, text, many), many, rounds)
    theirs = peer and rate(lambda: peer_bare(peer, key, text, many), many, rounds)
    report.add(Row("RSA 2048 alone, of a verification", "mails/s", ours, theirs))
    edwards = load_key(DOMAIN, "bench", pem_of(ed25519.Ed25519PrivateKey.generate()))
    mails = [written(SIZES[0], chosen.seed + n, html=False) for n in range(many)]
    made, text = [signed(mail, edwards) for mail in mails], record_of(edwards)
    report.add(
        Row(
            "sign Ed25519, 4096 octets",
            "mails/s",
            rate(lambda: [signed(m, edwards) for m in mails], many, rounds),
        )
    )
    report.add(
        Row("verify Ed25519, 4096 octets", "mails/s", rate(lambda: verifying(made, text), many, rounds))
    )
    large = [signed(with_attachment(10 << 20, chosen.seed), edwards)]
    report.add(Row("verify Ed25519, 10 MiB", "mails/s", rate(lambda: verifying(large, text), 1, rounds)))
    report.count(mails=many, peer_mails=few)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, rounds=1))
