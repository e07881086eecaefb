"""The text of PDF attachments, whatever they are."""

import base64

import pytest

from a3mailer.mail.message import index
from a3mailer.ops import extract
from tests.pdf import pdf


def mailed(content: bytes, media: str = "application/pdf", name: str = "a.pdf") -> bytes:
    return (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\n"
        b"Content-Type: %b\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: attachment; filename=%b\r\n\r\n%b--b--\r\n"
        % (media.encode(), name.encode(), base64.encodebytes(content))
    )


@pytest.mark.parametrize(
    ("media", "name"), [("application/pdf", "x"), ("application/octet-stream", "Report.PDF")]
)
def test_the_text_of_a_pdf_is_found(media: str, name: str) -> None:
    octets = mailed(pdf("Quarterly figures"), media, name)
    (found,) = extract.extract(octets, index(octets)).items()
    assert found[0] == 2
    assert "Quarterly figures" in found[1]


@pytest.mark.parametrize(
    "content",
    [
        b"%PDF-1.4\n",
        b"%PDF-" + b"\xff" * 1000,
        pdf("x")[:200],
        pdf("x").replace(b"/Type /Page ", b"/Type /Pags "),
        pdf("x").replace(b"/Kids [3 0 R]", b"/Kids [2 0 R]"),  # a tree that holds itself
        b"not a PDF",
    ],
)
def test_what_is_none_has_none(content: bytes) -> None:
    octets = mailed(content)
    assert not any("hello" in text for text in extract.extract(octets, index(octets)).values())


def test_large_ones_and_many_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = mailed(pdf("word"))
    monkeypatch.setattr(extract, "OCTETS", 100)
    assert extract.extract(octets, index(octets)) == {}
    monkeypatch.undo()
    monkeypatch.setattr(extract, "ATTACHMENTS", 0)
    assert extract.extract(octets, index(octets)) == {}
