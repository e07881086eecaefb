"""Attack rows 20 to 23: mails made to cost more than they weigh, or to break a parser.

Each generator grows with n.  The index must be made without an exception, within the limits, by work that
grows no faster than the octets; what the limits cut is named.
"""

from collections.abc import Callable

import pytest

from a3mailer.mail.message import (
    addresses,
    encodings,
    headers,
    identifiers,
    index,
    limits,
    parameters,
    subject,
    words,
)
from a3mailer.mail.message import text as texts
from tests.fragments import check_index
from tests.growth import assert_linear

Maker = Callable[[int], bytes]


def multipart(boundary: bytes, kind: bytes = b"mixed") -> bytes:
    return b"Content-Type: multipart/%b; boundary=%b\r\n\r\n" % (kind, boundary)


# row 20: structure


def depth(n: int) -> bytes:
    return b"".join(multipart(b"b%d" % i) + b"--b%d\r\n" % i for i in range(n)) + b"\r\ndeep\r\n"


def depth_of_messages(n: int) -> bytes:
    return b"Content-Type: message/rfc822\r\n\r\n" * n + b"deep\r\n"


def depth_with_large_inside(n: int) -> bytes:
    return depth(60) + b"x" * 60 * n


def depth_with_hyphens_inside(n: int) -> bytes:
    return depth(60) + b"\n--b" * n


def many_parts(n: int) -> bytes:
    return multipart(b"b") + b"--b\r\n\r\nx\r\n" * n + b"--b--\r\n"


def many_messages(n: int) -> bytes:
    return multipart(b"b", b"digest") + b"--b\r\n\r\nSubject: x\r\n\r\ny\r\n" * n + b"--b--\r\n"


def prefix_boundaries(n: int) -> bytes:
    return multipart(b"b") + b"--bb\r\n\r\nx\r\n--bbb\r\n" * n + b"--b--\r\n"


def nested_prefix_boundaries(n: int) -> bytes:
    inside = b"".join(multipart(b"b" * (i + 1)) + b"--%b\r\n" % (b"b" * (i + 1)) for i in range(40))
    return inside + b"\r\n--" + (b"b" * 30 + b"\r\n--") * n


def never_closed(n: int) -> bytes:
    return multipart(b"b") + b"--b\r\n\r\n" + b"--a\r\n" * n


def padded_delimiters(n: int) -> bytes:
    return multipart(b"b") + (b"--b" + b" " * 400 + b"x\r\n") * n + b"--b--\r\n"


def same_boundary_inside(n: int) -> bytes:
    return (multipart(b"b") + b"--b\r\n") * n


def large_boundary(n: int) -> bytes:
    return multipart(b"b" * n) + b"--" + b"b" * n + b"\r\n\r\nx\r\n"


def cyclic_messages(n: int) -> bytes:
    return (multipart(b"b") + b"--b\r\nContent-Type: message/rfc822\r\n\r\n") * n


# row 21: headers


def address_lines(n: int) -> bytes:
    return b"To: a@example.com\r\n" * n + b"\r\nx"


def address_list_in_one_field(n: int) -> bytes:
    return b"To: " + b"a@example.com,\r\n " * n + b"z@example.com\r\n\r\nx"


def large_header(n: int) -> bytes:
    return b"X-Filler: %b\r\n" % (b"x" * 60) * n + b"Subject: late\r\n\r\nx"


def one_large_field(n: int) -> bytes:
    return b"Subject: " + b"x" * 70 * n + b"\r\n\r\nx"


def folded_field(n: int) -> bytes:
    return b"Subject: x\r\n" + b" y\r\n" * n + b"\r\nx"


def continuations(n: int) -> bytes:
    pieces = b"".join(b";\r\n name*%d*=x%%41" % i for i in range(n))
    return b"Content-Type: text/plain" + pieces + b"\r\n\r\nx"


def lines_without_colon(n: int) -> bytes:
    return b"no colon here\r\n" * n + b"\r\nx"


def header_without_end(n: int) -> bytes:
    return b"X: y\r\n" * n


def empty_names(n: int) -> bytes:
    return b": x\r\n" * n + b"\r\nx"


def headers_of_parts(n: int) -> bytes:
    return multipart(b"b") + (b"--b\r\nX: " + b"y" * 3000 + b"\r\n\r\nx\r\n") * n


def reference_list(n: int) -> bytes:
    return b"References: " + b"<a@b>\r\n " * n + b"\r\n\r\nx"


MAKERS: list[tuple[Maker, int, str]] = [
    (depth, 2_000, "depth"),
    (depth_of_messages, 5_000, "depth"),
    (depth_with_large_inside, 20_000, "depth"),
    (depth_with_hyphens_inside, 60_000, "delimiters"),
    (many_parts, 5_000, "parts"),
    (many_messages, 5_000, "parts"),
    (prefix_boundaries, 60_000, "delimiters"),
    (nested_prefix_boundaries, 60_000, "delimiters"),
    (never_closed, 60_000, ""),
    (padded_delimiters, 25_000, "delimiters"),
    (same_boundary_inside, 10_000, "parts"),
    (large_boundary, 70_000, "header"),
    (cyclic_messages, 5_000, "parts"),
    (address_lines, 100_000, "header"),
    (address_list_in_one_field, 100_000, "header"),
    (large_header, 100_000, "header"),
    (one_large_field, 20_000, "header"),
    (folded_field, 100_000, "header"),
    (continuations, 20_000, "header"),
    (lines_without_colon, 100_000, "header"),
    (header_without_end, 100_000, "header"),
    (empty_names, 100_000, "header"),
    (headers_of_parts, 900, "headers"),
    (reference_list, 50_000, "header"),
]
IDS = [maker.__name__ for maker, _, _ in MAKERS]


@pytest.mark.parametrize(("maker", "n", "limit"), MAKERS, ids=IDS)
def test_a_bomb_is_indexed_and_says_what_was_cut(maker: Maker, n: int, limit: str) -> None:
    octets = maker(n)
    found = check_index(octets)
    assert (limit in found.truncated) if limit else found.truncated == ()
    assert len(found.parts) <= limits.PARTS
    assert found.section((), "") == (0, len(octets))


@pytest.mark.parametrize(("maker", "n", "limit"), MAKERS, ids=IDS)
def test_the_work_for_a_bomb_grows_with_its_octets(maker: Maker, n: int, limit: str) -> None:
    assert_linear(maker, index, n)


def test_a_large_mail_with_everything_below_its_limits_is_whole() -> None:
    found = check_index(many_parts(limits.PARTS - 1))
    assert found.truncated == ()
    assert len(found.parts) == limits.PARTS
    assert "parts" in check_index(many_parts(limits.PARTS)).truncated
    assert check_index(depth(limits.DEPTH)).truncated == ()
    assert "depth" in check_index(depth(limits.DEPTH + 1)).truncated
    people = b", ".join(b"a%d@b.example" % i for i in range(limits.ADDRESSES - 1))
    assert check_index(b"To: " + people + b"\r\n\r\n").truncated == ()
    assert check_index(b"To: " + people + b", c@d, e@f\r\n\r\n").truncated == ("addresses",)


def test_what_follows_a_cut_header_is_still_served() -> None:
    octets = large_header(2_000)
    found = index(octets)
    assert found.subject == ""
    assert found.header_fields(octets, frozenset((b"subject",))) == b"Subject: late\r\n\r\n"
    assert octets[found.header_end :] == b"x"


# rows 21 and 22: the parsers of header values, without the limit on the header before them


def comments(n: int) -> bytes:
    return b"(" * n + b"a" + b")" * n + b" a@b"


def open_comments(n: int) -> bytes:
    return b"(" * n


def many_comments(n: int) -> bytes:
    return b"(x)" * n + b"a@b"


def backslash_end(n: int) -> bytes:
    return b'"' + b"\\" * (2 * n + 1)


def escaped_quotes(n: int) -> bytes:
    return b'"a\\"b" <a@b>,' * n


def open_angles(n: int) -> bytes:
    return b"<" * n + b"a@b," * n


def angles(n: int) -> bytes:
    return b"<a@b," * n


def commented_angles(n: int) -> bytes:
    return b"<(x)a@b>," * n


def groups(n: int) -> bytes:
    return b"g:a@b;" * n


def open_groups(n: int) -> bytes:
    return b"g:" * n


def quotes(n: int) -> bytes:
    return b'"' * n


def literals(n: int) -> bytes:
    return b"a@[" * n


def dots(n: int) -> bytes:
    return b"a . " * n + b"@" + b" . b" * n


def at_signs(n: int) -> bytes:
    return b"@" * n


def commas(n: int) -> bytes:
    return b"," * n


LISTS: list[Maker] = [
    *(comments, open_comments, many_comments, backslash_end, escaped_quotes, open_angles, angles),
    *(commented_angles, groups, open_groups, quotes, literals, dots, at_signs, commas),
]


@pytest.mark.parametrize("maker", LISTS)
def test_address_lists_are_read_in_linear_time(maker: Maker) -> None:
    def target(value: bytes) -> None:
        for entry in addresses.mailboxes(addresses.parse(value, 1 << 40)):
            assert entry.addr_spec is not None

    assert_linear(maker, target, 2_000)


def repeated(piece: bytes) -> Maker:
    return lambda n: piece * n


VALUES: list[tuple[Callable[[bytes], object], bytes]] = [
    (words.decode_words, b"=?utf-8?q?=41?= "),
    (words.decode_words, b"=?utf-8?b?QQ?="),
    (words.decode_words, b"=?"),
    (words.decode_words, b"=?x?q?"),
    (words.decode_words, b"=?x?q?=?="),
    (words.decode_words, b"=?%b?q?" % (b"x" * 70)),
    (parameters.parse, b";a=b"),
    (parameters.parse, b";"),
    (parameters.parse, b'="'),
    (parameters.parse, b'a="\\'),
    (parameters.parse, b"name*1*=%41;"),
    (lambda value: parameters.parse(b'text/plain; a="' + value), b'\\"'),
    (lambda value: parameters.parse(b'text/plain; a="' + value), b"\\x"),
    (lambda value: subject.base_subject(value.decode()), b"re: "),
    (lambda value: subject.base_subject(value.decode()), b"[fwd: "),
    (lambda value: subject.base_subject("[fwd:" * (len(value) // 2) + "]" * (len(value) // 2)), b"x"),
    (lambda value: subject.base_subject(value.decode()), b"[a] "),
    (lambda value: subject.base_subject(value.decode()), b"re[a"),
    (lambda value: subject.base_subject(value.decode()), b"(fwd) "),
    (identifiers.identifiers, b"<"),
    (identifiers.identifiers, b"<a>"),
    (encodings.from_base64, b"QUJD"),
    (encodings.from_base64, b"="),
    (encodings.from_base64, b"Q="),
    (encodings.from_base64, b"\0"),
    (encodings.from_quoted_printable, b"="),
    (encodings.from_quoted_printable, b"=\n"),
    (encodings.from_quoted_printable, b" \t"),
    (lambda value: list(headers.fields(value, 0, len(value))), b"a:\n "),
    (lambda value: list(headers.fields(value, 0, len(value))), b"a:\n"),
    (lambda value: headers.select(value, 0, len(value), frozenset((b"a",))), b"a:b\r\n"),
    (lambda value: texts.without_tags(value.decode(), 1 << 40), b"<"),
    (lambda value: texts.without_tags(value.decode(), 1 << 40), b"<!--"),
    (lambda value: texts.without_tags(value.decode(), 1 << 40), b"<style>"),
    (lambda value: texts.without_tags(value.decode(), 1 << 40), b"<p>x"),
]


@pytest.mark.parametrize(
    ("target", "piece"), VALUES, ids=[f"{i}-{piece.decode()!a:.20}" for i, (_, piece) in enumerate(VALUES)]
)
def test_header_values_are_read_in_linear_time(target: Callable[[bytes], object], piece: bytes) -> None:
    assert_linear(repeated(piece), target, 20_000)


# row 23: charsets and octets that are no text


@pytest.mark.parametrize(
    "charset", [*sorted(texts.charsets.names()), "unknown", "idna", "punycode", "unicode_escape"]
)
def test_any_octets_in_any_charset_are_text(charset: str) -> None:
    octets = (
        bytes(range(256))
        + b"+2AA-\xed\xa0\x80\xc0\xaf\xf8\x88\x80\x80\x80\x1b$B\xff\x1b(J~{\xff~}"
        + b"\x80" * 9
    )
    for at in range(0, len(octets), 5):
        decoded = texts.charsets.decode(octets[at:], charset.encode())
        decoded.encode()
    mail = b'Content-Type: text/plain; charset="%b"\r\n\r\n' % charset.encode() + octets
    found = check_index(mail)
    texts.decoded_text(mail, found.parts[0]).encode()


@pytest.mark.parametrize(
    ("octets", "charset", "expected"),
    [
        (b"a\xc0\xafb", b"utf-8", "a\ufffd\ufffdb"),
        (b"\xed\xa0\x80", b"utf-8", "\ufffd\ufffd\ufffd"),
        (b"+2AA-", b"utf-7", "\ufffd"),
        (b"Hi Mom +Jjo-!", b"utf-7", "Hi Mom \u263a!"),
        (b"\x1b$B%F%9%H\x1b(B", b"ISO-2022-JP", "\u30c6\u30b9\u30c8"),
        (b"\xe9t\xe9", b"", "\u00e9t\u00e9"),
        (b"\xc3\xa9", b"", "\u00e9"),
        (b"\x80", b"iso-8859-1", "\u20ac"),
        (b"\xff\xfe", b"no such charset", "\ufffd\ufffd"),
        (b"xn--e1afmkfd", b"punycode", "xn--e1afmkfd"),
        (b"\\u0041", b"unicode_escape", "\\u0041"),
    ],
)
def test_octets_that_are_no_text_become_replacement_characters(
    octets: bytes, charset: bytes, expected: str
) -> None:
    assert texts.charsets.decode(octets, charset) == expected


def test_ten_megabytes_of_base64_without_padding() -> None:
    mail = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"QUJDR" * 2_000_001
    found = index(mail)
    assert found.preview.startswith("ABC")
    assert len(found.preview) > 100
    assert len(texts.decoded_text(mail, found.parts[0])) > 7_000_000
    assert_linear(lambda n: mail[: 66 + n], index, 2_000_000)


def test_a_preview_shows_no_controls_and_no_overrides_of_direction() -> None:
    mail = "Content-Type: text/plain; charset=utf-8\r\n\r\na\u202eb\u2066c\0d\x07e \u200b \u200b f".encode()
    assert index(mail).preview == "abc d e f"


def test_a_subject_cannot_break_its_line() -> None:
    found = index(b"Subject: =?utf-8?q?a=0D=0ABcc:_x=00y?=\r\n\r\n")
    assert found.subject == "a  Bcc: x y"
