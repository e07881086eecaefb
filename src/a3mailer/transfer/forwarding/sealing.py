"""ARC sets for what others sent and an alias of ours hands on (RFC 8617; ADR 0019).

They are made of the octets that go out, after all conversion for the next server. What we found when the mail
came is read back from the Authentication-Results that we put above our Received field then: whatever stands
above the topmost Received field is ours, for each mail got that field here, and nothing of a stranger's is
ever above it. A mail that was not judged when it came is not sealed.
"""

from __future__ import annotations

from typing import Final

from a3mailer.mail.authresults import FAIL, FIELD, NONE, PASS, AuthResults, claims, parse
from a3mailer.msgauth import arc
from a3mailer.msgauth.arc import Broken, Chain
from a3mailer.msgauth.canonical import Bodies
from a3mailer.msgauth.fields import Header, read
from a3mailer.msgauth.seal import seal
from a3mailer.msgauth.sign import SigningKey
from a3mailer.telemetry.metrics import count

ALGORITHM: Final = "rsa-sha256"
"""The one that every verifier of chains knows."""
_RESULTS: Final = FIELD.lower().encode()
_TRACE: Final = b"received"


def found_here(header: Header, hostname: str) -> AuthResults | None:
    """What we found when the mail came; None where we did not look."""
    for field in header.fields:
        if field.name == _TRACE:
            break
        if field.name == _RESULTS and claims(field.value, hostname):
            return parse(field.value)
    return None


def chain_of(header: Header, found: AuthResults) -> Chain:
    """The chain as it was when the mail came: its sets, if we have said that they pass."""
    said = found.of("arc")
    result = said[0].result if said else NONE
    try:
        sets = arc.collect(header) if result == PASS else ()
    except Broken as broken:
        return Chain(FAIL, str(broken))
    if not sets and arc.present(header):
        return Chain(FAIL, "not found to pass when it came")
    return Chain(result, sets=sets)


def sealed(octets: bytes, hostname: str, keys: tuple[SigningKey, ...], now: int) -> bytes:
    """The mail with a set of ours on top, or as it was where it gets none."""
    key = next((each for each in keys if each.algorithm == ALGORITHM), None)
    if key is None:
        return octets
    header = read(octets)
    found = found_here(header, hostname)
    if found is None:
        return octets
    made = seal(header, Bodies(octets, header.body), chain_of(header, found), found, key, now)
    count("a3_arc_total", "sealed" if made else "not_sealed")
    return made + octets
