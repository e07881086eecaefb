"""Add our set to the ARC chain of a mail that we hand on (RFC 8617 section 5.1).

The set says what we found when the mail came, signs the mail as it leaves, and seals all sets. It is made
under an RSA key, which every verifier knows. Nothing is added to a chain that has failed (section 5.1.2 asks
for no more than a set that says so, and nobody could use it), nor to one that could not be checked.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from a3mailer.mail.authresults import NONE, PASS, AuthResults, encode
from a3mailer.msgauth.arc import MAX_SETS, RESULTS, SIGNATURE, Chain
from a3mailer.msgauth.canonical import Bodies, relaxed_fields, signed_octets
from a3mailer.msgauth.fields import CRLF, Field, Header
from a3mailer.msgauth.sign import SigningKey, ended, names_to_sign

MAX_SIGNATURES: Final = 20
"""DKIM-Signature fields the message signature covers."""


def seal(
    header: Header, bodies: Bodies, chain: Chain, results: AuthResults, key: SigningKey, now: int
) -> bytes:
    """Three whole fields for the top of the mail; nothing where it is not to be sealed.

    ``chain`` is what ``arc.validate`` said of this very mail, ``results`` what else was found. The mail must
    leave as it is now: CRLF line ends, no line too long, no eight bits where they are not taken."""
    names = names_to_sign(header)
    instance = len(chain.sets) + 1
    if chain.result not in (NONE, PASS) or instance > MAX_SETS or not names:
        return b""
    names += (b"dkim-signature",) * min(len(header.all(b"dkim-signature")), MAX_SIGNATURES)
    found = Field(RESULTS, encode(results, "ARC-Authentication-Results", f"i={instance}; "))
    signature = _message_signature(header, bodies, names, instance, key, now)
    return _seal(chain, instance, found, signature, key, now) + signature.raw + found.raw


def _message_signature(
    header: Header, bodies: Bodies, names: tuple[bytes, ...], instance: int, key: SigningKey, now: int
) -> Field:
    body_hash = base64.b64encode(bodies.sha256(relaxed=True) or b"")
    listed = [b":".join(names[at : at + 5]) for at in range(0, len(names), 5)]
    raw = b"\r\n\t".join(
        (
            b"ARC-Message-Signature: i=%d; a=%b; c=relaxed/relaxed;" % (instance, key.algorithm.encode()),
            b"d=%b; s=%b; t=%d;" % (key.domain.encode("ascii"), key.selector.encode(), now),
            b"h=" + b"\r\n\t :".join(listed) + b";",
            b"bh=%b;" % body_hash,
            b"b=",
        )
    )
    octets = signed_octets(header, names, Field(SIGNATURE, raw + CRLF), relaxed=True)
    return Field(SIGNATURE, _signed(raw, octets, key))


def _seal(chain: Chain, instance: int, found: Field, signature: Field, key: SigningKey, now: int) -> bytes:
    """Section 5.1.1: over all sets in order, this one last, the seal itself without its signature."""
    raw = b"\r\n\t".join(
        (
            b"ARC-Seal: i=%d; a=%b; cv=%b;" % (instance, key.algorithm.encode(), chain.result.encode()),
            b"d=%b; s=%b; t=%d;" % (key.domain.encode("ascii"), key.selector.encode(), now),
            b"b=",
        )
    )
    before = [field.raw for each in chain.sets for field in each.fields]
    return _signed(raw, relaxed_fields((*before, found.raw, signature.raw, raw)), key)


def _signed(raw: bytes, octets: bytes, key: SigningKey) -> bytes:
    return raw + ended(key.sign(hashlib.sha256(octets).digest()))
