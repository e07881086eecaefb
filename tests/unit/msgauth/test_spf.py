"""SPF beyond the suite: budgets (attack row 15), deadlines, identities, and what is said to people."""

import pytest

from a3mailer.mail.authresults import AuthResults, MethodResult, encode
from a3mailer.msgauth import spf
from a3mailer.msgauth.spf import SpfResult, check_helo, check_mail_from
from a3mailer.runtime.resolver import Answer, Mx
from a3mailer.testing.resolver import FakeResolver

IP = "192.0.2.9"


def zone(**policies: str) -> FakeResolver:
    """Policies by the first label under example.test."""
    resolver = FakeResolver()
    for name, text in policies.items():
        resolver.put(f"{name}.example.test", "TXT", text.encode("latin-1"))
    return resolver


async def check(resolver: FakeResolver, sender: str = "bob@a.example.test", ip: str = IP) -> SpfResult:
    return await check_mail_from(ip, "mail.example.test", sender, resolver)


# --- budgets --------------------------------------------------------------------------------------------


class Bomb(FakeResolver):
    """Every name has a policy that leads to more names."""

    def __init__(self, policy: str, mx: int = 0) -> None:
        super().__init__()
        self.policy = policy
        self.mx = mx

    async def lookup(self, name: str, kind: str) -> Answer:
        self.asked.append((name, kind))
        if kind == "TXT":
            return Answer(name, kind, (self.policy.replace("#", str(len(self.asked))).encode(),))
        if kind == "MX":
            return Answer(name, kind, tuple(Mx(i, f"m{i}.{name}") for i in range(self.mx)))
        if kind == "PTR":
            return Answer(name, kind, tuple(f"p{i}.a.example.test" for i in range(500)))
        return Answer(name, kind, ("203.0.113.7",))


@pytest.mark.parametrize(
    ("policy", "questions"),
    [
        ("v=spf1 include:x#.example.test -all", 11),
        ("v=spf1 include:x#.example.test include:y#.example.test -all", 11),
        ("v=spf1 redirect=x#.example.test", 11),
        ("v=spf1 include:%{d} -all", 11),
        ("v=spf1 redirect=%{d}", 11),
        ("v=spf1 " + "a " * 240 + "-all", 11),
        ("v=spf1 " + "ptr:x.test " * 20, 22),
    ],
)
async def test_ten_terms_ask_the_dns_and_no_more(policy: str, questions: int) -> None:
    resolver = Bomb(policy)
    found = await check(resolver)
    assert found.result == "permerror"
    assert found.lookups == 11
    assert found.sentence() == (
        "The policy of a.example.test cannot be used: more than 10 of its terms ask the DNS."
    )
    assert len(resolver.asked) <= questions


async def test_the_dearest_policy_there_is() -> None:
    """Ten times "mx" with ten exchanges each, under an include: 112 questions, then permerror."""
    resolver = Bomb("v=spf1 " + "".join(f"mx:h{i}.x.test " for i in range(40)), mx=10)
    found = await check(resolver)
    assert found.result == "permerror"
    assert len(resolver.asked) == 1 + 10 * 11


@pytest.mark.parametrize(("exchanges", "result"), [(10, "fail"), (11, "permerror"), (500, "permerror")])
async def test_exchanges_of_one_mx(exchanges: int, result: str) -> None:
    resolver = Bomb("v=spf1 mx -all", mx=exchanges)
    found = await check(resolver)
    assert found.result == result
    assert len(resolver.asked) <= 12


@pytest.mark.parametrize(
    ("terms", "result"),
    [
        ("a:no1.test a:no2.test", "fail"),
        ("a:no1.test a:no2.test a:no3.test", "permerror"),
        ("mx:no1.test exists:no2.test a:no3.test", "permerror"),
        ("a:no1.test a:no2.test a:is.example.test", "fail"),
        ("exists:%{l}.a..b exists:.c exists:d..e", "permerror"),
    ],
)
async def test_two_terms_may_lead_nowhere(terms: str, result: str) -> None:
    resolver = zone(a=f"v=spf1 {terms} -all")
    resolver.put("is.example.test", "A", "203.0.113.1")
    found = await check(resolver)
    assert found.result == result
    assert found.voids == (3 if result == "permerror" else 2)


async def test_names_of_the_client_are_confirmed_once_and_ten_at_most() -> None:
    resolver = zone(a="v=spf1 ptr:x.test ptr:y.test exists:%{p}.%{p}.z.test -all")
    resolver.put("9.2.0.192.in-addr.arpa", "PTR", *(f"p{i}.example.test" for i in range(300)))
    for i in range(300):
        resolver.put(f"p{i}.example.test", "A", IP if i == 10 else "203.0.113.1")
    found = await check(resolver)
    assert found.result == "fail"
    kinds = [kind for _, kind in resolver.asked]
    assert kinds.count("PTR") == 1
    assert kinds.count("A") == 11
    assert ("unknown.unknown.z.test", "A") in resolver.asked


async def test_a_huge_record_is_no_policy() -> None:
    for text in ("v=spf1 " + "a " * 6000, "v=spf1 " + "x=y " * 251, "v=spf1 exists:" + "%{i}" * 65):
        resolver = zone(a=text)
        found = await check(resolver)
        assert found.result == "permerror"
        assert resolver.asked == [("a.example.test", "TXT")]


# --- explanations, and a DNS that fails -----------------------------------------------------------------


async def test_an_explanation_is_asked_for_only_by_who_wants_it() -> None:
    resolver = zone(a="v=spf1 -all exp=why.example.test", why="because")
    assert (await check(resolver)).explanation == ""
    assert resolver.asked == [("a.example.test", "TXT")]
    found = await check_mail_from(IP, "mail.example.test", "x@a.example.test", resolver, spf.Explain())
    assert (found.result, found.explanation, found.matched) == ("fail", "because", ("-all",))
    resolver.fail("why.example.test", "TXT")
    found = await check_mail_from(IP, "mail.example.test", "x@a.example.test", resolver, spf.Explain())
    assert (found.result, found.explanation, found.matched) == ("fail", "", ("-all",))


@pytest.mark.parametrize(
    "terms", ["a:b.test", "mx:b.test", "mx", "exists:b.test", "include:b.test", "redirect=b.test"]
)
async def test_a_failing_dns_is_a_temperror(terms: str) -> None:
    resolver = zone(a=f"v=spf1 {terms}")
    for kind in ("A", "MX", "TXT"):
        resolver.fail("b.test", kind)
    resolver.put("a.example.test", "MX", Mx(1, "b.test"))
    found = await check(resolver)
    assert found.result == "temperror"
    assert found.reason.endswith("of b.test fails")


async def test_a_name_of_the_client_that_fails_is_passed_over() -> None:
    resolver = zone(a="v=spf1 ptr:example.test -all", b="v=spf1 ptr -all")
    resolver.put("9.2.0.192.in-addr.arpa", "PTR", "dead.example.test", "live.Example.test.")
    resolver.fail("dead.example.test", "A")
    resolver.put("live.example.test", "A", IP)
    assert (await check(resolver)).result == "pass"
    resolver.fail("9.2.0.192.in-addr.arpa", "PTR")
    assert (await check(resolver)).result == "fail"


# --- identities -----------------------------------------------------------------------------------------


async def test_the_null_sender_is_the_postmaster_of_helo() -> None:
    resolver = zone(mail="v=spf1 exists:%{l}.%{o}.who.test -all")
    resolver.put("postmaster.mail.example.test.who.test", "A", "127.0.0.2")
    found = await check(resolver, "")
    assert (found.result, found.identity, found.domain) == ("pass", spf.HELO, "mail.example.test")
    assert found == await check_helo(IP, "mail.example.test", resolver)
    assert found.method_result() == MethodResult("spf", "pass", "", (("smtp", "helo", "mail.example.test"),))


@pytest.mark.parametrize(
    "sender",
    [
        *(
            "x@",
            "x",
            "x@localhost",
            "x@[192.0.2.1]",
            "x@[IPv6:2001:db8::1]",
            "x@a..b",
            "@",
            "x@.",
            "x@.a.test",
        ),
        *("x@" + "a" * 64 + ".test", "x@" + "a." * 130 + "test", "x@bücher.example", "x@a.test.."),
    ],
)
async def test_what_is_no_domain_has_no_policy(sender: str) -> None:
    resolver = FakeResolver()
    found = await check(resolver, sender)
    assert found.result == "none"
    assert not resolver.asked
    assert found.sentence()


@pytest.mark.parametrize("ip", ["", "x", "192.0.2", "unix:/run/x", "192.0.2.9:25"])
async def test_a_client_without_an_address_is_not_judged(ip: str) -> None:
    found = await check(zone(a="v=spf1 +all"), ip=ip)
    assert (found.result, found.reason) == ("none", "the client has no address")


async def test_an_ipv4_address_inside_ipv6_is_the_ipv4_address() -> None:
    assert (await check(zone(a="v=spf1 ip4:192.0.2.9 -all"), ip="::ffff:192.0.2.9")).result == "pass"


async def test_a_local_part_beyond_ascii_makes_no_name() -> None:
    resolver = zone(a="v=spf1 exists:%{l}.who.test exp=why.example.test -all", why="Not you, %{l}")
    found = await check(resolver, "jürgen@a.example.test")
    assert (found.result, found.explanation) == ("fail", "")
    assert [name for name, kind in resolver.asked if kind == "A"] == []


# --- what is said ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "explanation"),
    [
        (
            "See http://example.test/?s=%{S}&i=%{I}",
            "See http://example.test/?s=bob%40a.example.test&i=192.0.2.9",
        ),
        ("%{c} %{r} %{t} %{h}", "192.0.2.9 mx.test 1700000000 mail.example.test"),
        ("two\r\nlines", ""),
        ("nul\0", ""),
        ("caf\xe9", ""),
        ("%{z}", ""),
        ("x" * 900, "x" * 500),
        ("", ""),
    ],
)
async def test_explanations_are_short_and_printable(text: str, explanation: str) -> None:
    resolver = zone(a="v=spf1 -all exp=why.example.test", why=text)
    found = await check_mail_from(
        IP, "mail.example.test", "bob@a.example.test", resolver, spf.Explain("mx.test", 1_700_000_000.9)
    )
    assert (found.result, found.explanation) == ("fail", explanation)


async def test_a_stranger_s_helo_does_not_break_out_of_an_explanation() -> None:
    resolver = zone(a="v=spf1 -all exp=why.example.test", why="you are %{h}")
    found = await check_mail_from(IP, "x\r\n250 ok", "bob@a.example.test", resolver, spf.Explain())
    assert (found.result, found.explanation) == ("fail", "")


@pytest.mark.parametrize(
    ("policy", "result", "sentence"),
    [
        ("ip4:192.0.2.0/24", "pass", "a.example.test allows 192.0.2.9 to send its mail (ip4:192.0.2.0/24)."),
        (
            "include:b.example.test",
            "pass",
            "a.example.test allows 192.0.2.9 to send its mail (include:b.example.test > ip4:192.0.2.9).",
        ),
        ("-all", "fail", "a.example.test says that 192.0.2.9 must not send its mail (-all)."),
        ("~all", "softfail", "a.example.test says that 192.0.2.9 should probably not send its mail (~all)."),
        (
            "ip4:192.0.2.1",
            "neutral",
            "a.example.test says neither that 192.0.2.9 may send its mail nor that it must not.",
        ),
        (
            "redirect=c.example.test",
            "fail",
            "a.example.test says that 192.0.2.9 must not send its mail"
            " (redirect=c.example.test > -ip4:192.0.2.9).",
        ),
        (
            "a:192.0.2.9 -all",
            "permerror",
            'The policy of a.example.test cannot be used: the mechanism "a:192.0.2.9" is malformed:'
            " ip4 is the mechanism for addresses.",
        ),
        (
            "include:d.example.test",
            "permerror",
            "The policy of a.example.test cannot be used: include:d.example.test leads to no policy.",
        ),
    ],
)
async def test_a_verdict_is_a_sentence(policy: str, result: str, sentence: str) -> None:
    resolver = zone(a=f"v=spf1 {policy}", b="v=spf1 ip4:192.0.2.9 -all", c="v=spf1 -ip4:192.0.2.9")
    found = await check(resolver)
    assert (found.result, found.sentence()) == (result, sentence)
    field = encode(AuthResults("mx.test", (found.method_result(),)))
    assert f"spf={result}".encode() in field


async def test_no_policy_is_said_as_well() -> None:
    found = await check(FakeResolver())
    assert found.sentence() == ("Nothing says who may send mail of a.example.test: it publishes no policy.")
    assert found.mechanism == ""
