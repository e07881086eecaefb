"""Authentication-Results: nothing written breaks out of it, nothing read breaks us (RFC 8601)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.mail.authresults import (
    FAIL,
    MAX_FIELD,
    MAX_PROPERTIES,
    MAX_RESULTS,
    MAX_VALUE,
    NONE,
    PASS,
    AuthResults,
    MethodResult,
    encode,
    own_fields,
    parse,
    strip_own,
)
from tests.growth import assert_linear

OWN = "mx.example.test"
SPF = MethodResult("spf", PASS, "", (("smtp", "mailfrom", "bob@example.test"),))


def test_a_field_is_folded_and_reads_as_it_was_written() -> None:
    dkim = MethodResult(
        "dkim", FAIL, "body hash did not verify", (("header", "d", "a.example"), ("header", "b", "ab/="))
    )
    results = AuthResults(OWN, (SPF, dkim, MethodResult("dmarc", NONE)))
    octets = encode(results)
    assert octets == (
        b"Authentication-Results: mx.example.test;\r\n"
        b"\tspf=pass smtp.mailfrom=bob@example.test;\r\n"
        b'\tdkim=fail reason="body hash did not verify" header.d=a.example\r\n'
        b'\t header.b="ab/=";\r\n'
        b"\tdmarc=none\r\n"
    )
    assert parse(octets.partition(b":")[2]) == results
    assert results.of("spf") == (SPF,)
    assert SPF.value("smtp", "mailfrom") == "bob@example.test"
    assert SPF.value("smtp", "helo") is None


def test_no_results_are_none() -> None:
    assert encode(AuthResults(OWN)) == b"Authentication-Results: mx.example.test; none\r\n"
    assert parse(b" mx.example.test; none") == AuthResults(OWN)
    assert parse(b" mx.example.test 1; none (nothing done)") == AuthResults(OWN)


def test_another_field_name_and_an_instance_before_the_name() -> None:
    octets = encode(AuthResults(OWN, (SPF,)), "ARC-Authentication-Results", "i=1; ")
    assert octets.startswith(b"ARC-Authentication-Results: i=1; mx.example.test;\r\n\tspf=pass ")


@pytest.mark.parametrize(
    "value",
    [
        "x\r\nBcc: victim@example.test",
        "x\n\nbody",
        "x\0y",
        'x"; dmarc=pass',
        "x; dmarc=pass header.from=bank.example",
        "x (comment",
        "x\\",
        "\ud800",
        "",
        "x" * 5000,
        '\\"' * 3000,
        "ä" * 2000,
        "x\u2028y\x85z",
        "a@b@c",
        "@b.example;",
    ],
)
def test_no_value_breaks_out_of_its_place(value: str) -> None:
    given = AuthResults(OWN, (MethodResult("spf", FAIL, value, (("smtp", "mailfrom", value),)), SPF))
    octets = encode(given)
    lines = octets.split(b"\r\n")
    assert lines.pop() == b""
    assert all(line[:1] in (b"A", b"\t") and len(line) < 998 for line in lines)
    assert not set(octets.replace(b"\r\n", b"")) & ({*range(32), 127} - {9})
    read = parse(octets.partition(b":")[2])
    assert read is not None
    assert [r.method for r in read.results] == ["spf", "spf"]
    assert read.results[1] == SPF
    assert len(read.results[0].value("smtp", "mailfrom") or "") <= MAX_VALUE


@pytest.mark.parametrize("word", ["", "a b", "a;b", "a\r\nb", "é", "-a", "a" * 1000])
def test_a_keyword_that_is_none_is_our_own_mistake(word: str) -> None:
    for result in (MethodResult(word, PASS), MethodResult("spf", word)):
        with pytest.raises(ValueError, match="keyword"):
            encode(AuthResults(OWN, (result,)))


text = st.text(st.characters(codec="utf-8"), max_size=60)
keyword = st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9]", fullmatch=True).filter(lambda w: w != "reason")
result = st.builds(
    MethodResult,
    keyword.filter(lambda w: w != "none"),
    keyword,
    text,
    st.lists(st.tuples(keyword, keyword, text), max_size=4).map(tuple),
)


def printed(value: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in value)


@given(st.builds(AuthResults, text, st.lists(result, max_size=5).map(tuple)))
def test_what_is_written_is_read(results: AuthResults) -> None:
    read = parse(encode(results).partition(b":")[2])
    assert read == AuthResults(
        printed(results.authserv_id),
        tuple(
            MethodResult(
                r.method, r.result, printed(r.reason), tuple((p, n, printed(v)) for p, n, v in r.properties)
            )
            for r in results.results
        ),
    )


# RFC 8601 appendix B, and what large providers write


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            b" example.com;\r\n spf=pass smtp.mailfrom=example.net",
            AuthResults(
                "example.com", (MethodResult("spf", "pass", "", (("smtp", "mailfrom", "example.net"),)),)
            ),
        ),
        (
            b" foo.example.net (foobar) 1 (baz);\r\n dkim (Because I like it) / 1 (One yay) = (wait for it)"
            b" fail\r\n policy (A dot can go here) . (like that) expired (this surprised me) ="
            b" (as I wasn't expecting it) 1362471462",
            AuthResults(
                "foo.example.net",
                (MethodResult("dkim", "fail", "", (("policy", "expired", "1362471462"),)),),
            ),
        ),
        (
            b"example.com; dkim=pass (good signature) header.d=example.com;"
            b' auth=pass smtp.auth="a b"@example.com reason="all (of it) \\"fine\\""',
            AuthResults(
                "example.com",
                (
                    MethodResult("dkim", "pass", "", (("header", "d", "example.com"),)),
                    MethodResult(
                        "auth", "pass", 'all (of it) "fine"', (("smtp", "auth", '"a b"@example.com'),)
                    ),
                ),
            ),
        ),
        (
            b" mx.google.com;\r\n       dkim=pass header.i=@gmail.com header.s=20230601 header.b=Zm9v/x+=;"
            b"\r\n       spf=pass (google.com: domain of a@gmail.com designates 192.0.2.1 as permitted)"
            b" smtp.mailfrom=a@gmail.com;\r\n       dmarc=pass (p=NONE sp=QUARANTINE dis=NONE)"
            b" header.from=gmail.com",
            AuthResults(
                "mx.google.com",
                (
                    MethodResult(
                        "dkim",
                        "pass",
                        "",
                        (
                            ("header", "i", "@gmail.com"),
                            ("header", "s", "20230601"),
                            ("header", "b", "Zm9v/x+="),
                        ),
                    ),
                    MethodResult("spf", "pass", "", (("smtp", "mailfrom", "a@gmail.com"),)),
                    MethodResult("dmarc", "pass", "", (("header", "from", "gmail.com"),)),
                ),
            ),
        ),
        (
            b" mx.microsoft.com 1; spf=pass smtp.mailfrom=a.example; dmarc=pass action=none"
            b" header.from=a.example; arc=none;",
            AuthResults(
                "mx.microsoft.com",
                (
                    MethodResult("spf", "pass", "", (("smtp", "mailfrom", "a.example"),)),
                    MethodResult("dmarc", "pass", "", (("header", "from", "a.example"),)),
                    MethodResult("arc", "none"),
                ),
            ),
        ),
    ],
)
def test_fields_of_the_world(value: bytes, expected: AuthResults) -> None:
    assert parse(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b";",
        b"(only a comment)",
        b"(never closed mx; spf=pass",
        b'"never closed; spf=pass',
        b"mx 2; spf=pass",
        b"mx spf=pass",
        b"mx; spf",
        b"mx; spf=",
        b"mx; =pass",
        b"mx; spf=pass smtp.mailfrom",
        b"mx; spf=pass smtp.=x",
        b"mx; spf=pass smtp.mailfrom=",
        b"mx; none; spf=pass",
        b"mx; spf=pass; none",
        b"mx; spf=pass \xff",
        b"mx" + b"; spf=pass" * (MAX_RESULTS + 1),
        b"mx; spf=pass" + b" a.b=c" * (MAX_PROPERTIES + 1),
        b"mx; spf=pass " + b" " * MAX_FIELD,
    ],
)
def test_what_is_no_field_says_nothing(value: bytes) -> None:
    assert parse(value) is None


# attack row 19: what a sender writes in our name goes, all else stays

FORGED = [
    b"Authentication-Results: mx.example.test; spf=pass\r\n",
    b"authentication-RESULTS: MX.Example.Test; spf=pass\r\n",
    b"Authentication-Results : mx.example.test; spf=pass\r\n",
    b"Authentication-Results\t \t:mx.example.test;spf=pass\r\n",
    b"Authentication-Results\r: mx.example.test; spf=pass\r\n",
    b"Authentication-Results:\r\n mx.example.test;\r\n\tspf=pass\r\n",
    b"Authentication-Results:\r\n \r\n\t\r\n mx.example.test;\r\n \r\n\tspf=pass\r\n",
    b"Authentication-Results: (hi) mx.example.test (there); spf=pass\r\n",
    b"Authentication-Results: (a(b\\)c)d\r\n e)\r\n mx.example.test 1; spf=pass\r\n",
    b"Authentication-Results: " + b"(" * 5000 + b")" * 5000 + b"mx.example.test; spf=pass\r\n",
    b"Authentication-Results: mx.example.test 1; spf=pass\r\n",
    b"Authentication-Results: mx.example.test 99; spf=pass\r\n",
    b"Authentication-Results: mx.example.test\r\n",
    b"Authentication-Results: mx.example.test spf=pass\r\n",
    b"Authentication-Results: mx.example.test/1; spf=pass\r\n",
    b"Authentication-Results: mx.example.test, other.example; spf=pass\r\n",
    b"Authentication-Results: mx.example.test.; spf=pass\r\n",
    b'Authentication-Results: "mx.example.test"; spf=pass\r\n',
    b'Authentication-Results: "m\\x.example.test"; spf=pass\r\n',
    b'Authentication-Results: "mx.example".test; spf=pass\r\n',
    b'Authentication-Results: " mx.example.test "; spf=pass\r\n',
    b'Authentication-Results: "mx.exam\0ple.test"; spf=pass\r\n',
    b"Authentication-Results: mx.example.test\xff; spf=pass\r\n",
    b"Authentication-Results: mx.example.test; dkim=" + b"x" * 1_000_000 + b"\r\n",
    b"Authentication-Results: mx.example.test; spf=pass\n",
    b"Authentication-Results: mx.example.test; spf=pass",
    "Authentication-Results: \N{FULLWIDTH LATIN SMALL LETTER M}x.example.test; spf=pass\r\n".encode(),
]
FOREIGN = [
    b"Authentication-Results: mx.other.test; spf=pass\r\n",
    b"Authentication-Results: mx.example.test.evil.example; spf=pass\r\n",
    b"Authentication-Results: mx.example.tests; spf=pass\r\n",
    b"Authentication-Results: not-mx.example.test; spf=pass\r\n",
    b"Authentication-Results: (mx.example.test;) other.test; spf=pass\r\n",
    b"Authentication-Results: (mx.example.test; spf=pass\r\n",
    b"Authentication-Results: other.test; dkim=pass header.d=mx.example.test\r\n",
    b"Authentication-Results:\r\n",
    b"Authentication-Results-Original: mx.example.test; spf=pass\r\n",
    b"X-Authentication-Results: mx.example.test; spf=pass\r\n",
    b"ARC-Authentication-Results: i=1; mx.example.test; spf=pass\r\n",
    b"Subject: x\r\n Authentication-Results: mx.example.test; spf=pass\r\n",
    b"Authentication-Results mx.example.test; spf=pass\r\n",
    b"Authentication-Results: \xff\xfe; spf=pass\r\n",
    b"Authentication-Results: " + "ä".encode() * 400_000 + b"; spf=pass\r\n",
]


@pytest.mark.parametrize("field", FORGED)
def test_our_own_name_is_taken_away(field: bytes) -> None:
    before, after = b"Received: from a\r\n\tby b\r\n", b"Subject: x\r\n\ty\r\n"
    assert strip_own(before + field, OWN) == before
    if field.endswith(b"\n"):
        assert strip_own(before + field + after + b"\r\n", OWN) == before + after + b"\r\n"
        assert strip_own(field * 2 + after + field, OWN.upper() + ".") == after


@pytest.mark.parametrize("field", FOREIGN)
def test_other_names_stay_as_they_came(field: bytes) -> None:
    header = b"Received: from a\r\n" + field + b"From: b\r\n\r\n"
    assert strip_own(header, OWN) is header
    own = FORGED[0]
    assert strip_own(own + header, OWN) == header
    assert strip_own(field + own + field, OWN) == field * 2


def test_a_name_in_letters_beyond_ascii() -> None:
    own = "mx.xn--bcher-kva.example"
    assert strip_own("Authentication-Results: mx.BÜCHER.example; spf=pass\r\n".encode(), own) == b""
    assert strip_own(b"Authentication-Results: mx.XN--bcher-kva.example; spf=pass\r\n", own) == b""


def test_a_body_is_no_header() -> None:
    mail = FORGED[0] + b"\r\n" + FORGED[0]
    assert strip_own(mail, OWN) == b"\r\n" + FORGED[0]
    assert list(own_fields(mail, OWN)) == [(0, len(FORGED[0]))]


@pytest.mark.parametrize(
    "unit",
    [
        b"(",
        b"()",
        b'"\\',
        b'"',
        b"x ",
        b";",
        b"; a=b",
        b"\r\n ",
        b"\xff",
        b"Authentication-Results: mx.example.test; x=y\r\n",
        b"Authentication-Results: mx.example.test ; x=y\r\n \r\n",
        b"Authentication-Results: (\r\n",
        b"Authentication-Results",
    ],
)
def test_bombs_are_read_in_step_with_their_size(unit: bytes) -> None:
    assert_linear(lambda n: b"Authentication-Results: " + unit * n, lambda h: strip_own(h, OWN), 2000)
    assert_linear(lambda n: (b"mx" + unit * n)[:MAX_FIELD], parse, 500)
