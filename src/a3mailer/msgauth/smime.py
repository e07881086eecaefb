"""S/MIME signatures of mails (RFC 8551, 8550, 5652): did the author sign this, and who says so?

Pure: octets, authorities and times are handed in. What does not change with time is found out once
(``opened``) and judged as of any time (``judged``): when the mail came, and now (RFC 9219 section 4.1).
Nothing here raises whatever the octets are; ``opened`` costs milliseconds to a second: for a thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

from a3mailer.mail.message import encodings
from a3mailer.mail.message.parts import MESSAGES, Part
from a3mailer.msgauth.cms import SignedData, Signer, TooMuch, Unreadable, read
from a3mailer.msgauth.smime_chain import Trust, addresses_of, certificate_of, same_address, vouched

SIGNED: Final = b"multipart/signed"
SIGNATURES: Final = frozenset((b"application/pkcs7-signature", b"application/x-pkcs7-signature"))
OPAQUE: Final = frozenset((b"application/pkcs7-mime", b"application/x-pkcs7-mime"))
ENCRYPTED: Final = frozenset(("enveloped_data", "authenticated_enveloped_data", "encrypted_data"))
DIGESTS: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
"""Digests that count (RFC 8551 section 2.1); SHA-1 and MD5 do not."""
RSA_BITS: Final = range(2048, 8193)
"""RFC 8551 section 4: shorter keys are weak, longer ones cost whoever looks."""
MAX_ERRORS: Final = 16
Status = str | None


class Kind(Enum):
    """What the structure of a mail says of signatures."""

    NONE = 0
    OTHER = 1
    """Signed by another protocol, OpenPGP for one."""
    SIGNED = 2
    WITHIN = 3
    """A part of it is signed, as where a list has added something."""
    OPAQUE = 4
    """Its content is CMS: only the octets say what it is."""


@dataclass(frozen=True, slots=True)
class Signature:
    """As made by the owner of a certificate; None: it is not in the mail, or cannot be read."""

    certificate: x509.Certificate | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """What does not change with time."""

    status: Status
    """None, ``unknown``, ``signed``, ``signed/failed`` with ``problems``: for ever; empty: it depends."""
    problems: tuple[str, ...] = ()
    signers: tuple[tuple[Signature, ...], ...] = ()
    """Each with every certificate that may be the signer's."""
    certificates: tuple[x509.Certificate, ...] = ()
    lists: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """``status`` and ``errors`` of RFC 9219 section 4.1."""

    status: Status
    errors: tuple[str, ...] = ()


def kind_of(parts: Sequence[Part]) -> Kind:
    """What the structure of a mail says; what is inside attached messages does not count."""
    if not parts:
        return Kind.NONE
    if parts[0].media in OPAQUE:
        return Kind.OPAQUE
    if parts[0].media == SIGNED:
        return Kind.SIGNED if _is_signature(parts, 0) else Kind.OTHER
    attached: set[int] = set()
    for place, part in enumerate(parts):
        if part.parent in attached or (part.parent >= 0 and parts[part.parent].media in MESSAGES):
            attached.add(place)
        elif part.media == SIGNED and _is_signature(parts, place):
            return Kind.WITHIN
    return Kind.NONE


def _children(parts: Sequence[Part], above: int) -> list[Part]:
    return [part for part in parts if part.parent == above]


def _is_signature(parts: Sequence[Part], place: int) -> bool:
    return any(part.media in SIGNATURES for part in _children(parts, place)[1:])


def opened(octets: bytes, parts: Sequence[Part]) -> Opened:
    """What is signed in a mail, and do the signatures fit it? ``parts`` are those of its index."""
    kind = kind_of(parts)
    if kind is Kind.WITHIN:
        return _failed("Only a part of this message is signed")
    if kind in (Kind.NONE, Kind.OTHER):
        return Opened("unknown" if kind is Kind.OTHER else None)
    signature, content = parts[0], None
    if kind is Kind.SIGNED:
        both = _children(parts, 0)
        if len(both) != 2 or both[1].media not in SIGNATURES:
            return _failed("The structure of the signed message is not the one of multipart/signed")
        signature, content = both[1], octets[both[0].start : both[0].end]
    try:
        data = read(encodings.decode(octets[signature.body : signature.end], signature.encoding))
    except TooMuch:
        return Opened("signed")
    except Unreadable:
        return _failed("The signature cannot be read") if content is not None else Opened("unknown")
    return _of_data(data, content)


def _failed(*problems: str) -> Opened:
    return Opened("signed/failed", problems)


def _of_data(data: SignedData | str, content: bytes | None) -> Opened:
    """``content`` is what was signed where that is not in the CMS."""
    if isinstance(data, str):
        if content is not None:
            return _failed("The signature is none")
        return Opened(None if data in ENCRYPTED else "unknown")
    if not data.signers:
        return Opened("unknown") if content is None else _failed("Nobody has signed this message")
    if data.content_type != "data":
        return _failed("What was signed is not a message")
    if (content is None) == (data.content is None):
        return _failed("What was signed is not there just once")
    signed = _Content(data.content if content is None else content, content is not None)
    certificates = tuple(map(certificate_of, data.certificates))
    found = tuple(_signatures(signer, data.certificates, certificates, signed) for signer in data.signers)
    return Opened("", (), found, tuple(each for each in certificates if each is not None), data.lists)


class _Content:
    """What was signed, and its digests; line ends of text are CRLF (RFC 8551 section 3.1.1)."""

    __slots__ = ("_known", "_octets", "_text")

    def __init__(self, octets: bytes | None, text: bool) -> None:
        self._octets = octets or b""
        self._text = text
        self._known: dict[str, tuple[bytes, ...]] = {}

    def forms(self) -> tuple[bytes, ...]:
        """As it is, and with line ends as they should be where they are not."""
        if not self._text or self._octets.count(b"\n") == self._octets.count(b"\r\n"):
            return (self._octets,)
        return self._octets, self._octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    def digests(self, name: str) -> tuple[bytes, ...]:
        """Of its forms."""
        if name not in self._known:
            self._known[name] = tuple(hashlib.new(name, form).digest() for form in self.forms())
        return self._known[name]


def _signatures(
    signer: Signer, octets: Sequence[bytes], certificates: Sequence[x509.Certificate | None], signed: _Content
) -> tuple[Signature, ...]:
    """With every certificate that fits; else with the first that could."""
    if not signer.certificates:
        return (Signature(None, ("The certificate of the signer is not in the message",)),)
    named = [place for place in signer.certificates if _is_named(signer, octets[place])]
    places = named or signer.certificates[:1]
    found = [_by(signer, certificates[place], signed, named=bool(named)) for place in places]
    return tuple(each for each in found if not each.problems) or (found[0],)


def _by(signer: Signer, certificate: x509.Certificate | None, signed: _Content, *, named: bool) -> Signature:
    if certificate is None:
        return Signature(None, ("The certificate of the signer cannot be read",))
    if signer.digest not in DIGESTS:
        return Signature(certificate, (f"The digest {signer.digest[:40]} is too weak, or not known",))
    problems = [] if named else ["The signature was made with another certificate"]
    if signer.attributes:
        if signer.content_types != ("data",) or len(signer.digests) != 1:
            problems.append("What the signature says of the message is not there just once")
        elif signer.digests[0] not in signed.digests(signer.digest):
            problems.append("The message was changed after it was signed")
        covered: tuple[bytes, ...] = (signer.attributes,)
    else:
        covered = tuple(form for form in signed.forms() if form[:1] != b"\x31")  # these could be attributes
    if why := _is_wrong(signer, certificate, covered):
        problems.append(why)
    return Signature(certificate, tuple(problems))


def _is_named(signer: Signer, certificate: bytes) -> bool:
    """SHA-1 names the certificate here, it does not vouch for it: the signature does (RFC 5035 section 5)."""
    for name, digest in signer.named:
        if name not in DIGESTS and name != "sha1":
            return False
        if hashlib.new(name, certificate, usedforsecurity=False).digest() != digest:
            return False
    return True


def _is_wrong(signer: Signer, certificate: x509.Certificate, covered: Sequence[bytes]) -> str:
    """Why this is not a signature by the certificate's key over one of these octets; empty: it is."""
    try:
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size not in RSA_BITS:
            return f"The key of the signer has {key.key_size} bits"
        for octets in covered:
            try:
                known = _verify(signer, key, octets)
            except InvalidSignature:
                continue
            return "" if known else "The algorithm of the signature is not known"
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "The key or the algorithm of the signature is not known"
    return "The signature is wrong"


def _verify(signer: Signer, key: object, octets: bytes) -> bool:
    """Whether the algorithm is known. Errors: InvalidSignature."""
    name = signer.algorithm
    digest = DIGESTS[signer.digest]
    if isinstance(key, rsa.RSAPublicKey) and name in ("rsassa_pkcs1v15", f"{signer.digest}_rsa"):
        key.verify(signer.signature, octets, padding.PKCS1v15(), digest)
    elif isinstance(key, rsa.RSAPublicKey) and name == "rsassa_pss" and set(signer.pss[:2]) <= DIGESTS.keys():
        mask = padding.MGF1(DIGESTS[signer.pss[1]])
        key.verify(signer.signature, octets, padding.PSS(mask, signer.pss[2]), DIGESTS[signer.pss[0]])
    elif isinstance(key, ec.EllipticCurvePublicKey) and name in ("ecdsa", f"{signer.digest}_ecdsa"):
        key.verify(signer.signature, octets, ec.ECDSA(digest))
    elif (isinstance(key, ed25519.Ed25519PublicKey) and name == "ed25519") or (
        isinstance(key, ed448.Ed448PublicKey) and name == "ed448"
    ):
        key.verify(signer.signature, octets)
    else:
        return False
    return True


# --- as of a time ------------------------------------------------------------------------------------


def judged(mail: Opened, authors: Sequence[str], trust: Trust, at: datetime) -> Judgement:
    """What to say of the mail as of a time: good where every author's address stands in the certificate of a
    good signer (RFC 8550 section 3). ``authors`` are the addresses of its one From field, empty where it
    does not plainly name any."""
    if mail.status != "":
        return Judgement(mail.status, mail.problems)
    errors: list[str] = []
    vouching: list[x509.Certificate] = []
    for signatures in mail.signers:
        problems = [against(each, mail, trust, at) for each in signatures]
        pairs = zip(signatures, problems, strict=True)
        vouching += [each.certificate for each, found in pairs if each.certificate is not None and not found]
        errors += problems[0] if all(problems) else []
    known = [each.certificate for all_of in mail.signers for each in all_of if each.certificate is not None]
    if not authors:
        errors.append("The From field does not plainly name an author")
    elif _name_all(authors, vouching):
        return Judgement("signed/verified")
    elif known and not _name_all(authors, known):
        errors.append("The address in the From field is not one of the certificate of the signer")
    return Judgement("signed/failed", tuple(dict.fromkeys(errors))[:MAX_ERRORS])


def against(signature: Signature, mail: Opened, trust: Trust, at: datetime) -> list[str]:
    """What speaks against it at a time; empty: it is good."""
    if signature.certificate is None:
        return list(signature.problems)
    found = vouched(signature.certificate, mail.certificates, mail.lists, trust, at)
    return [*signature.problems, *found.problems]


def _name_all(authors: Sequence[str], certificates: Sequence[x509.Certificate]) -> bool:
    addresses = [address for certificate in certificates for address in addresses_of(certificate)]
    return all(any(same_address(author, address) for address in addresses) for author in authors)
