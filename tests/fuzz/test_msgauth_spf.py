"""Fuzz targets of SPF: records, and whole policies with strangers' names in them."""

from __future__ import annotations

import asyncio

from a3mailer.mail.authresults import AuthResults, encode, parse
from a3mailer.msgauth.spf import MAX_LOOKUPS, MAX_VOIDS, check_mail_from
from a3mailer.msgauth.spf_record import Record, is_record, parse_record
from a3mailer.runtime.resolver import Answer, Mx
from a3mailer.runtime.resolver import Record as Data
from tests.fuzz import mutate

SEEDS = (
    b"v=spf1 a mx ptr ip4:192.0.2.0/24 ip6:2001:db8::/32 include:b.test exists:%{ir}.%{l1r+-}.b.test -all",
    b"v=spf1 a:c.test/24//64 mx:%{d2}/0 ?ptr:b.test redirect=%{h}.test exp=%{p}.why.test",
    b"v=spf1 exp=why.test x.y=%{c}%%%_%- ~all",
    b"v=spf1 +include:%{o} -exists:%{S}.%{v}.test",
)
TOKENS = (
    *(
        b"v=spf1",
        b" ",
        b"-all",
        b"include:",
        b"a:",
        b"mx/",
        b"ptr",
        b"ip4:",
        b"ip6:",
        b"exists:",
        b"redirect=",
        b"exp=",
    ),
    *(
        b"%{",
        b"}",
        b"%{d2r}",
        b"%{l-}",
        b"%{p}",
        b"%%",
        b".",
        b"b.test",
        b"/",
        b"//",
        b":",
        b"=",
        b"1",
        b"\0",
        b"\\",
        b"\xff",
    ),
)
RESULTS = {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}


class Echo:
    """Every TXT question has the same policy; other names have something, or nothing."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.asked = 0

    def known(self, name: str, kind: str) -> Answer | None:
        return None

    async def lookup(self, name: str, kind: str) -> Answer:
        self.asked += 1
        name.encode("ascii")
        records: dict[str, tuple[Data, ...]] = {
            "TXT": (self.text,),
            "MX": (Mx(1, "b.test"), Mx(2, ".")),
            "PTR": ("b.test", "x..y"),
        }
        return Answer(name, kind, records.get(kind, ("192.0.2.1", "nonsense") if len(name) % 2 else ()))


def policy(octets: bytes) -> None:
    if is_record(octets):
        record = parse_record(octets)
        assert isinstance(record, Record) or record.reason.isprintable()
    resolver = Echo(octets)
    name = octets[-40:].decode("utf-8", "replace")
    found = asyncio.run(check_mail_from("203.0.113.9", name, f"{name}@a.test", resolver))
    assert found.result in RESULTS
    assert found.lookups <= MAX_LOOKUPS + 1
    assert found.voids <= MAX_VOIDS + 1
    assert resolver.asked <= 1 + MAX_LOOKUPS * 4 + 2
    assert found.explanation.isascii()
    assert not found.explanation or found.explanation.isprintable()
    assert parse(encode(AuthResults("mx.test", (found.method_result(),))).partition(b":")[2])
    assert found.sentence()


@mutate.CASES
def test_any_octets_are_a_policy(count: int, seed: int) -> None:
    mutate.run(policy, SEEDS, count=count, seed=seed, tokens=TOKENS)
