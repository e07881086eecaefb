"""Fuzz target of ARC: any octets have a chain, and none that was not sealed passes."""

from __future__ import annotations

import asyncio

from a3mailer.mail.authresults import FAIL, NONE, PASS
from a3mailer.msgauth import arc
from a3mailer.msgauth.canonical import Bodies
from a3mailer.msgauth.fields import read
from a3mailer.msgauth.tags import dense
from tests.fuzz import mutate
from tests.unit.msgauth.test_arc import MAIL, sealed_by

SEALED, ZONE = sealed_by("a.test", "b.test")
SEALS = SEALED[: SEALED.index(b"Received: from a")]
SEEDS = (SEALED, SEALS, MAIL, b"ARC-Seal: i=1; cv=fail; a=rsa-sha256; b=; d=a.test; s=s1\r\n" + SEALED)
TOKENS = (
    *(b"ARC-Seal:", b"ARC-Message-Signature:", b"ARC-Authentication-Results:", b"i=1;", b"i=2", b"i=51"),
    *(b"i=01", b"cv=none", b"cv=pass", b"cv=fail", b"a=rsa-sha256", b"a=ed25519-sha256", b"l=1;", b"h=;"),
    *(
        b";",
        b"=",
        b":",
        b"\r\n",
        b"\n",
        b"\r\n\t",
        b"\0",
        b"\xff",
        b" ",
        b"d=.",
        b"s=",
        b"t=x",
        b"b=",
        b"c=/",
    ),
    SEALS,
)


def chain(octets: bytes) -> None:
    header = read(octets)
    found = asyncio.run(arc.validate(header, Bodies(octets, header.body), ZONE))
    assert found.result in (NONE, PASS, FAIL)
    assert bool(found.reason) is (found.result == FAIL)
    said = arc.trusted(found, {"a.test", "b.test"})
    assert said is None or found.result == PASS
    if found.result == PASS:
        assert [each.instance for each in found.sets] == list(range(1, len(found.sets) + 1))
        for each in found.sets:  # what passes was sealed by us: nothing of it was written by the fuzzer
            assert dense(each.seal[b"b"]) in dense(SEALS)


@mutate.CASES
def test_any_octets_have_a_chain(count: int, seed: int) -> None:
    mutate.run(chain, SEEDS, count=count, seed=seed, tokens=TOKENS)
