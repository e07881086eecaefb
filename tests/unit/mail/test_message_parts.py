"""Parts, texts and fragments of mails as programs write them and as they arrive damaged."""

import json
import random

import pytest

from a3mailer.mail.message import MessageIndex, describe, index, limits, text
from a3mailer.mail.message import octets as mapped_octets
from a3mailer.mail.message.encodings import from_base64, from_quoted_printable
from tests.fragments import check_index, mapped
from tests.unit.mail.mails import CALENDAR, DIGEST, HTML, NESTED, PLAIN, SIGNED, nested_multiparts

# RFC 2046 appendix A
COMPLEX = b"""\
MIME-Version: 1.0
From: Nathaniel Borenstein <nsb@nsb.fv.com>
To: Ned Freed <ned@innosoft.com>
Date: Fri, 07 Oct 1994 16:15:05 -0700 (PDT)
Subject: A multipart example
Content-Type: multipart/mixed;
              boundary=unique-boundary-1

This is the preamble area of a multipart message.
Mail readers that understand multipart format
should ignore this preamble.

--unique-boundary-1

  ... Some text appears here ...

--unique-boundary-1
Content-type: text/plain; charset=US-ASCII

This could have been part of the previous part, but
illustrates explicit versus implicit typing of body
parts.

--unique-boundary-1
Content-Type: multipart/parallel; boundary=unique-boundary-2

--unique-boundary-2
Content-Type: audio/basic
Content-Transfer-Encoding: base64

  ... base64-encoded 8000 Hz single-channel
      mu-law-format audio data goes here ...

--unique-boundary-2
Content-Type: image/jpeg
Content-Transfer-Encoding: base64

  ... base64-encoded image data goes here ...

--unique-boundary-2--

--unique-boundary-1
Content-type: text/enriched

This is <bold><italic>enriched.</italic></bold>
<smaller>as defined elsewhere</smaller>

Isn't it
<bigger><bigger>cool?</bigger></bigger>

--unique-boundary-1
Content-Type: message/rfc822

From: (mailbox in US-ASCII)
To: (address in US-ASCII)
Subject: (subject in US-ASCII)
Content-Type: Text/plain; charset=ISO-8859-1
Content-Transfer-Encoding: Quoted-printable

  ... Additional text in ISO-8859-1 goes here ...

--unique-boundary-1--
""".replace(b"\n", b"\r\n")


def tree(found: MessageIndex) -> list[tuple[str, str]]:
    return [(".".join(map(str, part.number)), part.media.decode()) for part in found.parts]


def test_the_complex_multipart_of_rfc_2046() -> None:
    found = check_index(COMPLEX)
    assert tree(found) == [
        ("", "multipart/mixed"),
        ("1", "text/plain"),
        ("2", "text/plain"),
        ("3", "multipart/parallel"),
        ("3.1", "audio/basic"),
        ("3.2", "image/jpeg"),
        ("4", "text/enriched"),
        ("5", "message/rfc822"),
        ("5.1", "text/plain"),
    ]
    assert found.preview == "... Some text appears here ..."
    assert found.date == 781571705
    assert found.section((5,), "HEADER") is not None
    inner = found.parts[8]
    assert (inner.encoding, inner.charset) == (b"quoted-printable", b"iso-8859-1")
    assert found.header_fields(COMPLEX, frozenset((b"subject",)), number=(5,)) == (
        b"Subject: (subject in US-ASCII)\r\n\r\n"
    )


def test_the_parts_of_a_digest_are_messages() -> None:
    found = check_index(DIGEST)
    assert tree(found) == [
        ("", "multipart/digest"),
        ("1", "message/rfc822"),
        ("1.1", "text/plain"),
        ("2", "message/rfc822"),
        ("2.1", "text/plain"),
    ]
    assert text.decoded_text(DIGEST, found.parts[4]) == "\u30c6\u30b9\u30c8"
    assert b'"first" ((NIL NIL "one" "example.com"))' in found.bodystructure


def test_a_message_in_a_message_in_a_message() -> None:
    wrapped = b"Subject: innermost\r\n\r\ntext"
    for _ in range(3):
        wrapped = b"Subject: outer\r\nContent-Type: message/rfc822\r\n\r\n" + wrapped
    found = check_index(wrapped)
    assert [part.number for part in found.parts] == [(), (1, 1), (1, 1, 1), (1, 1, 1, 1)]
    assert found.section((1,), "HEADER") == (found.parts[1].start, found.parts[1].body)
    start, end = found.section((1, 1, 1, 1), "") or (0, 0)
    assert wrapped[start:end] == b"text"
    start, end = found.section((1, 1, 1), "HEADER") or (0, 0)
    assert wrapped[start:end] == b"Subject: innermost\r\n\r\n"


def test_the_parts_of_a_signed_mail() -> None:
    found = check_index(SIGNED)
    assert tree(found) == [
        ("", "multipart/signed"),
        ("1", "multipart/mixed"),
        ("1.1", "text/plain"),
        ("1.2", "application/pdf"),
        ("2", "application/pgp-signature"),
    ]
    report = found.parts[3]
    assert (report.filename, report.disposition) == ("na\u00efve-report.pdf", b"attachment")
    assert text.decoded_text(SIGNED, found.parts[2]) == "Hello world"
    assert found.has_attachment
    assert found.preview == "Hello world"
    assert b'("attachment" ("filename*" "utf-8\'\'na%C3%AFve-report.pdf" "size" "3"))' in found.bodystructure
    assert b'NIL "the report" "base64" 4 "Q2hlY2sgSW50ZWdyaXR5IQ=="' in found.bodystructure
    assert found.bodystructure.endswith(
        b'"signed" ("boundary" "sig" "protocol" "application/pgp-signature" "micalg" "pgp-sha256") '
        b'NIL ("en" "fr") NIL)'
    )
    assert b'((NIL NIL "b" "example.com")) ((NIL NIL "c" "example.com")(NIL NIL "d" "example.com"))' in (
        found.envelope
    )


@pytest.mark.parametrize(
    ("mail", "expected"),
    [(PLAIN, False), (HTML, False), (SIGNED, True), (NESTED, True), (CALENDAR, False)],
)
def test_what_a_user_can_save(mail: bytes, expected: bool) -> None:
    assert index(mail).has_attachment is expected


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        (PLAIN, "Just a few words."),
        (HTML, "Un caf\u00e9 & deux \u20ac"),
        (CALENDAR, "BEGIN:VCALENDAR END:VCALENDAR"),
        (b"Subject: none\r\n\r\n", ""),
        (b"Content-Type: image/png\r\n\r\nx", ""),
        (b"\r\n" + b"word " * 100, ("word " * 40).rstrip()),
        (b"\r\n" + b"\r\n" * 3000 + b"late", "late"),
        (b"Content-Type: text/html\r\n\r\na<b>b</b>c<br>d<p>e</p>f", "abc d e f"),
        (
            b"Content-Type: text/html\r\n\r\n"
            b"1 < 2 &lt;p&gt; &amp;amp; &unknown; &#x20AC;&#0;&#xD800;&#9999999999;",
            "1 < 2 <p> &amp; &unknown; \u20ac\ufffd\ufffd&#9999999999;",
        ),
        (
            b"Content-Type: text/html\r\n\r\n"
            b"<style>p{}</style>a<script>x<y</script>b<!-- c <d> -->e<!-- open",
            "a be",
        ),
        (b"Content-Type: text/html\r\n\r\n<html><head><title>T</title></head><BODY class=x>b</BODY>", "b"),
        (b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPHA+aGk8L3A+", "hi"),
        (b"Content-Type: text/html\r\n\r\n<style>" + b"x{}" * 20000 + b"</style>far", ""),
        (
            b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n \r\n--b\r\n"
            b"Content-Type: text/html\r\n\r\n<i>second</i>\r\n--b--\r\n",
            "second",
        ),
        (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
            b"--b\r\nContent-Disposition: attachment\r\n\r\nno\r\n"
            b"--b\r\n\r\nyes\r\n--b--\r\n",
            "yes",
        ),
    ],
)
def test_previews(mail: bytes, expected: str) -> None:
    assert index(mail).preview == expected


@pytest.mark.parametrize(
    ("header", "body", "expected"),
    [
        # a multipart without boundary or without a delimiter line is readable as its one part
        (b"multipart/mixed", b"some text", [("", "multipart/mixed"), ("1", "text/plain")]),
        (b"multipart/mixed; boundary=b", b"some text", [("", "multipart/mixed"), ("1", "text/plain")]),
        (b"multipart/mixed; boundary=b", b"--b--\r\n", [("", "multipart/mixed"), ("1", "text/plain")]),
        (b"multipart/mixed; boundary=b", b"--b", [("", "multipart/mixed"), ("1", "text/plain")]),
        (b"multipart/mixed; boundary=b", b"--b\r\n", [("", "multipart/mixed"), ("1", "text/plain")]),
        # boundaries that begin alike
        (
            b"multipart/mixed; boundary=b",
            b"--bb\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--",
            [("", "multipart/mixed"), ("1", "text/plain")],
        ),
        # white space after a delimiter, text after the last
        (
            b"multipart/mixed; boundary=b",
            b"--b \t\r\n\r\nx\r\n--b-- \r\n--b\r\n\r\nepilogue",
            [("", "multipart/mixed"), ("1", "text/plain")],
        ),
        (
            b'multipart/mixed; boundary="b "',
            b"--b\r\n\r\nx\r\n--b--",
            [("", "multipart/mixed"), ("1", "text/plain")],
        ),
        # no media type, a wrong one, none for a message
        (b"text", b"x", [("", "text/plain")]),
        (b"", b"x", [("", "text/plain")]),
        (b"message/rfc822", b"", [("", "message/rfc822"), ("1.1", "text/plain")]),
        (b"message/delivery-status", b"A: b\r\n\r\nC: d", [("", "message/delivery-status")]),
        # an inner multipart that is not closed ends with the outer one
        (
            b"multipart/mixed; boundary=o",
            b"--o\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\nx\r\n--o\r\n\r\ny\r\n--o--",
            [("", "multipart/mixed"), ("1", "multipart/mixed"), ("1.1", "text/plain"), ("2", "text/plain")],
        ),
    ],
)
def test_damaged_structures(header: bytes, body: bytes, expected: list[tuple[str, str]]) -> None:
    found = check_index(b"Content-Type: " + header + b"\r\n\r\n" + body)
    assert tree(found) == expected


def test_the_first_of_two_fields_counts_and_recipients_are_joined() -> None:
    mail = b"Subject: one\r\nTo: a@b\r\nsubject : two\r\nTO:c@d\r\nFrom: x@y\r\nFrom: z@w\r\n\r\n"
    found = check_index(mail)
    assert found.subject == "one"
    assert [address.addr_spec for address in found.to] == ["a@b", "c@d"]
    assert [address.addr_spec for address in found.from_] == ["x@y"]


def test_strings_that_no_quoted_string_may_hold_are_literals() -> None:
    mail = b"Subject: caf\xc3\xa9\r\nFrom: \xff <a@b>\r\nMessage-ID: a\0b\rc\r\nDate:\r\n\r\n"
    found = check_index(mail)
    assert found.envelope == (
        b'("" {5}\r\ncaf\xc3\xa9 (({1}\r\n\xff NIL "a" "b")) (({1}\r\n\xff NIL "a" "b")) '
        b'(({1}\r\n\xff NIL "a" "b")) NIL NIL NIL NIL "a b c")'
    )
    long = check_index(b"Subject: " + b"x" * 5000 + b"\r\n\r\n")
    assert long.envelope.startswith(b"(NIL {5000}\r\nxxx")


def test_base64_as_it_arrives() -> None:
    assert from_base64(b"SGVsbG8=") == b"Hello"
    assert from_base64(b"SGVs\r\nbG8") == b"Hello"
    assert from_base64(b"SG!Vs.bG8==") == b"Hello"
    assert from_base64(b"SGVsbG8=SGVsbG8=") == b"HelloHello"
    assert from_base64(b"S") == b""
    assert from_base64(b"====") == b""
    assert from_base64(b"") == b""
    assert from_quoted_printable(b"a=3Db=\r\nc=ZZ=") == b"a=bc=ZZ"


def test_a_mapped_file_is_searched_across_its_windows() -> None:
    window = mapped_octets.WINDOW
    octets = bytearray(b"x" * (2 * window + 100))
    for at in (window - 2, window, 2 * window - 1):
        octets[at : at + 5] = b"apple"
    file = mapped(bytes(octets))
    find, plain = mapped_octets.finder(file), bytes(octets)
    for start in (0, window - 3, window - 2, window - 1, window, 2 * window - 2, 2 * window):
        for end in (window + 2, window + 3, 2 * window + 3, 2 * window + 4, len(plain)):
            assert find(b"apple", start, end) == plain.find(b"apple", start, end)
    assert mapped_octets.count(file, b"p", 1, len(plain)) == plain.count(b"p", 1)
    file.close()


def test_a_large_mapped_mail(rng: random.Random) -> None:
    filler = rng.randbytes(3 * mapped_octets.WINDOW).replace(b"\n", b"x")
    mail = (
        b"Subject: large\r\nContent-Type: multipart/mixed; boundary=edge\r\n\r\n--edge\r\n\r\n"
        + filler
        + b"\r\n--edge\r\nContent-Type: message/rfc822\r\n\r\n"
        + NESTED
        + b"\r\n--edge--\r\n"
    )
    file = mapped(mail)
    assert index(file) == index(mail)
    assert len(index(file).parts) == 11
    file.close()


@pytest.mark.parametrize("levels", [1, 2, 3, 4, 5, 20, 50])
def test_deep_multiparts(levels: int) -> None:
    mail = nested_multiparts(levels)
    found = check_index(mail)
    assert len(found.parts) == 3 * levels + 1
    assert found.truncated == ()
    for level in range(levels):
        prefix = (2,) * level
        for number, expected in ((1, b"before %d\r\n-- \r\nsigned"), (3, b"after %d")):
            start, end = found.section((*prefix, number), "") or (0, 0)
            assert mail[start:end] == expected % (level + 1)
    start, end = found.section((2,) * levels, "") or (0, 0)
    assert mail[start:end] == b"<p>innermost</p>"
    file = mapped(mail)
    assert index(file) == found
    file.close()


@pytest.mark.parametrize("mail", [NESTED, HTML, SIGNED, b"", b"\xff\0"])
def test_a_description_is_plain(mail: bytes) -> None:
    found = index(mail)
    described = describe.describe(found, mail)
    assert json.loads(json.dumps(described, ensure_ascii=False).encode()) == described
    assert described["size"] == len(mail)
    assert len(described["parts"]) == len(found.parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("character", ["é", "好", "😀"])
@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("kind", ["plain", "html"])
def test_a_look_that_cuts_a_character_does_not_change_the_charset(
    character: str, shift: int, kind: str
) -> None:
    """A UTF-8 body without a charset became windows-1252 when the first look ended inside a character."""
    words = "a" * shift + character * 4000
    head = f"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/{kind}\r\n\r\n"
    preview = index((head + words + "\r\n").encode()).preview
    assert preview == words[: limits.PREVIEW]
