"""Header values by the examples of the RFCs: encoded words, addresses, parameters, dates, base subjects."""

import calendar

import pytest

from a3mailer.mail.message import addresses, dates, headers, identifiers, index, parameters, words
from a3mailer.mail.message.addresses import Address, Group
from a3mailer.mail.message.subject import base_subject


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # RFC 2047 section 8
        (b"=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
        (b"=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?=", "Keld J\u00f8rn Simonsen"),
        (b"=?ISO-8859-1?Q?Andr=E9?= Pirard", "Andr\u00e9 Pirard"),
        (
            b"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?= "
            b"=?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
            "If you can read this you understand the example.",
        ),
        (
            b"=?iso-8859-8?b?7eXs+SDv4SDpbOj08A==?=",
            "\u05dd\u05d5\u05dc\u05e9 \u05df\u05d1 \u05d9l\u05d8\u05e4\u05e0",
        ),
        (b"(=?ISO-8859-1?Q?a?=)", "(a)"),
        (b"(=?ISO-8859-1?Q?a?= b)", "(a b)"),
        (b"(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
        (b"(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)", "(ab)"),
        (b"(=?ISO-8859-1?Q?a_b?=)", "(a b)"),
        (b"(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"),
        # RFC 2231 section 5: a language
        (b"=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"),
        # a character cut in two, as many programs do
        (b"=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "\u00e9"),
        (b"=?utf-8?b?4oI=?= =?utf-8?b?rA==?=", "\u20ac"),
        # broken ones
        (b"=?utf-8?q?no end", "=?utf-8?q?no end"),
        (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
        (b"=??q?a?=", "=??q?a?="),
        (b"=?utf-8?q??=x", "x"),
        (b"=?utf-8?b?w6k?=", "\u00e9"),
        (b"=?utf-8?q?with spaces inside?=", "with spaces inside"),
        (b"=?nobody-knows?q?=C3=A9?=", "\u00e9"),
        (b"raw \xc3\xa9", "raw \u00e9"),
        (b"raw \xe9", "raw \u00e9"),
        (b"a?= =? b", "a?= =? b"),
        (b"", ""),
    ],
)
def test_encoded_words(value: bytes, expected: str) -> None:
    assert words.decode_words(value) == expected


def one(phrase: bytes, local_part: bytes, domain: bytes, route: bytes = b"") -> Address:
    return Address(phrase, local_part, domain, route)


JOE = one(b"Joe Q. Public", b"john.q.public", b"example.com")
JOHN = one(b"John Doe", b"jdoe", b"machine.example")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # RFC 5322 appendix A.1
        (b"John Doe <jdoe@machine.example>", (JOHN,)),
        (b'"Joe Q. Public" <john.q.public@example.com>', (JOE,)),
        (
            b"Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
            (
                one(b"Mary Smith", b"mary", b"x.test"),
                one(b"", b"jdoe", b"example.org"),
                one(b"Who?", b"one", b"y.test"),
            ),
        ),
        (
            b'<boss@nil.test>, "Giant; \\"Big\\" Box" <sysservices@example.net>',
            (one(b"", b"boss", b"nil.test"), one(b'Giant; "Big" Box', b"sysservices", b"example.net")),
        ),
        (
            b"A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
            (
                Group(
                    b"A Group",
                    (
                        one(b"Ed Jones", b"c", b"a.test"),
                        one(b"", b"joe", b"where.test"),
                        one(b"John", b"jdoe", b"one.test"),
                    ),
                ),
            ),
        ),
        (b"Undisclosed recipients:;", (Group(b"Undisclosed recipients", ()),)),
        # appendix A.5: comments and white space
        (
            b"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
            (one(b"Pete", b"pete", b"silly.test"),),
        ),
        (
            b"A Group(Some people)\t   :Chris Jones <c@(Chris's host.)public.example>,\t        "
            b"joe@example.org,  John <jdoe@one.test> (my dear friend); (the end of the group)",
            (
                Group(
                    b"A Group",
                    (
                        one(b"Chris Jones", b"c", b"public.example"),
                        one(b"", b"joe", b"example.org"),
                        one(b"John", b"jdoe", b"one.test"),
                    ),
                ),
            ),
        ),
        (
            b"(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;",
            (Group(b"Hidden recipients", ()),),
        ),
        # appendix A.6: obsolete forms
        (
            b"Mary Smith <@node.test,@example.net:mary@example.net>, , jdoe@test  . example",
            (
                one(b"Mary Smith", b"mary", b"example.net", b"@node.test,@example.net"),
                one(b"", b"jdoe", b"test.example"),
            ),
        ),
        (b"Joe Q. Public <john.q.public@example.com>", (JOE,)),
        # quoted local parts, literals
        (b'"john doe"@x.test', (one(b"", b"john doe", b"x.test"),)),
        (b'<"a>b"@x.test>', (one(b"", b"a>b", b"x.test"),)),
        (b'Name <"a@b"@x.test>', (one(b"Name", b"a@b", b"x.test"),)),
        (
            b"a@[IPv6:2001:db8::1], b@c.test",
            (one(b"", b"a", b"[IPv6:2001:db8::1]"), one(b"", b"b", b"c.test")),
        ),
        # the name in a comment, as in the earliest mail
        (b"a@b.test (Full Name)", (one(b"Full Name", b"a", b"b.test"),)),
        # raw UTF-8 (RFC 6532)
        (b"Ren\xc3\xa9 <r\xc3\xa9@\xc3\xa4.test>", (one(b"Ren\xc3\xa9", b"r\xc3\xa9", b"\xc3\xa4.test"),)),
        # broken ones
        (b"nobody", (one(b"", b"nobody", b""),)),
        (b"", ()),
        (b" , ;", ()),
        (b"<>", ()),
        (b"Foo <a@b.test", (one(b"Foo", b"a", b"b.test"),)),
        (b"Foo <a@b.test, Bar <c@d.test>", (one(b"Foo", b"a", b"b.test"), one(b"Bar", b"c", b"d.test"))),
        (b"Foo <x@<a@b.test>", (one(b"Foo", b"a", b"b.test"),)),
        (b"John Doe jdoe@x.test", (one(b"John Doe", b"jdoe", b"x.test"),)),
        (b'"unclosed <a@b.test>', (one(b"", b"unclosed <a@b.test>", b""),)),
        (b"(never closed a@b.test", ()),
        (b"a@b@c.test", (one(b"", b"a@b", b"c.test"),)),
    ],
)
def test_address_lists(value: bytes, expected: tuple[Address | Group, ...]) -> None:
    assert addresses.parse(value) == expected


@pytest.mark.parametrize(
    ("address", "spec"),
    [
        (one(b"", b"a.b", b"c.test"), "a.b@c.test"),
        (one(b"", b"a b", b"c.test"), '"a b"@c.test'),
        (one(b"", b'a"\\b', b"c.test"), '"a\\"\\\\b"@c.test'),
        (one(b"", b"a..b", b"c.test"), '"a..b"@c.test'),
        (one(b"", b"", b"c.test"), '""@c.test'),
        (one(b"", "\u00e9".encode(), b"c.test"), "\u00e9@c.test"),
        (one(b"", b"alone", b""), "alone"),
    ],
)
def test_an_address_as_text_is_quoted_where_it_must_be(address: Address, spec: str) -> None:
    assert address.addr_spec == spec


@pytest.mark.parametrize(
    ("value", "media", "pairs"),
    [
        (b"text/plain", b"text/plain", ()),
        (b"Text/PLAIN ; Charset = US-ASCII", b"text/plain", ((b"charset", b"US-ASCII"),)),
        (b"text/plain (a comment); charset=utf-8", b"text/plain", ((b"charset", b"utf-8"),)),
        (b'multipart/mixed; boundary="a;b=c"', b"multipart/mixed", ((b"boundary", b"a;b=c"),)),
        (b'a/b; c="d\\"e"; f=g', b"a/b", ((b"c", b'd"e'), (b"f", b"g"))),
        (b'a/b; c="unclosed; f=g', b"a/b", ((b"c", b"unclosed; f=g"),)),
        (b"a/b; name=My file.pdf; x=y", b"a/b", ((b"name", b"My file.pdf"), (b"x", b"y"))),
        (b"a/b;;; ;c=d;", b"a/b", ((b"c", b"d"),)),
        (b"a/b; flag; c=d", b"a/b", ((b"c", b"d"),)),
        (b"a/b; =d; c=", b"a/b", ((b"c", b""),)),
        # RFC 2231 section 3
        (
            b'message/external-body; access-type=URL; URL*0="ftp://"; '
            b'URL*1="cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"',
            b"message/external-body",
            ((b"access-type", b"URL"), (b"url", b"ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar")),
        ),
        # section 4.1
        (
            b"application/x-stuff; title*0*=us-ascii'en'This%20is%20even%20more%20; "
            b'title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2="isn\'t it!"',
            b"application/x-stuff",
            ((b"title*", b"us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A%2A%20isn't%20it!"),),
        ),
        # out of order, a gap, a double
        (b"a/b; n*1=y; n*0=x; n*3=z; n*0=q", b"a/b", ((b"n", b"xy"),)),
    ],
)
def test_parameters(value: bytes, media: bytes, pairs: tuple[tuple[bytes, bytes], ...]) -> None:
    assert parameters.parse(value) == (media, pairs)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # RFC 2231 section 4
        (b"a/b; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A", "This is ***fun***"),
        (
            b"a/b; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; "
            b'title*2="isn\'t it!"',
            "This is even more ***fun*** isn't it!",
        ),
        (b'a/b; title="=?utf-8?q?=C3=A9t=C3=A9?="', "\u00e9t\u00e9"),
        (b"a/b; title=plain; title*=utf-8''%C3%A9", "\u00e9"),
        (b"a/b; title*=utf-8''%C3%A9; title=plain", "\u00e9"),
        (b"a/b; title*=%41", "A"),
        (b"a/b; title*0*=%41; title*1=b%", "A" + "b%"),
        (b"a/b; title*=utf-8''a%0D%0Ab", "a  b"),
        (b"a/b", ""),
    ],
)
def test_parameters_as_text(value: bytes, expected: str) -> None:
    assert parameters.text_of(parameters.parse(value)[1], b"title") == expected


def test_outlook_writes_paths_without_escaping_them() -> None:
    _, pairs = parameters.parse(b'a/b; name="C:\\new\\report.doc"')
    assert pairs == ((b"name", b"C:\\new\\report.doc"),)


def utc(*moment: int) -> int:
    return calendar.timegm((*moment, 0, 0, 0))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # RFC 5322 appendix A
        (b"Fri, 21 Nov 1997 09:55:06 -0600", utc(1997, 11, 21, 15, 55, 6)),
        (b"Tue, 1 Jul 2003 10:52:37 +0200", utc(2003, 7, 1, 8, 52, 37)),
        (b"Thu, 13 Feb 1969 23:32 -0330 (Newfoundland Time)", utc(1969, 2, 14, 3, 2, 0)),
        (b"Thu, 13 Feb 1969 23:32 -0330", utc(1969, 2, 14, 3, 2, 0)),
        (b"21 Nov 97 09:55:06 GMT", utc(1997, 11, 21, 9, 55, 6)),
        (b"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", utc(1997, 11, 21, 0, 0, 0)),
        # obsolete zones and years
        (b"1 Jan 00 00:00 EST", utc(2000, 1, 1, 5, 0, 0)),
        (b"1 Jan 49 00:00:00 PDT", utc(2049, 1, 1, 7, 0, 0)),
        (b"1 Jan 50 00:00:00 Z", utc(1950, 1, 1, 0, 0, 0)),
        (b"1 Jan 100 00:00:00 UT", utc(2000, 1, 1, 0, 0, 0)),
        (b"1 Jan 2020 00:00:00 A", utc(2020, 1, 1, 0, 0, 0)),
        (b"1 Jan 2020 00:00:00 -0000", utc(2020, 1, 1, 0, 0, 0)),
        # other orders: asctime, RFC 850
        (b"Sun Nov  6 08:49:37 1994", utc(1994, 11, 6, 8, 49, 37)),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", utc(1994, 11, 6, 8, 49, 37)),
        # days and months
        (b"29 Feb 2024 00:00:00 +0000", utc(2024, 2, 29, 0, 0, 0)),
        (b"Sat,21 Nov 2026 1:2:3 +0000", utc(2026, 11, 21, 1, 2, 3)),
        (b"SAT, 21 NOV 2026 10:00:00 +0100", utc(2026, 11, 21, 9, 0, 0)),
        (b"Samstag, 21 Nov 2026 10:00:00 +0100", utc(2026, 11, 21, 9, 0, 0)),
        (b"21 November 2026 10:00:00", utc(2026, 11, 21, 10, 0, 0)),
        (b"31 Dec 1998 23:59:60 +0000", utc(1999, 1, 1, 0, 0, 0)),
        # an invalid time is 00:00:00 and an invalid zone is UTC (RFC 5256 section 2.2)
        (b"21 Nov 2026 25:00:00 +0000", utc(2026, 11, 21, 0, 0, 0)),
        (b"21 Nov 2026 10:00:00 somewhere", utc(2026, 11, 21, 10, 0, 0)),
        (b"21 Nov 2026 10:00:00 +9", utc(2026, 11, 21, 10, 0, 0)),
        (b"21 Nov 2026", utc(2026, 11, 21, 0, 0, 0)),
        # no dates
        (b"30 Feb 2024 00:00:00 +0000", None),
        (b"29 Feb 1900 00:00:00 +0000", None),
        (b"0 Nov 2026 10:00:00 +0000", None),
        (b"32 Nov 2026 10:00:00 +0000", None),
        (b"21 Foo 2026 10:00:00 +0000", None),
        (b"21 Nov -1 10:00:00 +0000", None),
        (b"21 Nov 20265 10:00:00 +0000", None),
        (b"tomorrow", None),
        (b"", None),
        (b"\xff\xfe", None),
    ],
)
def test_dates(value: bytes, expected: int | None) -> None:
    assert dates.parse(value) == expected


@pytest.mark.parametrize(
    ("unix_time", "zone", "expected"),
    [
        (0, 0, "Thu, 01 Jan 1970 00:00:00 +0000"),
        (1795251600, 60, "Sat, 21 Nov 2026 10:00:00 +0100"),
        (-1, -210, "Wed, 31 Dec 1969 20:29:59 -0330"),
    ],
)
def test_dates_as_text(unix_time: int, zone: int, expected: str) -> None:
    assert dates.format_date(unix_time, zone) == expected
    assert dates.parse(expected.encode()) == unix_time


@pytest.mark.parametrize(
    ("subject", "base", "reply"),
    [
        ("hello", "hello", False),
        ("Re: hello", "hello", True),
        ("RE:FW: Fwd:hello", "hello", True),
        ("Re[2]: hello", "hello", True),
        ("re [x] : hello", "hello", True),
        ("[list] Re: hello", "hello", True),
        ("[list] hello", "hello", False),
        ("[a] [b] hello", "hello", False),
        ("[list]", "[list]", False),
        ("Re: [list]", "[list]", True),
        ("[a] [b]", "[b]", False),
        ("hello (fwd)", "hello", True),
        ("hello (fwd) (FWD)  ", "hello", True),
        ("[fwd: hello]", "hello", True),
        ("[Fwd: Re: [x] hello (fwd)]", "hello", True),
        ("[fwd: [fwd: hello]]", "hello", True),
        ("  many \t spaces  ", "many spaces", False),
        ("Re:", "", True),
        ("", "", False),
        ("Regarding: x", "Regarding: x", False),
        ("[unclosed hello", "[unclosed hello", False),
        ("fwd hello", "fwd hello", False),
        ("\u0130 Re: x", "\u0130 Re: x", False),
        ("Re: \u0130stanbul", "\u0130stanbul", True),
        ("[[a]] b", "[[a]] b", False),
    ],
)
def test_base_subjects(subject: str, base: str, reply: bool) -> None:
    assert base_subject(subject) == (base, reply)


def test_identifiers() -> None:
    assert identifiers.identifiers(b"<a@b> <c@d>\t<e@f>") == (b"a@b", b"c@d", b"e@f")
    assert identifiers.identifiers(b"Your message of today <a@b> (comment) <>") == (b"a@b",)
    assert identifiers.identifiers(None) == ()
    assert identifiers.identifier(b" <a@b> ") == b"a@b"
    assert identifiers.identifier(b"a@b.without.brackets x") == b"a@b.without.brackets"
    assert identifiers.identifier(b"") == b""
    many = identifiers.identifiers(b" ".join(b"<%d@x>" % i for i in range(5000)))
    assert len(many) == 100
    assert many[0] == b"0@x"
    assert many[-1] == b"4999@x"


def test_a_lineage_is_who_a_mail_is_and_whom_it_follows() -> None:
    def key(name: bytes) -> bytes:
        return identifiers.thread_keys(b"", name, (), ())[0]

    assert identifiers.lineage(b"a@x", (b"b@x", b"c@x"), (b"d@x",)) == key(b"a@x") + key(b"b@x") + key(b"c@x")
    assert identifiers.lineage(b'"a"@x', (), (b"d@x", b"e@x")) == key(b"a@x") + key(b"d@x")
    assert identifiers.lineage(b"", (), ()) == bytes(8)
    header = b"In-Reply-To: your mail <d@x> (who@x)\r\nMessage-ID:\r\n <a@x>\r\nReferences: none\r\n\r\n"
    assert identifiers.lineage_of(header) == key(b"a@x") + key(b"d@x")
    assert index(header + b"x").lineage == identifiers.lineage_of(header)
    assert identifiers.lineage_of(b"") == bytes(8)


def test_thread_keys_are_bounded_and_keep_the_root_and_the_nearest() -> None:
    references = tuple(b"%d@x" % i for i in range(100))
    keys = identifiers.thread_keys(b"", b"own@x", references, references[-1:])
    assert len(keys) == 20
    key_of = [identifiers.thread_keys(b"", one, (), ())[0] for one in (b"own@x", b"0@x", b"99@x")]
    assert [keys[0], keys[1], keys[-1]] == key_of
    assert identifiers.thread_keys(b"", b'"own"@x', (), ()) == keys[:1]


def test_fields_of_a_header() -> None:
    octets = b"A: 1\r\nB : 2\r\n 3\r\nno colon\r\nC:\nD: x\r\n\r\nE: body"
    found = [(name, octets[a:b]) for name, a, b in headers.fields(octets, 0, len(octets))]
    assert found == [(b"a", b" 1"), (b"b", b" 2\r\n 3"), (b"c", b""), (b"d", b" x")]
    assert headers.unfold(b" 2\r\n 3") == b"2 3"
    assert headers.first(octets, 0, len(octets), b"b") == b"2 3"
    assert headers.first(octets, 0, len(octets), b"e") is None
    assert headers.header_end(octets, 0, len(octets)) == octets.index(b"E: body")


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", b"\r\n"),
        (b"A: 1", b"A: 1\r\n\r\n"),
        (b"A: 1\r\n", b"A: 1\r\n\r\n"),
        (b"A: 1\r\n\r\n", b"A: 1\r\n\r\n"),
        (b"a : 1\r\n 2\r\nB: 3\r\n\r\nbody", b"a : 1\r\n 2\r\n\r\n"),
        (b"A: 1\nA: 2\n\nbody", b"A: 1\nA: 2\n\r\n"),
    ],
)
def test_header_fields_end_with_an_empty_line(octets: bytes, expected: bytes) -> None:
    assert headers.select(octets, 0, len(octets), frozenset((b"a",))) == expected
