"""Composition attacks on From (attack row 16): exactly one From with one domain all readers agree on."""

import pytest

from a3mailer.msgauth import author as au
from a3mailer.msgauth.author import author, domain_name
from tests.growth import assert_linear

ONE = {
    "bare": b"a@legit.example",
    "angle": b"<a@legit.example>",
    "phrase": b"Alice A. <a@legit.example>",
    "quoted phrase": b'"Alice, A." <a@legit.example>',
    "quoted phrase that shows an address": b'"admin@bank.example" <a@legit.example>',
    "quoted phrase with escapes": b'"Al\\"i\\\\" <a@legit.example>',
    "encoded phrase": b"=?utf-8?q?Al=C3=AD?= <a@legit.example>",
    "8-bit phrase": b"Al\xc3\xad \xff <a@legit.example>",
    "comment": b"a@legit.example (Alice)",
    "comment before": b"(Alice) a@legit.example",
    "quoted local part": b'"a b"@legit.example',
    "case": b"a@LEGIT.Example",
    "several authors of one domain": b"a@legit.example, B <b@legit.example>",
    "blanks": b" \t a@legit.example  ",
}

NONE = {
    "empty": b"",
    "no address": b"Alice",
    "null": b"<>",
    "local part alone": b"alice",
    "two domains": b"a@attack.example, b@legit.example",
    "two domains, one quoted": b'"a"@attack.example, <b@legit.example>',
    "group": b"friends: a@legit.example;",
    "empty group": b"undisclosed-recipients:;",
    "group of two": b"x: a@attack.example, b@legit.example;",
    "colon in a phrase": b"x: <a@legit.example>",
    "address in the phrase": b"admin@legit.example <a@attack.example>",
    "address after the angle": b"<a@attack.example> admin@legit.example",
    "two angles": b"<admin@legit.example><a@attack.example>",
    "nested angles": b"<admin@legit.example<a@attack.example>>",
    "angle without end": b"<a@legit.example",
    "angle without beginning": b"a@legit.example>",
    "route": b"<@attack.example,@any.example:admin@legit.example>",
    "route of one": b"<@attack.example:admin@legit.example>",
    "two at signs": b"a@attack.example@legit.example",
    "encoded-word as address": b"=?utf-8?b?YWRtaW5AbGVnaXQuZXhhbXBsZQ==?=",
    "encoded-word as local part": b"=?utf-8?b?YWRtaW5AbGVnaXQuZXhhbXBsZSw=?=@attack.example",
    "encoded-word in angles": b"<=?utf-8?q?admin=40legit.example=2C?=@attack.example>",
    "encoded-word as domain": b"a@=?utf-8?q?legit.example?=",
    "address in a comment": b"a@attack.example (<admin@legit.example>)",
    "comment in the address": b"admin@legit.example(a@attack.example)",
    "comment behind the at": b"a@(legit.example)attack.example",
    "comment in the domain": b"a@legit(x).example",
    "comment with a quotation mark": b'a@attack.example (") b@legit.example',
    "comments nested": b"a@legit.example (x (y) z)",
    "comment without end": b"a@legit.example (x",
    "comment without beginning": b"a@legit.example x)",
    "quoting without end": b'"a@legit.example',
    "quoted local part with an address": b'"admin@legit.example,"@attack.example',
    "quoted angle": b'"<admin@legit.example>"@attack.example',
    "backslash": b"admin@legit.example\\,@attack.example",
    "NUL": b"admin@legit.example\0@attack.example",
    "NUL behind": b"a@legit.example\0",
    "NUL in the domain": b"a@legit.example\0.attack.example",
    "escape": b"a@legit.example\x1b[2K",
    "delete": b"a@legit.example\x7f",
    "empty entry": b"a@legit.example,",
    "comma first": b",a@legit.example",
    "semicolon": b"a@legit.example; b@attack.example",
    "literal": b"a@[192.0.2.1]",
    "address": b"a@192.0.2.1",
    "final dot": b"a@legit.example.",
    "dot first": b"a@.legit.example",
    "two dots": b"a@legit..example",
    "no domain": b"a@",
    "no local part": b"@legit.example",
    "blank in the domain": b"a@legit. example",
    "blank before the at": b"a @legit.example",
    "line separator": "a@legit.example\u2028b@attack.example".encode(),
    "domain too long": b"a@" + b"x." * 140 + b"example",
    "label too long": b"a@" + b"x" * 64 + b".example",
    "percent": b"a@legit.example%attack.example",
    "broken U-label": b"a@\xff\xfe.example",
    "field too long": b"x" * au.MAX_FROM + b" <a@legit.example>",
    "too many authors": b", ".join([b"a@legit.example"] * (au.MAX_AUTHORS + 1)),
}

HEADERS = {
    "no From": b"To: a@legit.example\r\n\r\n",
    "nothing": b"",
    "two": b"From: a@attack.example\r\nFrom: b@legit.example\r\n\r\n",
    "two of the same": b"From: a@legit.example\r\nfrom: a@legit.example\r\n\r\n",
    "two, one with a blank": b"From : a@attack.example\r\nFrom: b@legit.example\r\n\r\n",
    "two, one with a tab": b"From\t: a@attack.example\r\nFrom: b@legit.example\r\n\r\n",
    "two, one folded away": b"From: a@attack.example\r\nX: y\r\n z\r\nFROM:\r\n b@legit.example\r\n\r\n",
    "two, one after a bare CR": b"X: y\rFrom: a@attack.example\r\nFrom: b@legit.example\r\n\r\n",
    "two, one after a bare LF": b"X: y\nFrom: a@attack.example\r\nFrom: b@legit.example\r\n\r\n",
    "two, one after a line that is no field": b"From: a@attack.example\r\nx\r\nFrom: b@legit.example\r\n\r\n",
    "first line begins with a blank": b" From: a@legit.example\r\n\r\n",
    "two, the first behind a blank": b" From: a@attack.example\r\nFrom: b@legit.example\r\n\r\n",
    "NUL in the name": b"From\0: a@legit.example\r\n\r\n",
    "NUL before the name": b"\0From: a@legit.example\r\n\r\n",
    "two, one with NUL": b"\0From: a@attack.example\r\nFrom: b@legit.example\r\n\r\n",
    "byte order mark": b"\xef\xbb\xbfFrom: a@attack.example\r\nFrom: b@legit.example\r\n\r\n",
    "soft hyphen": b"Fr\xc2\xadom: a@attack.example\r\nFrom: b@legit.example\r\n\r\n",
    "bare CR in the value": b"From: a@legit.example\rb@attack.example\r\n X: y@z.example\r\nFrom: c\r\n\r\n",
    "Sender alone": b"Sender: a@legit.example\r\n\r\n",
    "Resent-From alone": b"Resent-From: a@legit.example\r\n\r\n",
}


@pytest.mark.parametrize("value", ONE.values(), ids=ONE)
def test_one_domain_that_all_readers_see(value: bytes) -> None:
    assert author(b"To: x@y.example\r\nFrom: " + value + b"\r\n\r\n") == au.Author("legit.example")


@pytest.mark.parametrize("value", NONE.values(), ids=NONE)
def test_anything_else_names_nobody_and_says_why(value: bytes) -> None:
    found = author(b"From: " + value + b"\r\nTo: x@y.example\r\n\r\n")
    assert found.domain == ""
    assert found.problem


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_exactly_one_from_field(header: bytes) -> None:
    found = author(header)
    assert found.domain == ""
    assert found.problem


@pytest.mark.parametrize(
    "header",
    [
        b"From : a@legit.example\r\n\r\n",
        b"FROM:\r\n\ta@legit.example\r\n\r\n",
        b"From: Alice\r\n <a@legit.example>\r\n\r\n",
        b"From: a@legit.example\n\n",
        b"Resent-From: b@other.example\r\nFrom: a@legit.example\r\n\r\n",
        b"From: a@legit.example",
    ],
)
def test_obsolete_and_folded_forms_are_the_same_field(header: bytes) -> None:
    assert author(header) == au.Author("legit.example")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (b"Example.COM", "example.com"),
        ("bücher.example".encode(), "xn--bcher-kva.example"),
        (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
        (b"_x.example", "_x.example"),
        (b"localhost", "localhost"),
        (b"legit.example\0.attack.example", ""),
        (b"legit.example.", ""),
        (b".legit.example", ""),
        (b"-x.example", ""),
        (b"a b", ""),
        (b"legit.example\n", ""),
        (b"legit.example(.attack.example", ""),
        (b"legit.example\xe3\x80\x82", ""),
        (b"1.2.3.4", ""),
        (b"", ""),
        (b"x" * 5000, ""),
    ],
)
def test_domains_are_compared_as_a_labels(written: bytes, name: str) -> None:
    assert domain_name(written) == name


@pytest.mark.parametrize("piece", [b'"" ', b'\\"', b"( ", b"() ", b'"\\', b"a@b,", b"<", b"=?", b'"a"@b,'])
def test_a_from_field_costs_in_step_with_its_size(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(au, "MAX_FROM", 1 << 30)
    monkeypatch.setattr(au, "MAX_AUTHORS", 1 << 30)
    assert_linear(lambda n: b'"' + piece * n, au._of_value, 2000)


@pytest.mark.parametrize("line", [b"From: a@b.example\r\n", b"x: y\r ", b"\r\n ", b":", b"From"])
def test_a_header_costs_in_step_with_its_size(line: bytes) -> None:
    assert_linear(lambda n: line * n, author, 2000)


def test_long_from_fields_are_not_kept() -> None:
    before = au._remembered.cache_info().currsize
    for n in range(3):
        assert au.author(b"From: %d%b <a@legit.example>\r\n" % (n, b"x" * au.REMEMBERED_OCTETS)).domain
    assert au._remembered.cache_info().currsize == before
    assert au.domain_name(b"a" * 5000) == ""
