"""The base of Sieve (RFC 5228): its own examples, and each rule of sections 2 to 5."""

from __future__ import annotations

import pytest

from a3mailer.wire.sieve.actions import Redirect
from a3mailer.wire.sieve.compile import compile_script
from a3mailer.wire.sieve.errors import ScriptError, UnknownCapability
from a3mailer.wire.sieve.extensions import ALL
from a3mailer.wire.sieve.limits import NESTED_BLOCKS, NESTED_TESTS, SCRIPT, Limits
from a3mailer.wire.sieve.parser import parse
from a3mailer.wire.sieve.syntax import Strings
from tests.unit.wire.sieve.scripts import MAIL_A, MAIL_B, result, told, true

CHAIN = """if header :contains ["From"] ["coyote"] {
    redirect "acm@example.com";
 } elsif header :contains "Subject" "$$$" {
    redirect "postmaster@example.com";
 } else {
    redirect "field@example.com";
 }"""
EXTENDED = """require ["fileinto"];
if header :is "Sender" "owner-ietf-mta-filters@imc.org" { fileinto "filter"; }
elsif address :DOMAIN :is ["From", "To"] "example.com" { keep; }
elsif anyof (NOT address :all :contains ["To", "Cc", "Bcc"] "me@example.com",
             header :matches "subject" ["*make*money*fast*", "*university*dipl*mas*"])
   { fileinto "spam";   # move to "spam" mailbox
   }
else { fileinto "personal"; }
"""


@pytest.mark.parametrize(
    ("mail", "wanted"),
    [
        (MAIL_A, ["redirect acm@example.com"]),
        (MAIL_B, ["redirect postmaster@example.com"]),
        (b"Subject: x\r\n\r\n", ["redirect field@example.com"]),
    ],
)
def test_one_block_of_a_chain_runs(mail: bytes, wanted: list[str]) -> None:
    assert told(CHAIN, mail) == wanted


def test_the_extended_example() -> None:
    assert told(EXTENDED, MAIL_A) == ["fileinto spam"]
    assert told(EXTENDED, MAIL_A.replace(b"acme.example.com", b"example.com")) == ["keep"]
    assert told(EXTENDED, b"To: me@example.com\r\nFrom: x@y\r\nCc: z@w\r\n\r\n") == ["keep"]
    assert told(EXTENDED, b"To: a@b\r\nBcc: me@example.com\r\nSubject: MAKE Money -fast\r\n\r\n") == [
        "fileinto spam"
    ]
    assert told(EXTENDED, b"To: a@b\r\nBcc: me@example.com\r\n\r\n") == ["fileinto personal"]
    assert told(EXTENDED, b"Sender: Owner-IETF-MTA-Filters@imc.org\r\n\r\n") == ["fileinto filter"]


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("", ["implicit keep"]),
        ("stop;", ["implicit keep"]),
        ("if true { stop; } discard;", ["implicit keep"]),
        ("keep;", ["keep"]),
        ("keep; keep;", ["keep"]),
        ("discard;", ["discard"]),
        ("discard; keep;", ["discard", "keep"]),
        ('require "fileinto"; fileinto "a"; fileinto "a"; fileinto "b";', ["fileinto a", "fileinto b"]),
        ('require "fileinto"; fileinto "a"; discard;', ["fileinto a", "discard"]),
        ('redirect "A <a@b.example>"; redirect "a@B.example";', ["redirect a@b.example"]),
        ("if false { discard; }", ["implicit keep"]),
        ("if false { discard; } elsif false { keep; } else { discard; }", ["discard"]),
        ("if true { keep; } elsif true { discard; }", ["keep"]),
        ("if true { } else { discard; }", ["implicit keep"]),
        ("if false { keep; } if true { discard; } else { keep; }", ["discard"]),
        ("if not not true { discard; }", ["discard"]),
        ("if allof (true, not false, anyof (false, true)) { discard; }", ["discard"]),
        ("if anyof (false, allof (true, false), not true) { discard; }", ["implicit keep"]),
        ("if not anyof (allof (true, true), false) { discard; } else { keep; }", ["keep"]),
        ("if anyof (false) { discard; }", ["implicit keep"]),
        ('# only "words"\r\n/* and * / */ keep /* ; */ ; #end', ["keep"]),
    ],
)
def test_what_a_script_does(script: str, wanted: list[str]) -> None:
    assert told(script) == wanted
    if "#" not in script:
        assert told(script.replace(" ", "\r\n\t")) == wanted


@pytest.mark.parametrize(
    ("test", "wanted"),
    [
        ('header "subject" "i HAVE a present FOR you"', True),
        ('header :comparator "i;octet" "subject" "i have a present for you"', False),
        ('header :comparator "i;octet" "Subject" "I have a present for you"', True),
        ('header :contains "subject" "present"', True),
        ('header :contains "subject" ""', True),
        ('header :is "subject" ""', False),
        ('header :contains "x-none" ""', False),
        ('header :matches "x-none" "*"', False),
        ('header :contains ["x-none", "subject"] ["q", "gift", "PRESENT"]', True),
        ('header :contains "Subject:" "present"', False),
        ('header :contains "sub ject" "present"', False),
        ('not header :matches "Cc" "?*"', True),
        ('header :matches "subject" "i*p?esen?*"', True),
        ('header :matches "subject" "i*p?esen?"', False),
        ('header :matches :comparator "i;octet" "subject" "i*"', False),
        ('address "from" "coyote@desert.example.org"', True),
        ('address :localpart "from" "COYOTE"', True),
        ('address :domain "from" "desert.example.org"', True),
        ('address :domain :contains "from" "example"', True),
        ('address :domain :matches ["to", "from"] "*.com"', True),
        ('address :all "subject" "I have a present for you"', False),
        ('exists ["From", "Date"]', True),
        ('exists ["From", "Cc"]', False),
        ('exists "from"', True),
    ],
)
def test_tests_of_the_header(test: str, wanted: bool) -> None:
    assert true(test) is wanted


ADDRESSES = b"""From: "Doe, Jane" (a comment) <jane.doe@Example.org>, other@x.example
To: friends: a@one.example, "b c"@two.example;, undisclosed:;
Cc: not an address
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus =?iso-8859-1?q?K=F6ln?=
X-Folded: one
 two\tthree\x20\x20
X-Empty:\x20
X-Many: 1
x-MANY : 2

"""


@pytest.mark.parametrize(
    ("test", "wanted"),
    [
        ('address :localpart "from" "jane.doe"', True),
        ('address "from" "other@x.example"', True),
        ('address :contains "from" "Jane"', True),
        ('address :contains "from" "comment"', False),
        ('address :contains "from" "Doe,"', False),
        ('address "to" "a@one.example"', True),
        ('address :localpart "to" "b c"', True),
        ('address :contains "to" "friends"', False),
        ('address :domain :contains "cc" ""', False),
        ('address :localpart :contains "cc" ""', False),
        ('header "subject" "Grüße aus Köln"', True),
        ('header :contains "subject" "KÖLN"', False),
        ('header :contains "subject" "?"', False),
        ('header :matches "subject" "Gr??e aus*"', False),
        ('header :matches "subject" "Gr????e aus*"', True),
        ('header "x-folded" "one two\tthree"', True),
        ('header "x-empty" ""', True),
        ('header "x-many" "2"', True),
        ('header "x-many" "3"', False),
    ],
)
def test_values_are_decoded_and_addresses_taken_apart(test: str, wanted: bool) -> None:
    assert true(test, ADDRESSES) is wanted


def test_size() -> None:
    mail = b"Subject: x\r\n\r\n" + b"y" * (4000 - 14)
    assert len(mail) == 4000
    assert not true("size :over 4000", mail)
    assert not true("size :under 4000", mail)
    assert true("size :over 3999", mail)
    assert true("size :under 4001", mail)
    assert true("size :under 4K", mail)
    assert not true("size :over 4k", mail)
    assert true("size :under 1M", mail) and true("size :under 2g", mail)


NULL = {"from": (b"",), "to": (b"a@b.example",)}


def test_size_is_that_of_the_mail_as_it_was_changed() -> None:
    """RFC 5293 section 7: what examines the header sees it as it is by now."""
    size = len(MAIL_A)
    script = f"""require "editheader"; addheader "X-Some" "12345678";
        if allof (size :over {size + 17}, size :under {size + 19}) {{ deleteheader "x-some";
        deleteheader "subject"; if size :under {size} {{ discard; }} }}"""
    assert told(script) == ["discard"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (" a @ b.example ", "a@b.example"),
        ("(c (d) \\\\) e) a.b (x) @b.example(y)", "a.b@b.example"),
        ('\\"a b\\"@b.example', "a b@b.example"),
        ("Al. B (x) < a @b.example > ", "a@b.example"),
        ('\\"B, A\\" <a@[192.0.2.1]>', "a@[192.0.2.1]"),
        ("<a@b.example>", "a@b.example"),
        ("ä@b.example", "ä@b.example"),
    ],
)
def test_addresses_to_send_to(text: str, wanted: str) -> None:
    """RFC 5228 section 2.4.2.3: an addr-spec of RFC 5322 has white space and comments around its atoms."""
    (found,) = (each for each in result(f'redirect "{text}";').actions if isinstance(each, Redirect))
    assert f"{found.address.local_part}@{found.address.domain}" == wanted


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "a", "a@", "@b.example", "a b@b.example", "A B a@b.example", "a@b.example c",
        "a@b.example,c@d.example", "g: a@b.example;", "<@x:a@b.example>", "A@b <a@b.example>",
        "A <a@b.example> x", "A <a@b.example", "<>", "<<a@b.example>>", "a@b..example", "a@b@c.example",
        "(c a@b.example", '\\"a@b.example', "a@b.example\r\nX: y", "a@b.example (", "a@b .example c.d",
        "a . b@c.example", "a@b . example", "a.@b.example", ".a@b.example", "a@.example", "a@b.example.",
        '\\"a\\"b@c.example', "a@b@c", "@", ".@.",
    ],
)  # fmt: skip
def test_what_is_no_address_to_send_to(text: str) -> None:
    with pytest.raises(ScriptError):
        told(f'redirect "{text}";')


def test_the_envelope() -> None:
    need = '"envelope"'
    assert true('envelope "from" "coyote@desert.example.org"', require=need)
    assert true('envelope :domain ["FROM", "to"] "acme.example.com"', require=need)
    assert not true('envelope :localpart "to" "coyote"', require=need)
    for part in ("", ":all", ":localpart", ":domain"):
        assert true(f'envelope {part} "from" ""', require=need, envelope=NULL)
        assert not true(f'envelope {part} "from" ""', require=need)
    assert not true('envelope "from" ""', require=need, envelope={})


def test_relations() -> None:
    need = '"relational", "comparator-i;ascii-numeric"'
    mail = (
        b"received: 1\r\nreceived: 2\r\nsubject: 042 x\r\nto: foo@example.com, baz@example.com\r\n"
        b"cc: qux@example.com\r\nx-word: beta\r\n\r\n"
    )
    numeric = ':comparator "i;ascii-numeric"'
    for test, wanted in (
        (f'address :count "ge" {numeric} ["to", "cc"] ["3"]', True),
        (f'anyof (address :count "ge" {numeric} "to" "3", address :count "ge" {numeric} "cc" "3")', False),
        (f'header :count "ge" {numeric} ["received"] ["3"]', False),
        (f'header :count "ge" {numeric} ["received", "subject"] ["3"]', True),
        (f'header :count "ge" {numeric} ["to", "cc"] ["3"]', False),
        (f'header :count "eq" {numeric} "bcc" "0"', True),
        (f'header :value "lt" {numeric} "subject" "100"', True),
        (f'header :value "eq" {numeric} "subject" "42"', True),
        (f'header :value "gt" {numeric} "x-word" "99999999999999999999999999"', True),
        (f'header :is {numeric} "subject" "0042"', True),
        (f'header :is {numeric} "x-word" "none"', True),
        ('header :value "gt" "x-word" "ALPHA"', True),
        ('header :value "ge" "x-word" "BETA"', True),
        ('header :value "ne" "x-word" ["beta", "gamma"]', True),
        ('header :value "le" :comparator "i;octet" "x-word" "BETA"', False),
    ):
        assert true(test, mail, require=need) is wanted, test
    need = '"envelope", ' + need
    assert true(f'envelope :count "eq" {numeric} "from" "1"', require=need)
    assert true(f'envelope :count "eq" {numeric} "from" "0"', require=need, envelope=NULL)


STRINGS = [
    (r'"a\"b\\c\d"', b'a"b\\cd'),
    ("text:\r\nHello\r\n..dot\r\n.x\r\n\r\n.\r\n", b"Hello\r\n.dot\r\n.x\r\n\r\n"),
    ("text: # why\n..\n.\n", b".\r\n"),
    ("TEXT:\t\n.\n", b""),
    ('"two\nlines"', b"two\r\nlines"),
    ("text:\nat the end\n.", b"at the end\r\n"),
]


@pytest.mark.parametrize(("written", "value"), STRINGS)
def test_strings(written: str, value: bytes) -> None:
    script = b"x " + written.encode()
    with pytest.raises(ScriptError, match="; or"):
        parse(script)
    if not written.endswith("."):
        (node,) = parse(script + b";")
        assert node.arguments == (Strings((value,), False, 2),)


def test_numbers() -> None:
    (node,) = parse(b"x 0 007 1k 1K 2M 3g 9223372036854775807;")
    assert [a[0] for a in node.arguments] == [0, 7, 1024, 1024, 2 << 20, 3 << 30, 2**63 - 1]


BAD = [
    ("keep", 1, 5, "; or {"),
    ("keep keep;", 1, 6, "a semicolon missing"),
    ("bogus;", 1, 1, "there is no bogus"),
    ("keep;\r\n  nonsense;", 2, 3, "there is no nonsense"),
    ("keep;\n/* ü */ bogus;", 2, 9, "there is no bogus"),
    ("keep :frags;", 1, 6, "takes no :frags"),
    ("true;", 1, 1, "is a test"),
    ("if keep {}", 1, 4, "is no test"),
    ("if true;", 1, 1, "wants a block"),
    ("if true keep;", 1, 1, "wants a block"),
    ("if { }", 1, 1, "wants one test"),
    ("if (true) { }", 1, 1, "wants one test"),
    ("if (true, false) { }", 1, 1, "wants one test"),
    ('if "x" true { }', 1, 4, "takes no arguments"),
    ("else { }", 1, 1, "without an if"),
    ("elsif true { }", 1, 1, "without an if"),
    ("if true {} else {} else {}", 1, 20, "without an if"),
    ("if true {} else {} elsif true {}", 1, 20, "without an if"),
    ("if true {} keep; else {}", 1, 18, "without an if"),
    ("if true {} else true {}", 1, 17, "takes no tests"),
    ("keep { }", 1, 1, "takes no block"),
    ("keep true;", 1, 6, "takes no tests"),
    ("if anyof true { }", 1, 4, "in parentheses"),
    ("if allof { }", 1, 4, "without a test"),
    ("if not { }", 1, 4, "without a test"),
    ("if not (true) { }", 1, 4, "wants one test"),
    ("if size 100 { }", 1, 4, "without :over or :under"),
    ("if size :over :under 1 { }", 1, 15, "only one of them"),
    ("if size :over 1 :under 2 { }", 1, 17, "a tag behind"),
    ("if size :over { }", 1, 4, "without its limit"),
    ('if size :over "1" { }', 1, 15, "must be a number"),
    ("if size :over -1 { }", 1, 15, "no part of the language"),
    ('if header :is :contains "a" "b" { }', 1, 15, "only one of them"),
    ('if header :is :is "a" "b" { }', 1, 15, "only one of them"),
    ('if header "a" { }', 1, 4, "without its list of keys"),
    ('if header "a" "b" "c" { }', 1, 19, "no further argument"),
    ('if header "a" 5 { }', 1, 15, "must be a string list"),
    ('if header :comparator "a" { }', 1, 4, "without its list of header names"),
    ('if header :comparator ["i;octet"] "a" "b" { }', 1, 23, "must be a constant string"),
    ('if header :comparator "i;elbonia" "a" "b" { }', 1, 4, "the comparator needs"),
    ('if header :comparator "i;ascii-numeric" "a" "b" { }', 1, 4, "the comparator needs"),
    ('if header :domain "a" "b" { }', 1, 11, "takes no :domain"),
    ('if header :value "gt" "a" "b" { }', 1, 11, 'needs the capability "relational"'),
    ("if exists [] { }", 1, 12, "a string is wanted"),
    ('if exists ["a",] { }', 1, 16, "a string is wanted"),
    ('redirect ["a@b"];', 1, 10, "must be a string"),
    ('redirect "nobody";', 1, 1, "no address"),
    ('redirect "a@b, c@d";', 1, 1, "no address"),
    ('redirect "x: a@b;";', 1, 1, "no address"),
    ('redirect "@r:a@b.example";', 1, 1, "no address"),
    ('redirect "<@r:a@b.example>";', 1, 1, "no address"),
    ('redirect "";', 1, 1, "no address"),
    ('fileinto "a";', 1, 1, 'needs the capability "fileinto"'),
    ('if envelope "from" "a" { }', 1, 4, 'needs the capability "envelope"'),
    ('keep; require "fileinto";', 1, 7, "behind another command"),
    ("require 5;", 1, 1, "list of strings"),
    ("require;", 1, 1, "list of strings"),
    ('require "fileinto"; fileinto "";', 1, 21, "empty or too long"),
    ('require "envelope"; if envelope "bogus" "" {}', 1, 33, "is no part"),
    ('require "relational"; if header :count "xx" "a" "1" {}', 1, 26, "wants gt"),
    ('keep "\0";', 1, 7, "a NUL"),
    ("keep;\r", 1, 6, "CR without LF"),
    ('keep "x;', 1, 6, "does not end"),
    ("/* x", 1, 1, "does not end"),
    ("text: x", 1, 1, "something behind it"),
    ("redirect text:\nx\n", 1, 10, "no line with a single dot"),
    ("if size :over 1000000000000000000000 {}", 1, 15, "a number over"),
    ("if size :over 9223372036854775808 {}", 1, 15, "a number over"),
    ("if size :over 8589934592G {}", 1, 15, "a number over"),
    ("if size :over 1X {}", 1, 15, "something behind it"),
    ("}", 1, 1, "a command"),
    ("if true { keep;", 1, 16, "a command or }"),
    ("keep;;", 1, 6, "a command"),
    ("kéep;", 1, 2, "no part of the language"),
]


@pytest.mark.parametrize(("script", "line", "column", "text"), BAD)
def test_a_bad_script_is_refused_with_its_place(script: str, line: int, column: int, text: str) -> None:
    with pytest.raises(ScriptError) as caught:
        compile_script(script.encode(), ALL)
    assert text in caught.value.text
    assert (caught.value.line, caught.value.column) == (line, column)
    assert not isinstance(caught.value, UnknownCapability)


@pytest.mark.parametrize("name", ["vnd.nobody.has", "FileInto", "", "comparator-i;elbonia"])
def test_an_unknown_capability_is_told_apart(name: str) -> None:
    with pytest.raises(UnknownCapability) as caught:
        compile_script(f'require ["{name}"];'.encode(), ALL)
    assert (caught.value.line, caught.value.column) == (1, 9)


def test_nesting_is_limited() -> None:
    assert told("if true { " * NESTED_BLOCKS + "discard; " + "}" * NESTED_BLOCKS) == ["discard"]
    with pytest.raises(ScriptError, match="blocks nested"):
        told("if true { " * (NESTED_BLOCKS + 1) + "}" * (NESTED_BLOCKS + 1))
    depth = NESTED_TESTS - 1
    assert told("if " + "allof (" * depth + "true" + ")" * depth + " { discard; }") == ["discard"]
    with pytest.raises(ScriptError, match="tests nested"):
        told("if " + "not " * 100_000 + "true { }")
    with pytest.raises(ScriptError, match="blocks nested"):
        told("if true { " * 40_000)


def test_a_script_that_is_too_long_is_refused() -> None:
    told(b"#" + b"x" * (SCRIPT - 1))
    with pytest.raises(ScriptError, match="a script of more than"):
        told(b"#" + b"x" * SCRIPT)


def test_errors_of_the_run_keep_the_mail_and_undo_the_rest() -> None:
    many = "".join(f'redirect "a{n}@b.example"; ' for n in range(5))
    assert told("keep; " + many) == ["error: line 1, column 107: more than 4 of redirect"]
    assert told("keep; " + many, limits=Limits(redirects=5))[0] == "keep"
    files = 'require "fileinto"; ' + "".join(f'fileinto "{n}";\n' for n in range(33))
    assert told(files)[0].endswith("more than 32 actions")


def test_a_trace_tells_each_step() -> None:
    done = result('if anyof (header :contains "subject" "x", true) { keep; }', trace=True)
    assert [(s.line, s.column, s.word, s.result, s.text) for s in done.trace] == [
        (1, 11, "header", False, ':contains "subject" "x"'),
        (1, 43, "true", True, ""),
        (1, 51, "keep", None, ""),
    ]
