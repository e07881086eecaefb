"""ARC: is the chain of those who handed a mail on whole (RFC 8617 section 5.2), and is one of them trusted?

Each hop adds a set of three fields: what it found (ARC-Authentication-Results), a signature of the mail
(ARC-Message-Signature) and a seal over all sets so far (ARC-Seal). A chain passes when its sets are complete
and numbered from 1, every seal is good and says that the chain before it was, and the newest message
signature fits the mail as it is; older ones tell only since when nobody has changed it. ``l=`` is never
taken in a message signature (attack row 17).

A whole chain proves who sealed, not that they tell the truth: what a set says is used only where every set
from it to the newest was sealed by a domain on the operator's list (``trusted``, attack row 18).

Any octets give a chain; linear in the header for the seals. DNS that does not answer is ``temperror``, which
RFC 8617 has no word for: such a mail is neither trusted nor sealed.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import msgspec

from a3mailer.mail.authresults import FAIL, NONE, PASS, TEMPERROR, AuthResults, MethodResult
from a3mailer.mail.authresults import parse as parse_results
from a3mailer.msgauth import tags
from a3mailer.msgauth.canonical import Bodies, relaxed_fields, signed_octets
from a3mailer.msgauth.dkim import ALGORITHMS, Unusable, check_key
from a3mailer.msgauth.domainkeys import DomainKey, Fault, fetch, key_name
from a3mailer.msgauth.fields import Field, Header
from a3mailer.runtime.resolver import Resolver

MAX_SETS: Final = 50
"""RFC 8617 section 4.2.1: a chain with more has failed."""
MAX_FIELD: Final = 65_536
"""Octets of one field of a set; a larger one makes the chain fail."""
MAX_NAMES: Final = 500
"""Names in an ``h=``."""
OLDER_OCTETS: Final = 256 * 1024
"""Octets of a header up to which older message signatures are looked at."""

RESULTS: Final = b"arc-authentication-results"
SIGNATURE: Final = b"arc-message-signature"
SEAL: Final = b"arc-seal"
_NAMES: Final = (RESULTS, SIGNATURE, SEAL)
_INSTANCE: Final = re.compile(rb"[1-9][0-9]?")
_DIGITS: Final = re.compile(rb"[0-9]{1,12}")
# instance prefix of an ARC-Authentication-Results: [CFWS] "i" [CFWS] "=" [CFWS] 1*2DIGIT [CFWS] ";"
_PREFIX: Final = re.compile(rb"[ \t\r\n]*i[ \t\r\n]*=[ \t\r\n]*([0-9]{1,3})[ \t\r\n]*;", re.IGNORECASE)
_CANONICALISATIONS: Final = {
    b"simple": (False, False),
    b"relaxed": (True, False),
    b"simple/simple": (False, False),
    b"simple/relaxed": (False, True),
    b"relaxed/simple": (True, False),
    b"relaxed/relaxed": (True, True),
}
"""``c=`` -> are the header and the body relaxed?"""
_NO_CANONICALISATION: Final = b"relaxed/relaxed"
"""Without ``c=``. DKIM would say simple/simple; those who seal, and the ARC test suite, mean relaxed."""

_SEAL_TAGS: Final = (b"a", b"b", b"cv", b"d", b"i", b"s")
_SIGNATURE_TAGS: Final = (b"a", b"b", b"bh", b"d", b"h", b"i", b"s")


class Broken(Exception):
    """The chain does not hold, and why. ``result`` is fail or temperror."""

    def __init__(self, reason: str, result: str = FAIL) -> None:
        super().__init__(reason)
        self.result = result


@dataclass(frozen=True, slots=True)
class ArcSet:
    """The three fields of one hop, and what its two signatures say."""

    instance: int
    fields: tuple[Field, Field, Field]
    """Results, message signature, seal: the order in which a seal covers them."""
    signature: dict[bytes, bytes]
    seal: dict[bytes, bytes]

    @property
    def sealer(self) -> str:
        """The domain that sealed."""
        return self.seal[b"d"].decode("ascii").lower()

    @property
    def covers_author(self) -> bool:
        """Does the message signature cover the From field? RFC 6376 section 5.4 wants it, ARC does not."""
        return b"from" in tags.names(self.signature[b"h"])

    @property
    def results(self) -> AuthResults | None:
        """What the hop found; None where it is not in a form that can be used."""
        return parse_results(self.fields[0].value.partition(b";")[2])


class Chain(msgspec.Struct, frozen=True):
    """The chain of a mail."""

    result: str
    """none, pass, fail or temperror."""
    reason: str = ""
    sets: tuple[ArcSet, ...] = ()
    """From the first to the newest; empty unless they are complete and in order."""
    oldest_pass: int = 0
    """The mail is as this hop left it (``arc.oldest-pass``, section 4.1.3); 0: as the first one got it."""

    def method_result(self, client: str = "") -> MethodResult:
        """For Authentication-Results (section 10.2). ``client``: the address the mail came from."""
        properties: tuple[tuple[str, str, str], ...] = ()
        if client and self.result != NONE:
            properties += (("smtp", "remote-ip", client),)
        if self.sets:
            newest = self.sets[-1]
            if self.result == PASS:
                properties += (("header", "oldest-pass", str(self.oldest_pass)),)
            properties += (("header", "d", newest.sealer), ("header", "s", newest.seal[b"s"].decode("ascii")))
        return MethodResult("arc", self.result, self.reason, properties)


def trusted(chain: Chain, domains: Collection[str]) -> AuthResults | None:
    """What the earliest hop found that is followed by trusted sealers only, itself one of them.

    None: the chain did not pass or its newest signature leaves out the author, its newest sealer is not among
    ``domains`` (lower case), or nothing can be made of what was said. Without a list nobody is trusted."""
    if chain.result != PASS or not domains or not chain.sets[-1].covers_author:
        return None
    found: ArcSet | None = None
    for each in reversed(chain.sets):
        if each.sealer not in domains:
            break
        found = each
    return None if found is None else found.results


def present(header: Header) -> bool:
    """Has the mail any field of a chain?"""
    return any(header.all(name) for name in _NAMES)


async def validate(header: Header, bodies: Bodies, resolver: Resolver) -> Chain:
    """The chain of a mail; ``bodies`` hashes its body."""
    if not present(header):
        return Chain(NONE)
    sets: tuple[ArcSet, ...] = ()
    try:
        sets = collect(header)
        oldest = await _Check(header, bodies, sets, resolver).run()
    except Broken as broken:
        return Chain(broken.result, str(broken), sets)
    return Chain(PASS, "", sets, oldest)


# --- structure -----------------------------------------------------------------------------------------


def collect(header: Header) -> tuple[ArcSet, ...]:
    """The sets of a mail, complete, in order, each saying what it must of those before. Errors: Broken."""
    found = [_by_instance(header, name) for name in _NAMES]
    count = max(map(len, found))
    if any(each.keys() != set(range(1, count + 1)) for each in found):
        raise Broken("the sets are not complete and in order")
    sets = []
    for instance in range(1, count + 1):
        (results, _), (signature, signed), (seal, sealed) = (each[instance] for each in found)
        _check_tags(signed, _SIGNATURE_TAGS, f"message signature {instance}")
        _check_tags(sealed, _SEAL_TAGS, f"seal {instance}")
        sets.append(ArcSet(instance, (results, signature, seal), signed, sealed))
    if sets[-1].seal[b"cv"].lower() == b"fail":  # section 5.2 step 1: nothing more is to be looked at
        raise Broken(f"seal {count} says that the chain has failed")
    for each in sets:
        _check_seal(each)
    return tuple(sets)


def _by_instance(header: Header, name: bytes) -> dict[int, tuple[Field, dict[bytes, bytes]]]:
    """The fields of a name by their instance, with their tags. Errors: Broken."""
    found: dict[int, tuple[Field, dict[bytes, bytes]]] = {}
    fields = header.all(name)
    if len(fields) > MAX_SETS:
        raise Broken(f"more than {MAX_SETS} sets")
    for field in fields:
        if len(field.raw) > MAX_FIELD:
            raise Broken(f"an {name.decode()} of more than {MAX_FIELD} octets")
        said = {} if name == RESULTS else tags.parse(field.value) or {}
        instance = _instance(field, said)
        if instance is None or instance in found:
            raise Broken(f"an {name.decode()} that is in no set, or one of two")
        found[instance] = field, said
    return found


def _instance(field: Field, said: dict[bytes, bytes]) -> int | None:
    if field.name == RESULTS:
        prefix = _PREFIX.match(field.value)
        text = prefix[1] if prefix else b""
    else:
        text = said.get(b"i", b"")
    return int(text) if _INSTANCE.fullmatch(text) and int(text) <= MAX_SETS else None


def _check_tags(found: dict[bytes, bytes], needed: tuple[bytes, ...], what: str) -> None:
    """Errors: Broken."""
    missing = [tag.decode() for tag in needed if not found.get(tag) and (tag != b"h" or tag not in found)]
    if missing:
        raise Broken(f"{what} has no {missing[0]}=")
    if found[b"a"].lower() not in ALGORITHMS:
        raise Broken(f"{what} uses an algorithm that is not taken")
    if b"t" in found and not _DIGITS.fullmatch(found[b"t"]):
        raise Broken(f"{what} has a t= that is no time")
    if not key_name(found[b"s"], found[b"d"]):
        raise Broken(f"{what} names a selector or domain that is no name")


def _check_seal(each: ArcSet) -> None:
    """Section 5.1.1: no h=, no bh=; cv= is none in the first set and pass in all others. Errors: Broken."""
    if b"h" in each.seal or b"bh" in each.seal:
        raise Broken(f"seal {each.instance} has a tag that no seal may have")
    if each.seal[b"cv"].lower() != (b"none" if each.instance == 1 else b"pass"):
        raise Broken(f"seal {each.instance} says something else of the chain before it")
    if b"l" in each.signature:
        raise Broken(f"message signature {each.instance} covers a part of the body only")


# --- signatures ----------------------------------------------------------------------------------------

_Keys = dict[tuple[bytes, bytes], DomainKey | Fault]


@dataclass(slots=True)
class _Check:
    """One mail's chain at the cryptographic steps of section 5.2."""

    header: Header
    bodies: Bodies
    sets: tuple[ArcSet, ...]
    resolver: Resolver

    async def run(self) -> int:
        """The oldest pass. Errors: Broken."""
        newest = self.sets[-1]
        keys = await self._keys((newest,))
        self._check_signature(newest, keys)
        keys |= await self._keys(self.sets[:-1])
        self._check_seals(keys)
        return self._oldest_pass(keys)

    async def _keys(self, sets: tuple[ArcSet, ...]) -> _Keys:
        """The keys that the sets name, each asked for once, all at once."""
        names = {(said[b"s"].lower(), said[b"d"].lower()) for s in sets for said in (s.seal, s.signature)}
        if len(names) < 2:  # as nearly always: no task is needed
            return {name: await fetch(self.resolver, *name) for name in names}
        async with asyncio.TaskGroup() as tasks:
            asked = {name: tasks.create_task(fetch(self.resolver, *name)) for name in names}
        return {name: task.result() for name, task in asked.items()}

    def _check_signature(self, each: ArcSet, keys: _Keys) -> None:
        what, said = f"message signature {each.instance}", each.signature
        names = tags.names(said[b"h"])
        relaxed = _CANONICALISATIONS.get(said.get(b"c", _NO_CANONICALISATION).lower())
        if relaxed is None or len(names) > MAX_NAMES or SEAL in names:
            raise Broken(f"{what} has a c= or h= that is not taken")
        if self.bodies.sha256(relaxed=relaxed[1]) != tags.decode_base64(said[b"bh"]):
            raise Broken(f"{what} does not fit: the body was changed")
        octets = signed_octets(self.header, names, each.fields[1], relaxed=relaxed[0])
        _verify(what, said, keys, hashlib.sha256(octets).digest())

    def _check_seals(self, keys: _Keys) -> None:
        """Each covers all sets so far, itself without its signature; one hash goes along (section 5.1.1)."""
        made = hashlib.sha256()
        for each in self.sets:
            results, signature, seal = each.fields
            made.update(relaxed_fields((results.raw, signature.raw)))
            upto = made.copy()
            upto.update(relaxed_fields((tags.without_signature(seal.raw),)).removesuffix(b"\r\n"))
            _verify(f"seal {each.instance}", each.seal, keys, upto.digest())
            made.update(relaxed_fields((seal.raw,)))

    def _oldest_pass(self, keys: _Keys) -> int:
        """Section 4.1.3 and 5.2 step 3: how far back the mail is as it was signed."""
        if self.header.body > OLDER_OCTETS:
            return len(self.sets)
        for each in reversed(self.sets[:-1]):
            try:
                self._check_signature(each, keys)
            except Broken:
                return each.instance + 1
        return 0


def _verify(what: str, said: dict[bytes, bytes], keys: _Keys, digest: bytes) -> None:
    """Errors: Broken."""
    key = keys[said[b"s"].lower(), said[b"d"].lower()]
    if isinstance(key, Fault):
        raise Broken(f"{what}: {key.reason}", TEMPERROR if key.result == TEMPERROR else FAIL)
    try:
        check_key(key, said[b"a"].lower())
    except Unusable as unusable:
        raise Broken(f"{what}: {unusable}") from unusable
    octets = tags.decode_base64(said[b"b"])
    if octets is None or not key.verify(octets, digest):
        raise Broken(f"{what} does not fit")
