"""Sign a mail with DKIM (RFC 6376 section 5, RFC 8463): relaxed/relaxed, RSA and Ed25519, never ``l=``.

Fields that a reader believes are named once more than they occur, so that none can be added on the way
(attack row 17); those a mailing list or a resender adds are signed where they are there. Nothing is signed
for a mail without exactly one From field, nor for one that repeats fields without end.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from a3mailer.msgauth.canonical import Bodies, signed_octets
from a3mailer.msgauth.fields import CRLF, Field, Header

OVERSIGNED: Final = (
    b"from",
    b"to",
    b"cc",
    b"subject",
    b"date",
    b"reply-to",
    b"message-id",
    b"in-reply-to",
    b"references",
    b"mime-version",
    b"content-type",
    b"content-transfer-encoding",
    b"content-disposition",
    b"content-id",
)
SIGNED: Final = (
    b"sender",
    b"list-id",
    b"list-help",
    b"list-unsubscribe",
    b"list-unsubscribe-post",
    b"list-subscribe",
    b"list-post",
    b"list-owner",
    b"list-archive",
    b"auto-submitted",
    b"autocrypt",
    b"feedback-id",
    b"tls-report-domain",
    b"tls-report-submitter",
    b"tls-required",
)
MAX_NAMES: Final = 200
"""Names one signature lists; a mail that would need more is not signed."""
LINE: Final = 76
"""Octets of a line of the field, where its words allow it."""
_CHUNK: Final = 72
_SHA256: Final = Prehashed(SHA256())


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the name its public half has in the DNS."""

    domain: str
    selector: str
    private: RSAPrivateKey | Ed25519PrivateKey

    @property
    def algorithm(self) -> str:
        """As ``a=`` says it."""
        return "rsa-sha256" if isinstance(self.private, RSAPrivateKey) else "ed25519-sha256"

    def sign(self, digest: bytes) -> bytes:
        """Sign a SHA-256 digest."""
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(digest, PKCS1v15(), _SHA256)
        return self.private.sign(digest)


def load_key(domain: str, selector: str, pem: bytes) -> SigningKey:
    """Errors: ValueError where it is no key, TypeError where it is neither RSA nor Ed25519."""
    # a file of ours: checking that its primes are some costs 50 times what a signature does
    private = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(private, RSAPrivateKey | Ed25519PrivateKey):
        raise TypeError(f"the key {selector} of {domain} is neither RSA nor Ed25519")
    return SigningKey(domain, selector, private)


@dataclass(frozen=True, slots=True)
class Form:
    """How a signature is made."""

    header_relaxed: bool = True
    body_relaxed: bool = True
    lifetime: int | None = None
    """Seconds until it expires (``x=``)."""


def names_to_sign(header: Header) -> tuple[bytes, ...]:
    """The names for ``h=``; none where the mail is not to be signed."""
    if len(header.all(b"from")) != 1 or header.fields[0].raw[:1] in b" \t":
        return ()  # a first line that begins with white space would become part of our field
    names = [name for name in OVERSIGNED for _ in range(len(header.all(name)) + 1)]
    names += [name for name in SIGNED for _ in header.all(name)]
    return tuple(names) if len(names) <= MAX_NAMES else ()


def sign(
    header: Header, bodies: Bodies, keys: Sequence[SigningKey], now: int, form: Form | None = None
) -> bytes:
    """One whole DKIM-Signature field a key, to be put on top of the mail; nothing where it is not signed.

    The mail must leave as it is: CRLF line ends, no line too long, no eight bits where they are not taken."""
    names = names_to_sign(header)
    if not names:
        return b""
    form = form or Form()
    return b"".join(_field(header, bodies, names, key, now, form) for key in keys)


def _field(
    header: Header, bodies: Bodies, names: tuple[bytes, ...], key: SigningKey, now: int, form: Form
) -> bytes:
    body_hash = bodies.sha256(relaxed=form.body_relaxed) or b""
    canonical = f"c={_METHODS[form.header_relaxed]}/{_METHODS[form.body_relaxed]};"
    words = [("", "v=1;"), (" ", f"a={key.algorithm};"), (" ", canonical)]
    words += [(" ", f"d={key.domain};"), (" ", f"s={key.selector};"), (" ", f"t={now};")]
    if form.lifetime is not None:
        words.append((" ", f"x={now + form.lifetime};"))
    listed = [name.decode("ascii") for name in names]
    words.append((" ", f"h={listed[0]}:"))
    words += [("", f"{name}:") for name in listed[1:-1]]
    words.append(("", f"{listed[-1]};"))
    words.append((" ", f"bh={base64.b64encode(body_hash).decode('ascii')};"))
    raw = "\r\n".join(_folded("DKIM-Signature: ", words)).encode("ascii") + b"\r\n\tb="
    own = Field(b"dkim-signature", raw + CRLF)
    digest = hashlib.sha256(signed_octets(header, names, own, relaxed=form.header_relaxed)).digest()
    return raw + ended(key.sign(digest))


def ended(signature: bytes) -> bytes:
    """What follows ``b=``: the base64 of a signature in lines, and the end of the field."""
    value = base64.b64encode(signature)
    return b"\r\n\t".join(value[at : at + _CHUNK] for at in range(0, len(value), _CHUNK)) + CRLF


_METHODS: Final = {False: "simple", True: "relaxed"}


def _folded(line: str, words: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Lines of words, each with what stands between it and the one before on the same line."""
    for between, word in words:
        if len(line) + len(between) + len(word) > LINE:
            yield line.rstrip(" ")
            line = "\t" + word
        else:
            line += between + word
    yield line
