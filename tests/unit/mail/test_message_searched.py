"""What of a mail is searched: decoded, folded, white space as one space, HTML as it is shown."""

import pytest

from a3mailer.mail.message import index
from a3mailer.mail.message.html import html_text
from a3mailer.mail.message.searched import fold, needle, searched, values
from tests.unit.mail.mails import DIGEST, NESTED


def of(octets: bytes) -> tuple[str, str]:
    return searched(octets, index(octets))


MAIL = (
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n aus   K\xc3\xb6ln\r\nX-Empty:\r\nReceived:from a\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nThe QUICK\r\nbrown  fox\r\n"
    b"--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"<html><head><style>p { hidden: 1 }</style></head><p class=3Dnever>caf&eacute; <b>bo</b>ld<br>next"
    b"<!-- secret --></p></html>\r\n--b\r\nContent-Type: image/png\r\n\r\nnot text\r\n--b--\r\n"
)


def test_header_fields_are_lines_that_are_decoded_and_folded() -> None:
    header, _ = of(MAIL)
    assert header.startswith("subject: grüsse aus köln\nx-empty: \nreceived: from a\n")
    assert values(header, "subject") == ["grüsse aus köln"]
    assert values(header, "x-empty") == [""]
    assert values(header, "received") == ["from a"]
    assert values(header, "sub") == values(header, "subject: gr") == []


def test_texts_are_as_they_are_shown() -> None:
    _, body = of(MAIL)
    assert "the quick brown fox" in body
    assert "café bold next" in body
    assert "hidden" not in body
    assert "never" not in body
    assert "secret" not in body
    assert "not text" not in body


def test_a_phrase_never_goes_from_one_part_into_the_next() -> None:
    octets = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n"
    assert needle("one two") not in of(octets)[1]


def test_headers_of_mails_inside_are_part_of_the_body() -> None:
    for octets in (DIGEST, NESTED):
        assert "subject: " in of(octets)[1]


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ("<p>a<p>b", " a b"),
        ("a<b>b</b><i class='x'>c</i>", "abc"),
        ("a < b <3", "a < b <3"),
        ("<script>unclosed text", " unclosed text"),
        ("<SCRIPT>gone</SCRIPT >kept", "kept"),
        ("<!-- unclosed text", "<!-- unclosed text"),
        ("İ<script>x</script>y", "i̇y"),
        ("&lt;b&gt; &nosuch; &#65;", "<b> &nosuch; A"),
    ],
)
def test_html(html: str, shown: str) -> None:
    assert html_text(html) == shown


@pytest.mark.parametrize(
    ("reference", "shown"),
    [
        ("&#" + "1" * 5_000 + ";", "\ufffd"),
        ("&#" + "1" * 5_000, "\ufffd"),
        ("&#x" + "1" * 5_000 + ";", "\ufffd"),
        ("&#" + "0" * 5_000 + "65;", "A"),
        ("&#" + "0" * 5_000 + ";", "\ufffd"),
        ("&#0000065;&#65", "AA"),
        ("&#1114112;", "\ufffd"),
    ],
)
def test_a_character_reference_of_thousands_of_digits_is_no_exception(reference: str, shown: str) -> None:
    mail = f"Content-Type: text/html\r\n\r\n<p>a {reference} b".encode()
    assert searched(mail, index(mail)).body == fold(f" a {shown} b")
