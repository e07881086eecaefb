"""Verify the DKIM signatures of a mail (RFC 6376 section 6, RFC 8301, RFC 8463).

A signature passes when its key is in the DNS, strong and not revoked, and both hashes fit. ``rsa-sha1``, keys
below 1024 bits, expired signatures and those with ``l=`` (whoever comes by can append to their mail, attack
row 17) never pass: their word is "policy". Syntax that cannot be worked with is "neutral", a missing or
unusable key and a signature without From "permerror", silence of the DNS "temperror" (RFC 8601, 2.7.1).
Any octets give results, never an exception.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from a3mailer.mail.authresults import FAIL, NEUTRAL, PASS, PERMERROR, POLICY, MethodResult
from a3mailer.msgauth import tags
from a3mailer.msgauth.canonical import Bodies, signed_octets
from a3mailer.msgauth.domainkeys import MIN_RSA_BITS, DomainKey, Fault, fetch, key_name
from a3mailer.msgauth.fields import Field, Header
from a3mailer.runtime.resolver import Resolver

NAME: Final = b"dkim-signature"
MAX_SIGNATURES: Final = 10
"""Signatures of one mail that are verified; the author domain's own come first."""
MAX_READ: Final = 100
"""Signature fields that are read at all, from the top."""
MAX_NAMES: Final = 1000
"""Field names of one signature."""
MAX_FIELD: Final = 64 * 1024
"""Octets of a signature field."""
SKEW: Final = 300
"""Seconds that a signer's clock may be before ours."""
MAX_DIGITS: Final = 20
"""Of a number."""
LARGE: Final = 256 * 1024
"""Octets of a body from which it is hashed outside the event loop (about 1 ms)."""
TOLD: Final = 8
"""Characters of the signature that tell two of one domain apart (RFC 6008)."""
ALGORITHMS: Final = {b"rsa-sha256": "rsa", b"ed25519-sha256": "ed25519"}
_SERVICES: Final = frozenset((b"*", b"email"))
_CANONICAL: Final = {b"simple": False, b"relaxed": True}
_ENCODED: Final = re.compile(rb"=([0-9A-Fa-f]{2})")
_NEEDED: Final = frozenset((b"v", b"a", b"b", b"bh", b"d", b"h", b"s"))


class Unusable(Exception):
    """A signature that cannot pass: the word of RFC 8601 and the reason."""

    def __init__(self, result: str, reason: str) -> None:
        super().__init__(reason)
        self.result = result


class Signature(msgspec.Struct, frozen=True):
    """One DKIM-Signature field whose syntax is right."""

    field: Field
    algorithm: bytes
    signature: bytes
    body_hash: bytes
    header_relaxed: bool
    body_relaxed: bool
    domain: bytes
    """Lower case."""
    selector: bytes
    names: tuple[bytes, ...]
    """``h=`` in lower case."""
    identity: bytes
    """``i=``, decoded; "@" and the domain where there is none."""
    length: int | None
    signed: int | None
    """``t=``, seconds since 1970."""
    expires: int | None
    told: str
    """The first characters of ``b=``."""

    @property
    def identity_domain(self) -> bytes:
        """What follows the last "@" of the identity, lower case."""
        return self.identity.rpartition(b"@")[2].lower()


class DkimResult(msgspec.Struct, frozen=True):
    """What became of one signature; of a field that is none, the names are empty."""

    result: str
    reason: str = ""
    domain: str = ""
    selector: str = ""
    identity: str = ""
    algorithm: str = ""
    told: str = ""
    bits: int = 0
    """The size of the key, 0 without one."""

    def method_result(self) -> MethodResult:
        """As Authentication-Results says it (RFC 8601 section 2.7.1)."""
        named = (
            ("d", self.domain),
            ("i", self.identity),
            ("s", self.selector),
            ("a", self.algorithm),
            ("b", self.told),
        )
        properties = tuple(("header", name, value) for name, value in named if value)
        return MethodResult("dkim", self.result, self.reason, properties)


# sig = "DKIM-Signature:" tag-list: v= a= b= bh= [c=] d= h= [i=] [l=] [q=] s= [t=] [x=] [z=]
def parse(field: Field) -> Signature:
    """Errors: Unusable: neutral where the syntax is wrong, policy for rsa-sha1, permerror without From."""
    found = tags.parse(field.value) if len(field.raw) <= MAX_FIELD else None
    if found is None or not found.keys() >= _NEEDED or found[b"v"] != b"1":
        raise Unusable(NEUTRAL, "not a signature of version 1")
    algorithm = found[b"a"].lower()
    if algorithm == b"rsa-sha1":
        raise Unusable(POLICY, "rsa-sha1 proves nothing")
    domain, selector = found[b"d"].lower(), found[b"s"].lower()
    if algorithm not in ALGORITHMS or not key_name(selector, domain):
        raise Unusable(NEUTRAL, "unknown algorithm, or no domain or selector")
    if b"q" in found and b"dns/txt" not in tags.names(found[b"q"]):
        raise Unusable(NEUTRAL, "no known way to the key")
    encoded = tags.dense(found[b"b"])
    signature, body_hash = tags.decode_base64(encoded), tags.decode_base64(found[b"bh"])
    if not signature or body_hash is None:
        raise Unusable(NEUTRAL, "a value is not base64")
    head, _, rest = found.get(b"c", b"simple/simple").lower().partition(b"/")
    if head not in _CANONICAL or (rest or b"simple") not in _CANONICAL:
        raise Unusable(NEUTRAL, "unknown canonicalisation")
    names = tags.names(found[b"h"])
    if b"from" not in names or len(names) > MAX_NAMES:
        raise Unusable(PERMERROR, "From is not signed" if len(names) <= MAX_NAMES else "too many names")
    made = Signature(
        field,
        algorithm,
        signature,
        body_hash,
        _CANONICAL[head],
        _CANONICAL[rest or b"simple"],
        domain,
        selector,
        names,
        _identity(found[b"i"]) if b"i" in found else b"@" + domain,
        _number(found, b"l"),
        _number(found, b"t"),
        _number(found, b"x"),
        encoded[:TOLD].decode("ascii"),
    )
    if b"i" in found and not (b"@" in made.identity and _within(made.identity_domain, domain)):
        raise Unusable(NEUTRAL, "the identity is not of the domain")
    if made.signed is not None and made.expires is not None and made.expires <= made.signed:
        raise Unusable(NEUTRAL, "expired before it was made")
    return made


def _identity(value: bytes) -> bytes:
    return _ENCODED.sub(lambda found: bytes.fromhex(found[1].decode("ascii")), tags.dense(value))


def _number(found: dict[bytes, bytes], name: bytes) -> int | None:
    if name not in found:
        return None
    if not found[name].isdigit() or len(found[name]) > MAX_DIGITS:
        raise Unusable(NEUTRAL, f"{name.decode('ascii')}= is no number")
    return int(found[name])


def _within(name: bytes, domain: bytes) -> bool:
    """Is the name the domain, or under it?"""
    return name == domain or name.endswith(b"." + domain)


async def verify(
    header: Header, bodies: Bodies, resolver: Resolver, now: float, author_domain: str = ""
) -> tuple[DkimResult, ...]:
    """One result a signature that was looked at, in the order they were; none for a mail without.

    ``author_domain``: of the From field, in A-labels, so that its signatures come first."""
    fields = header.all(NAME)[:MAX_READ]
    if not fields:
        return ()
    author = author_domain.lower().encode("ascii", "replace")
    read = [_read(field) for field in fields]
    if len(read) > 1:
        read.sort(key=lambda one: _rank(one, author))
        del read[MAX_SIGNATURES:]
    keys = await _keys([one for one in read if isinstance(one, Signature)], resolver)
    results = []
    for one in read:
        if isinstance(one, DkimResult):
            results.append(one)
            continue
        key = keys[one.selector, one.domain]
        try:
            await _check(one, key, header, bodies, now)
        except Unusable as error:
            testing = isinstance(key, DomainKey) and key.testing and error.result == FAIL
            result = NEUTRAL if testing else error.result  # t=y: as if it were not signed
            results.append(_result(one, key, result, str(error)))
        else:
            results.append(_result(one, key, PASS, ""))
    return tuple(results)


def _read(field: Field) -> Signature | DkimResult:
    try:
        return parse(field)
    except Unusable as error:
        return DkimResult(error.result, str(error))


def _rank(one: Signature | DkimResult, author: bytes) -> int:
    """The author domain's own first, then those related to it, then others, then what is no signature."""
    if isinstance(one, DkimResult):
        return 3
    if one.domain == author:
        return 0
    return 1 if _within(author, one.domain) or _within(one.domain, author) else 2


async def _keys(
    signatures: Sequence[Signature], resolver: Resolver
) -> dict[tuple[bytes, bytes], DomainKey | Fault]:
    """Each key once, several at the same time."""
    wanted = dict.fromkeys((one.selector, one.domain) for one in signatures)
    if len(wanted) == 1:  # as nearly always: no task is needed
        (name,) = wanted
        return {name: await fetch(resolver, *name)}
    async with asyncio.TaskGroup() as group:
        asked = {name: group.create_task(fetch(resolver, *name)) for name in wanted}
    return {name: task.result() for name, task in asked.items()}


def _result(one: Signature, key: DomainKey | Fault, result: str, reason: str) -> DkimResult:
    return DkimResult(
        result,
        reason,
        one.domain.decode("ascii"),
        one.selector.decode("ascii"),
        one.identity.decode("utf-8", "replace"),
        one.algorithm.decode("ascii"),
        one.told,
        key.bits if isinstance(key, DomainKey) else 0,
    )


def check_key(key: DomainKey, algorithm: bytes) -> None:
    """May the key be used for such a signature of mail? Errors: Unusable. Shared with ARC."""
    if key.kind != ALGORITHMS[algorithm] or b"sha256" not in (key.hashes or (b"sha256",)):
        raise Unusable(PERMERROR, "the key is not for this algorithm")
    if _SERVICES.isdisjoint(key.services):
        raise Unusable(PERMERROR, "the key is not for mail")
    if key.kind == "rsa" and key.bits < MIN_RSA_BITS:
        raise Unusable(POLICY, f"a key of {key.bits} bits proves nothing")


async def _check(one: Signature, key: DomainKey | Fault, header: Header, bodies: Bodies, now: float) -> None:
    """Errors: Unusable unless the signature passes."""
    if isinstance(key, Fault):
        raise Unusable(key.result, key.reason)
    check_key(key, one.algorithm)
    if key.strict and one.identity_domain != one.domain:
        raise Unusable(PERMERROR, "the key is for the domain itself")
    if one.expires is not None and one.expires < now:
        raise Unusable(POLICY, "the signature has expired")
    if one.signed is not None and one.signed > now + SKEW:
        raise Unusable(POLICY, "the signature is of the future")
    signed = signed_octets(header, one.names, one.field, relaxed=one.header_relaxed)
    if not key.verify(one.signature, hashlib.sha256(signed).digest()):
        raise Unusable(FAIL, "the signature does not fit the header")
    if await _body_hash(one, bodies) != one.body_hash:
        raise Unusable(FAIL, "the body has changed")
    if one.length is not None:
        raise Unusable(POLICY, "l= leaves the end of the mail unsigned")


async def _body_hash(one: Signature, bodies: Bodies) -> bytes | None:
    if bodies.size < LARGE:
        return bodies.sha256(relaxed=one.body_relaxed, length=one.length)
    return await asyncio.to_thread(bodies.sha256, relaxed=one.body_relaxed, length=one.length)
