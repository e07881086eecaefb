"""SPF records and macros: the grammar, in step with its size (RFC 7208 sections 4.6, 7 and 12)."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.msgauth import spf_record
from a3mailer.msgauth.spf_macro import (
    as_name,
    expand,
    is_name,
    letters,
    parse_domain,
    parse_macros,
)
from a3mailer.msgauth.spf_record import Malformed, Record, Records, is_record, parse_record
from tests.growth import assert_linear

# RFC 7208 section 7.4
VALUES = {
    "s": "strong-bad@email.example.com",
    "l": "strong-bad",
    "o": "email.example.com",
    "d": "email.example.com",
    "i": "192.0.2.3",
    "p": "mx.example.org",
    "v": "in-addr",
    "h": "mail",
    "c": "192.0.2.3",
    "r": "mx",
    "t": "0",
}


@pytest.mark.parametrize(
    ("macros", "value"),
    [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d3}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
        ("%{D000002R}", "example.email"),
        ("%{d99999999999999999999999}", "email.example.com"),
        ("%{S}", "strong-bad%40email.example.com"),
        ("a%%b%_c%-d", "a%b c%20d"),
    ],
)
def test_the_examples_of_the_rfc(macros: str, value: str) -> None:
    pieces = parse_macros(macros)
    assert pieces is not None
    assert expand(pieces, VALUES) == value


@pytest.mark.parametrize(
    "text",
    [
        *("%", "%%%", "%{", "%{}", "%{x}", "%{d", "%{d0}", "%{d00r}", "%{d-2}", "%{dr2}", "%{d;}", "%{c}"),
        *("%{ d}", "a b", "a\0", "é", "\x7f", "%{R}", "%{t}", "%(d)", "%{drr}"),
    ],
)
def test_what_is_no_macro_string(text: str) -> None:
    assert parse_macros(text) is None
    assert parse_domain(text) is None


def test_an_explanation_may_say_more() -> None:
    pieces = parse_macros("you %{c} at %{r} %{t}%%", explain=True)
    assert pieces is not None
    assert expand(pieces, VALUES) == "you 192.0.2.3 at mx 0%"
    assert letters(pieces) == {"c", "r", "t"}


@pytest.mark.parametrize(
    "text",
    ["a.b", "a.b.", ".b", "a.b-c", "a.1-1", "a.xn--p1ai", "%{d}", "x%{d}", "%{d}.b", "a%%", "%-", "_a._b.c"],
)
def test_domain_specs(text: str) -> None:
    assert parse_domain(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a.",
        ".",
        "..",
        "a.1",
        "a.-b",
        "a.b-",
        "a.b_c",
        "%{d}b",
        "%{d}.1",
        "a.b:25",
        "a.b/24",
        "a.b..",
    ],
)
def test_what_is_no_domain_spec(text: str) -> None:
    assert not parse_domain(text)


@given(st.text(st.sampled_from("ab.%{}dlr0129-+ é"), max_size=40), st.text(max_size=300))
def test_any_text_is_a_macro_string_or_none(text: str, value: str) -> None:
    pieces = parse_macros(text, explain=True)
    if pieces is not None:
        name = as_name(expand(pieces, dict.fromkeys("slodiphvcrt", value)))
        assert len(name) <= 253
        assert is_name(name) in (True, False)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("a" * 63 + ".b", True),
        ("a" * 64 + ".b", False),
        ("", False),
        ("a..b", False),
        ("a.", False),
        ("é.b", False),
        ("a." * 126 + "b", True),
        ("a." * 127 + "b", False),
    ],
)
def test_names_the_dns_can_have(name: str, good: bool) -> None:
    assert is_name(name) is good


def test_a_long_name_loses_labels_on_the_left() -> None:
    assert as_name("x" * 300 + "." + "a." * 126 + "b.") == "a." * 126 + "b"
    assert as_name("x" * 300) == ""
    for length in range(250, 260):
        text = "a." * 40 + "b" * (length - 80)
        cut = text
        while len(cut) > 253:  # as section 7.3 words it
            cut = cut.partition(".")[2]
        assert as_name(text) == cut
    assert_linear(lambda n: "a." * n + "b", as_name, 1000)


# --- records --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (b"v=spf1", True),
        (b"V=SPF1 a", True),
        (b"v=spf1\ta", False),
        (b"v=spf10", False),
        (b" v=spf1", False),
        (b"", False),
    ],
)
def test_which_records_are_policies(text: bytes, good: bool) -> None:
    assert is_record(text) is good


@given(st.ip_addresses(v=4), st.integers(0, 32), st.ip_addresses(v=4))
def test_networks_match_as_the_standard_library_says(
    network: ipaddress.IPv4Address, prefix: int, client: ipaddress.IPv4Address
) -> None:
    record = parse_record(f"v=spf1 ip4:{network}/{prefix}".encode())
    assert isinstance(record, Record)
    found = record.directives[0]
    expected = client in ipaddress.ip_network((network, prefix), strict=False)
    assert (int(client) >> found.shift4 == found.network) is expected


@given(st.ip_addresses(v=6).filter(lambda a: not a.scope_id), st.integers(0, 128), st.ip_addresses(v=6))
def test_networks_of_ipv6_too(
    network: ipaddress.IPv6Address, prefix: int, client: ipaddress.IPv6Address
) -> None:
    record = parse_record(f"v=spf1 -ip6:{network}/{prefix}".encode())
    assert isinstance(record, Record)
    found = record.directives[0]
    expected = client in ipaddress.ip_network((network, prefix), strict=False)
    assert (int(client) >> found.shift4 == found.network) is expected


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ("moo", 'the mechanism "moo" is unknown'),
        ("+", 'the mechanism "+" is unknown'),
        ("--all", 'the mechanism "--all" is unknown'),
        ("-all/8", 'the mechanism "-all/8" is malformed'),
        ("a:192.0.2.1/24", 'the mechanism "a:192.0.2.1/24" is malformed: ip4 is the mechanism for addresses'),
        ("ip4:192.0.2.01", 'the mechanism "ip4:192.0.2.01" is malformed'),
        ("ip6:fe80::1%25eth0", 'the mechanism "ip6:fe80::1%25eth0" is malformed'),
        ("exp=a", 'the modifier "exp=a" is malformed'),
        ("exp=a.b EXP=a.b", "the modifier exp occurs twice"),
        ("a\rb", 'the mechanism "a?b" is unknown'),
        ("é", "the record holds octets that are not ASCII"),
        ("x" * 70, f'the mechanism "{"x" * 60}..." is unknown'),
        ("a " * 251, "the record has more than 250 terms"),
        ("x" * 10_000, "the record has more than 10000 octets"),
    ],
)
def test_a_malformed_record_says_why(terms: str, reason: str) -> None:
    assert parse_record(f"v=spf1 {terms}".encode()) == Malformed(reason)


def test_modifiers_are_found_wherever_they_stand() -> None:
    record = parse_record(b"v=spf1 exp=why.%{d} redirect=b.c a x.y-z_1=%{c}. -all ")
    assert isinstance(record, Record)
    assert [d.term for d in record.directives] == ["a", "-all"]
    assert record.redirect == ("b.c",)
    assert record.explanation[0] == "why."


def test_parsed_records_are_remembered_within_a_bound() -> None:
    records = Records()
    first = records.parse(b"v=spf1 -all")
    assert records.parse(b"v=spf1 -all") is first
    filler = b"v=spf1 " + b"x" * 5000
    for number in range(2 * spf_record.MAX_REMEMBERED // len(filler)):
        records.parse(filler + b"%d" % number)
        assert records.parse(b"v=spf1 -all") is first  # used all the time
    kept = records._kept
    assert sum(map(len, kept)) == records._octets <= spf_record.MAX_REMEMBERED
    assert len(kept) < 110


@pytest.mark.parametrize(
    "unit",
    [
        "a ",
        "all ",
        "ip4:192.0.2.1 ",
        "a:" + "1.",
        "a",
        "a:aaaa.",
        "a/",
        "mx:a/1",
        "x=%{d}",
        "1",
        "exp=",
        "a:1.-",
        "%",
        " ",
    ],
)
def test_records_are_read_in_step_with_their_size(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spf_record, "MAX_RECORD", 1 << 24)
    monkeypatch.setattr(spf_record, "MAX_TERMS", 1 << 24)
    assert_linear(lambda n: b"v=spf1 " + (unit * n).encode(), parse_record, 1000)
    assert_linear(lambda n: b"v=spf1 a:" + (unit.strip() * n).encode() + b"!", parse_record, 1000)
