"""Parts of mails (RFC 5703): loops over them, their headers, their texts, and others in their place."""

import pytest

from a3mailer.mail.message import index
from a3mailer.wire.sieve.actions import FileInto, Keep, Redirect
from a3mailer.wire.sieve.compile import compile_script
from a3mailer.wire.sieve.errors import ScriptError
from a3mailer.wire.sieve.extensions import ALL
from a3mailer.wire.sieve.limits import Limits
from tests.unit.wire.sieve.scripts import result, told

NEED = (
    'require ["foreverypart", "mime", "extracttext", "replace", "enclose", "variables", "fileinto", "copy", '
    '"relational", "comparator-i;ascii-numeric", "editheader", "include"];\n'
)
MAIL = b"""Received: from a; date
From: alice@a.example
To: bob@b.example
Subject: parts
Date: Tue, 1 Apr 1997 09:06:31 -0800
Message-ID: <1@a.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="outer"

prologue
--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe
--inner
Content-Type: text/html

<p>Hello</p>
--inner--
--outer
Content-Type: application/x-dosexec; name="tool.exe"
Content-Disposition: attachment; filename*=utf-8''t%C3%B6ol.exe
X-Part: to@part.example

MZ
--outer
Content-Type: message/rfc822

Subject: within
From: carol@c.example

inside
--outer--
epilogue
""".replace(b"\n", b"\r\n")
PLACE = {"host": b"mail.b.example", "vnd.a3.owner": b"bob@b.example"}
SIMPLE = b"From: a@b.example\r\nSubject: plain\r\nContent-Type: text/html\r\n\r\n<p>Text</p>\r\n"


def said(script: str, mail: bytes = MAIL, **more: object) -> list[str]:
    return told(NEED + script, mail, **more)


def kept(script: str, mail: bytes = MAIL) -> bytes:
    """The mail as it is kept."""
    done = result(NEED + script, mail, now=(0, 0), environment=PLACE)
    assert done.error is None, done.error
    (action,) = done.actions
    assert isinstance(action, Keep | FileInto | Redirect) and action.octets is not None
    return action.octets


def test_a_loop_is_at_every_part_once_each_before_what_is_in_it() -> None:
    script = (
        'foreverypart { if header :mime :contenttype :matches "Content-Type" "*" { set "all" "${all} ${1}"; }'
        ' else { set "all" "${all} none"; } } fileinto "${all}";'
    )
    assert said(script) == [
        "fileinto  multipart/mixed multipart/alternative text/plain text/html application/x-dosexec"
        " message/rfc822 none"
    ]
    assert said(script, SIMPLE) == ["fileinto  text/html"]


def test_a_loop_within_a_loop_is_over_what_is_in_the_part() -> None:
    script = (
        'foreverypart { if header :mime :type "Content-Type" "multipart" { set "all" "${all}(";'
        ' foreverypart { if header :mime :subtype :matches "Content-Type" "*" { set "all" "${all} ${1}"; } }'
        ' set "all" "${all})"; } } fileinto "${all}";'
    )
    assert said(script) == ["fileinto ( alternative plain html x-dosexec rfc822)( plain html)"]


@pytest.mark.parametrize(
    ("leave", "left"),
    [
        ("break", "fileinto oii"),
        ('break :name "inner"', "fileinto oii"),
        ('break :name "outer"', "fileinto oi"),
    ],
)
def test_break(leave: str, left: str) -> None:
    script = (
        'foreverypart :name "outer" { if header :mime :type "Content-Type" "multipart" {'
        ' if string "${all}" "" { set "all" "o"; }'
        ' foreverypart :name "inner" { set "all" "${all}i"; %s; } } }'
        ' fileinto "${all}";'
    )
    assert said(script % leave) == [left]


@pytest.mark.parametrize(
    "script",
    [
        "break;",
        'foreverypart :name "a" { break :name "b"; }',
        "foreverypart { keep; } break;",
        "foreverypart;",
        'foreverypart "x" { keep; }',
        'if header :type "Content-Type" "text" { keep; }',
        'if header :anychild "x" "y" { keep; }',
        'if header :mime :type :subtype "Content-Type" "text" { keep; }',
        'replace :from "nobody" "x";',
        'extracttext "x";',
        'foreverypart { extracttext "1x"; }',
        'replace :mime :subject "s" "Content-Type: text/plain\r\n\r\nx";',
        'replace :from "a@b.example, nobody" "x";',
        'foreverypart { extracttext :first "x"; }',
    ],
)
def test_what_is_no_script(script: str) -> None:
    with pytest.raises(ScriptError):
        compile_script((NEED + script).encode(), ALL)


def test_words_need_their_capabilities() -> None:
    for script in (
        'require "variables"; foreverypart { keep; }',
        'require "foreverypart"; if header :mime "subject" "x" { keep; }',
        'require ["foreverypart", "extracttext"]; foreverypart { extracttext "x"; }',
    ):
        with pytest.raises(ScriptError, match=r"needs the capability|takes no"):
            compile_script(script.encode(), ALL)


@pytest.mark.parametrize(
    ("test", "found"),
    [
        ('header :mime :anychild :param "filename" "Content-Disposition" "t\u00f6ol.exe"', True),
        ('header :mime :anychild :param ["charset", "name"] "Content-Type" "tool.exe"', True),
        ('header :mime :anychild :contenttype "Content-Type" "text/html"', True),
        ('header :mime :contenttype "Content-Type" "text/html"', False),
        ('header :mime :contenttype "Content-Type" "multipart/mixed"', True),
        ('header :mime :anychild :type "Content-Disposition" "attachment"', True),
        ('header :mime :anychild :subtype "Content-Disposition" ""', True),
        ('header :mime :anychild "Subject" "within"', True),
        ('header :mime "Subject" "within"', False),
        ('header "Subject" "parts"', True),
        ('address :mime :anychild :domain "X-Part" "part.example"', True),
        ('address :mime "X-Part" "to@part.example"', False),
        ('exists :mime :anychild "X-Part"', True),
        ('exists :mime "X-Part"', False),
        ('header :mime :anychild :count "ge" :comparator "i;ascii-numeric" "Content-Type" "6"', True),
    ],
)
def test_headers_of_parts(test: str, found: bool) -> None:
    assert said(f"if {test} {{ discard; }}") == (["discard"] if found else ["implicit keep"])


def test_in_a_loop_mime_means_the_part() -> None:
    script = (
        'foreverypart { if allof (header :mime :param "filename" :matches "Content-Disposition" "*.exe",'
        ' header "Subject" "parts", not exists :mime "Subject") { fileinto "bad"; break; } }'
    )
    assert said(script) == ["fileinto bad"]


def test_extracttext() -> None:
    script = (
        'foreverypart { if header :mime :contenttype "Content-Type" "text/plain"'
        ' { extracttext :upper :first 3 "x"; break; } } fileinto "${x}";'
    )
    assert said(script) == ["fileinto GR\u00fc"]
    script = 'foreverypart { extracttext "x"; if string :contains "${x}" "hello" { fileinto "y"; break; } }'
    assert said(script) == ["fileinto y"]


def test_a_part_is_replaced() -> None:
    octets = kept(
        'foreverypart { if header :mime :subtype "Content-Type" "x-dosexec"'
        ' { replace "It was removed, \u00fc."; } }'
    )
    parts = index(octets).parts
    assert [part.media for part in parts][:6] == [
        b"multipart/mixed",
        b"multipart/alternative",
        b"text/plain",
        b"text/html",
        b"text/plain",
        b"message/rfc822",
    ]
    assert b"MZ" not in octets and b"removed" in octets and b"filename" not in octets
    head, _, tail = MAIL.partition(b"Content-Type: application")
    assert octets.startswith(head) and octets.endswith(tail.partition(b"MZ")[2])


def test_what_is_in_a_part_goes_with_it() -> None:
    octets = kept(
        'foreverypart { if header :mime :type "Content-Type" "multipart"'
        ' { if header :mime :subtype "Content-Type" "alternative"'
        ' { replace :mime "Content-Type: text/plain\r\n\r\none\r\n"; } }'
        ' elsif header :mime :type "Content-Type" "text" { replace "other"; } }'
    )
    assert b"other" not in octets and b"\r\n\r\none\r\n--outer\r\n" in octets


def test_the_whole_mail_is_replaced() -> None:
    octets = kept('replace :subject "Gr\u00fc\u00dfe" :from "carol@c.example" "All of it is gone.";')
    fields = octets.partition(b"\r\n\r\n")[0]
    for line in (
        b"Received: from a; date",
        b"To: bob@b.example",
        b"Original-Subject: parts",
        b"Original-From: alice@a.example",
        b"From: carol@c.example",
        b"Subject: =?utf-8?b?R3LDvMOfZQ==?=",
        b"Content-Type: text/plain; charset=us-ascii",
    ):
        assert line in fields.split(b"\r\n"), line
    assert fields.lower().count(b"content-type:") == 1 and octets.endswith(b"\r\n\r\nAll of it is gone.\r\n")
    octets = kept('foreverypart { replace "gone"; break; }', SIMPLE)
    assert octets.startswith(b"From: a@b.example\r\nSubject: plain\r\nMIME-Version: 1.0\r\n")


@pytest.mark.parametrize("entity", ["no header", "Subject: x\r\n\r\nx", "Content-Type: ä\r\n\r\nx", "\r\nx"])
def test_what_is_no_entity(entity: str) -> None:
    assert said(f'replace :mime "{entity}";')[0].startswith("error: line 2"), entity


def test_a_mail_is_enclosed() -> None:
    octets = kept('addheader "X-Seen" "1"; enclose :subject "[check] parts" "Look at this.";')
    fields, _, body = octets.partition(b"\r\n\r\n")
    lines = fields.split(b"\r\n")
    for line in (
        b"Received: from a; date",
        b"From: bob@b.example",
        b"Subject: [check] parts",
        b"Date: Thu, 01 Jan 1970 00:00:00 +0000",
    ):
        assert line in lines, line
    assert b"<1@a.example>" not in fields and b"@mail.b.example>" in fields
    parts = index(octets).parts
    assert [part.media for part in parts][:4] == [
        b"multipart/mixed",
        b"text/plain",
        b"message/rfc822",
        b"multipart/mixed",
    ]
    assert b"Look at this." in body and octets[parts[2].body : parts[2].end] == b"X-Seen: 1\r\n" + MAIL
    assert kept('enclose "x";') == kept('enclose "x";'), "the same mail, the same octets"
    chosen = kept('enclose :headers ["date", "message-id"] "x";').partition(b"\r\n\r\n")[0]
    assert b"<1@a.example>" in chosen and b"Date: Tue, 1 Apr 1997" in chosen and b"Subject: parts" in chosen
    assert chosen.count(b"From:") == 1 and b"To:" not in chosen, "else they are new (RFC 5703 section 6)"
    chosen = kept('enclose :subject "why" :headers ["From", "to", "subject"] "x";').partition(b"\r\n\r\n")[0]
    assert b"From: alice@a.example\r\nTo: bob@b.example" in chosen and chosen.count(b"Subject:") == 1


def test_what_is_replaced_is_enclosed_and_tests_see_it() -> None:
    """RFC 5703 sections 5 and 6."""
    octets = kept('replace "gone"; enclose "why"; if header "subject" "parts" { fileinto "x"; } ')
    assert b"gone" in octets and b"why" in octets and b"MZ" not in octets
    count = 'foreverypart { set "n" "${n}i"; } fileinto "${n}";'
    assert said(f'replace "gone"; {count}') == ["fileinto i"]
    assert said(f'enclose "why"; {count}') == ["fileinto " + "i" * 10]
    assert said(f'foreverypart {{ enclose "why"; break; }} {count}') == ["fileinto " + "i" * 10]
    see = 'if header "subject" "{}" {{ discard; }}'
    assert said('enclose :subject "new" "why"; ' + see.format("new")) == ["discard"]
    assert said('replace :subject "new" "x"; ' + see.format("new")) == ["discard"]
    assert said('enclose "why"; if header :mime :subtype "content-type" "mixed" { discard; }') == ["discard"]
    twice = kept('enclose :subject "1" "a"; addheader "X" "y"; enclose :subject "2" "b";')
    assert [part.media for part in index(twice).parts].count(b"message/rfc822") == 3
    assert twice.index(b"Subject: 2") < twice.index(b"X: y") < twice.index(b"Subject: 1")


def test_a_loop_is_not_at_what_was_replaced() -> None:
    script = (
        'foreverypart { if header :mime :contenttype :matches "content-type" "*" { set "all" "${all} ${1}"; }'
        ' if header :mime :subtype "content-type" "alternative" { replace "gone";'
        ' foreverypart { set "all" "${all} never"; } } }'
        ' foreverypart { set "n" "${n}i"; } fileinto "${all} ${n}";'
    )
    assert said(script) == [
        "fileinto  multipart/mixed multipart/alternative application/x-dosexec message/rfc822 iiiii"
    ]


def test_a_redirect_is_not_of_the_enclosing_mail() -> None:
    """RFC 5703 section 6."""
    done = result(NEED + 'enclose "why"; redirect :copy "x@y.example";', MAIL, environment=PLACE)
    redirect, keep = done.actions
    assert isinstance(redirect, Redirect) and redirect.octets is None and redirect.header is None
    assert isinstance(keep, Keep) and keep.octets is not None and b"why" in keep.octets
    script = 'addheader "X" "y"; enclose "why"; addheader "Z" "z"; redirect :copy "x@y.example";'
    redirect, keep = result(NEED + script, MAIL, environment=PLACE).actions
    assert isinstance(redirect, Redirect) and redirect.octets == b"X: y\r\n" + MAIL
    assert isinstance(keep, Keep) and keep.octets is not None and keep.octets.startswith(b"Z: z\r\n")


def test_what_the_author_said_stays() -> None:
    """RFC 5703 section 5: neither removed nor made by scripts."""
    octets = kept(
        'replace :subject "new" :from "Carol <carol@c.example>, d@c.example" "x";'
        'deleteheader "original-subject"; deleteheader "Original-From";'
        'addheader "Original-Subject" "forged";'
    )
    assert (
        octets.count(b"Original-Subject: parts\r\n")
        == octets.count(b"Original-From: alice@a.example\r\n")
        == 1
    )
    assert b"forged" not in octets and b"From: Carol <carol@c.example>, d@c.example\r\n" in octets


@pytest.mark.parametrize(
    ("test", "found"),
    [
        ('header :mime :type "Subject" ""', True),
        ('header :mime :type "Subject" "parts"', False),
        ('header :mime :anychild :contenttype "Content-Disposition" "attachment"', True),
        ('header :mime :anychild :count "eq" :type :comparator "i;ascii-numeric"'
         ' ["Subject", "Content-Type"] "6"', True),
    ],
)  # fmt: skip
def test_pieces_of_fields_that_have_none(test: str, found: bool) -> None:
    """RFC 5703 section 4.1: a blank string, and :count counts what was parsed."""
    assert said(f"if {test} {{ discard; }}") == (["discard"] if found else ["implicit keep"])


def test_how_many_mails_are_enclosed() -> None:
    assert said('enclose "a"; ' * 5)[0].endswith("more than 4 of enclose")


def test_what_was_filed_before_is_as_it_was() -> None:
    done = result(
        NEED + 'fileinto :copy "before"; replace "gone"; fileinto "after"; redirect "x@y.example";', MAIL
    )
    before, after, redirect = done.actions
    assert isinstance(before, FileInto) and before.octets is None
    assert isinstance(after, FileInto) and isinstance(redirect, Redirect)
    assert after.octets is redirect.octets is not None


def test_an_included_script_is_in_no_loop() -> None:
    inner = compile_script((NEED + 'foreverypart { set "global.n" "${global.n}i"; }').encode(), ALL)
    script = (
        'foreverypart { include "x"; if header :mime :type "Content-Type" "text" { break; } }'
        ' fileinto "${global.n}";'
    )
    assert said(script, scripts=lambda where, name: inner) == ["fileinto " + "i" * 21]


def test_loops_have_a_budget() -> None:
    head, _, rest = MAIL.partition(b"--outer\r\n")
    many = head + b"--outer\r\n\r\nx\r\n" * 500 + b"--outer\r\n" + rest
    script = "foreverypart { " * 4 + "keep;" + "}" * 4
    few = Limits(steps=20_000)
    (over,) = said(script, many, limits=few)
    assert over.startswith("error: line 2") and over.endswith("more than 20000 steps")
    assert said("foreverypart { discard; }", many, limits=few) == ["discard"]
