"""MTA-STS records and policies (RFC 8461): what counts, what does not, and nothing else ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.msgauth import mta_sts as module
from a3mailer.msgauth.mta_sts import BadPolicy, StsPolicy, encode_policy, parse_policy, parse_record

GOOD = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([b"v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        ([b"v=STSv1;id=1"], "1"),
        ([b"v=STSv1; other=x; id=abc ; more=y"], "abc"),
        ([b"v=spf1 -all", b"v=STSv1; id=1"], "1"),
        ([b"v=STSv2; id=1"], ""),
        ([b"v=STSv1; id=1", b"v=STSv1; id=2"], ""),
        ([b"id=1; v=STSv1"], ""),
        ([b"v=STSv1"], ""),
        ([b"v=STSv1; id="], ""),
        ([b"v=STSv1; id=" + b"a" * 33], ""),
        ([b"v=STSv1; id=a-b"], ""),
        ([b"V=STSv1; id=1"], ""),
        ([b"v=STSv10; id=1"], ""),
        ([b" v=STSv1; id=1"], ""),
        ([b"v=STSv1; id=1; no value"], ""),
        ([b"v=STSv1; id=1; a=b=c"], ""),
        ([b"v=STSv1;; id=1"], ""),
        ([b"v=STSv1; _a=b; id=1"], ""),
        ([b"v=STSv1 ;\tid=1 ; "], "1"),
        ([b"v=STSv1; id=\xb2"], ""),
        ([b""], ""),
        ([], ""),
    ],
)
def test_the_record(texts: list[bytes], found: str) -> None:
    assert parse_record(texts) == found


def test_the_policy() -> None:
    assert parse_policy(GOOD) == StsPolicy("enforce", ("mail.example.com", "*.example.net"), 604800)
    assert parse_policy(GOOD.replace(b"\r\n", b"\n").rstrip()) == parse_policy(GOOD)
    loose = (
        b"version : STSv1 \nmode:testing\nx-new: what\nmode: enforce\nmx:\tMail.Example.com.\nmax_age: 1\n"
    )
    assert parse_policy(loose) == StsPolicy("testing", ("mail.example.com",), 1)
    assert parse_policy(b"version: STSv1\nmode: none\nmax_age: 0\n") == StsPolicy("none")
    assert parse_policy(GOOD.replace(b"604800", b"9999999999")).max_age == module.MAX_AGE


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"<html>not found</html>",
        GOOD.replace(b"STSv1", b"STSv2"),
        GOOD.replace(b"version: STSv1\r\n", b""),
        GOOD.replace(b"enforce", b"Enforce"),
        GOOD.replace(b"604800", b"-1"),
        GOOD.replace(b"604800", b"1e9"),
        GOOD.replace(b"604800", "\u0661".encode()),
        GOOD.replace(b"604800", b"9" * 11),
        GOOD.replace(b"mx: mail.example.com\r\nmx: *.example.net\r\n", b""),
        GOOD.replace(b"mail.example.com", b"mail..example.com"),
        GOOD.replace(b"mail.example.com", b"*"),
        GOOD.replace(b"mail.example.com", b"a.*.example.com"),
        GOOD.replace(b"mail.example.com", b"mail example com"),
        GOOD.replace(b"mail.example.com", b""),
        GOOD + b"mx: a.test\n" * module.MAX_PATTERNS,
        GOOD + b"\n" * module.MAX_LINES,
        GOOD + b" " * module.MAX_POLICY,
    ],
)
def test_what_is_no_policy(octets: bytes) -> None:
    with pytest.raises(BadPolicy):
        parse_policy(octets)


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("mail.example.com", True),
        ("MAIL.example.com.", True),
        ("a.mail.example.com", False),
        ("example.com", False),
        ("mx1.example.net", True),
        ("a.mx1.example.net", False),
        ("example.net", False),
        ("evilexample.net", False),
        (".example.net", True),
        ("", False),
    ],
)
def test_a_policy_names_hosts_and_a_star_is_one_label(host: str, named: bool) -> None:
    assert parse_policy(GOOD).names(host) is named


LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
HOST = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
PATTERN = st.one_of(HOST, HOST.map("*.".__add__))


@given(
    st.builds(
        StsPolicy,
        st.sampled_from(("enforce", "testing")),
        st.lists(PATTERN, min_size=1, max_size=5).map(tuple),
        st.integers(0, module.MAX_AGE),
    )
)
def test_what_is_encoded_is_parsed(policy: StsPolicy) -> None:
    assert parse_policy(encode_policy(policy)) == policy


@given(
    st.one_of(st.binary(max_size=300), st.text("versionSTSv1mode:mx_ag\n\r *.", max_size=200).map(str.encode))
)
def test_any_octets_are_a_policy_or_are_none(octets: bytes) -> None:
    try:
        parse_policy(octets)
    except BadPolicy as error:
        assert str(error)
    assert isinstance(parse_record([octets]), str)
