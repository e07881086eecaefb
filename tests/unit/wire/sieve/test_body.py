"""body (RFC 5173): its example, encodings, and what no script sees."""

from __future__ import annotations

import pytest

from tests.unit.wire.sieve.scripts import told, true

EXAMPLE = b"""From: Whomever
To: Someone
Subject: whatever
Content-Type: multipart/mixed; boundary=outer

&  This is a multi-part message in MIME format.
&
--outer
Content-Type: multipart/alternative; boundary=inner

&  This is a nested multi-part message in MIME format.
&
--inner
Content-Type: text/plain; charset="us-ascii"

$  Hello
$
--inner
Content-Type: text/html; charset="us-ascii"

%  <html><body>Hello</body></html>
%
--inner--
&
&  This is the end of the inner MIME multipart.
&
--outer
Content-Type: message/rfc822

!  From: Someone Else
!  Subject: hello request

$  Please say Hello
$
--outer--
&
&  This is the end of the outer MIME multipart.
"""
MARKS = {"multipart": "&", "text/plain": "$", "text/html": "%", "text": "$%", "message/rfc822": "!"}


def _mail(newline: bytes) -> bytes:
    lines = [line[3:] if line[:1] in (b"&", b"$", b"%", b"!") else line for line in EXAMPLE.split(b"\n")]
    return newline.join(lines)


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize("kind", sorted(MARKS))
def test_the_example_line_by_line(kind: str, newline: bytes) -> None:
    """Each marked line is found by the type its mark stands for, and by no other."""
    lines = [line for line in EXAMPLE.decode().split("\n") if line[:1] in ("&", "$", "%", "!")]
    for line in lines:
        if line[3:].strip() and "Hello" not in line.replace("Please say Hello", ""):
            test = f'body :content "{kind}" :contains "{line[3:]}"'
            assert true(test, _mail(newline), '"body"') is (line[0] in MARKS[kind]), (test, line)


@pytest.mark.parametrize(
    ("test", "wanted"),
    [
        ('body :content "text" :contains "Hello"', True),
        ('body :content "text/html" :contains "<body>Hello"', True),
        ('body :text :contains "<body>"', False),
        ('body :contains "hello"', True),
        ('body :raw :contains "--inner"', True),
        ('body :raw :contains "Whomever"', False),
        ('body :content "" :contains "--inner"', False),
        ('body :content "" :contains "end of the outer"', True),
        ('body :content "text/" :contains ""', False),
        ('body :content "/plain" :contains ""', False),
        ('body :content "text/plain/x" :contains ""', False),
        ('body :content "audio" :contains ""', False),
        ('body :content ["audio", "TEXT"] :contains ""', True),
        ('body :content "text/plain" :is "Hello\r\n"', True),
        ('body :content "text/plain" :matches "*hello*"', True),
    ],
)
def test_transforms(test: str, wanted: bool) -> None:
    assert true(test, _mail(b"\r\n"), '"body"') is wanted


ENCODED = (
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    b"Content-Type: text/plain; charset=iso-8859-1\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe =\r\naus K=F6ln\r\n--b\r\n"
    b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"AAFzZWNyZXQ=\r\n--b--\r\n"
)


@pytest.mark.parametrize("kind", ["text/plain/x", "/plain", "text/", "/"])
def test_a_type_that_is_none_matches_nothing(kind: str) -> None:
    """RFC 5173 section 5.2, also where a part says the same."""
    mail = f"Content-Type: {kind}\r\n\r\nHello\r\n".encode()
    assert not true(f'body :content "{kind}" :contains ""', mail, require='"body"')
    assert not true(
        'body :text :contains "Hello"', b"Content-Type: text/plain/x\r\n\r\nHello\r\n", require='"body"'
    )


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
@pytest.mark.parametrize("head", ["A: b\n c\n", ""])
def test_the_header_of_a_message_within_is_without_the_empty_line(newline: str, head: str) -> None:
    text = f"Content-Type: message/rfc822\n\n{head}\nHello\n".replace("\n", newline)
    wanted = head.replace("\n", newline)
    script = f'body :content "message/rfc822" :is "{wanted}"'
    if newline == "\r\n" or not head:
        assert true(script, text.encode(), require='"body"')
    assert not true('body :content "message/rfc822" :contains "Hello"', text.encode(), require='"body"')


def test_encodings_are_undone() -> None:
    assert not true('body :contains "GRÜSSE"', ENCODED, '"body"')
    assert true('body :contains "Grüße aus Köln"', ENCODED, '"body"')
    assert true('body :content "application" :contains "secret"', ENCODED, '"body"')
    assert true('body :raw :contains "Gr=FC=DFe"', ENCODED, '"body"')


def test_a_header_alone_has_no_body() -> None:
    for how in (":raw", ":text", ':content ""'):
        assert not true(f'body {how} :contains ""', b"Subject: x\r\n", '"body"')
        assert not true(f'body {how} :contains ""', b"", '"body"')
    assert true('body :raw :is ""', b"Subject: x\r\n\r\n", '"body"')
    assert true('body :raw :is "x"', b"\r\nx", '"body"')


def test_no_match_variables_are_set() -> None:
    script = """require ["body", "variables", "fileinto"];
        if header :matches "subject" "what*" { }
        if body :raw :matches "*end of*" { fileinto "${1}"; }"""
    assert told(script, _mail(b"\r\n")) == ["fileinto ever"]


def test_of_a_large_body_the_beginning_is_seen() -> None:
    mail = b"Subject: x\r\n\r\n" + b"word " * 400_000 + b"last"
    assert true('body :contains "word word"', mail, '"body"')
    assert not true('body :contains "last"', mail, '"body"')
    assert not true('body :raw :matches "*last"', mail, '"body"')
