"""Notifications of what became of a mail at its reader's: asked for, written, read again."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.mail.message import index
from a3mailer.wire.dsn.asked import asked
from a3mailer.wire.dsn.disposed import Disposed, disposed
from a3mailer.wire.dsn.disposition import LINE, Disposition, entity

ORIGINAL = b"From: carol@b.test\r\nSubject: hello\r\n\r\nPlease.\r\n"
MODE = "manual-action/MDN-sent-manually"


def read(octets: bytes) -> Disposed:
    found = disposed(octets, index(octets))
    assert found is not None
    return found


def written(text: str = "Seen.", *, whole: bool = False, **fields: object) -> bytes:
    made = replace(Disposition("", "a@b", "displayed", MODE), **fields)  # type: ignore[arg-type]
    return b"From: a@b\r\nMIME-Version: 1.0\r\n" + entity(made, text, ORIGINAL, "mark", whole=whole)


def test_what_is_written_is_read() -> None:
    octets = written(
        reporting_ua="joes-pc; Foomail",
        original_recipient="rfc822;o@b",
        original_message_id="<x@b>",
        extensions=(("X-Note", "yes"), ("X-Other", "a\r\nDisposition: b")),
    )
    found = read(octets)
    assert (found.action_mode, found.sending_mode, found.type) == (
        "manual-action",
        "mdn-sent-manually",
        "displayed",
    )
    assert (found.reporting_ua, found.original_recipient) == ("joes-pc; Foomail", "rfc822;o@b")
    assert (found.final_recipient, found.original_message_id) == ("rfc822; a@b", "<x@b>")
    assert [name for name, _ in found.extensions] == ["X-Note", "X-Other"]
    assert found.text == "Seen." and not found.has_original
    assert b"Reporting-UA" not in written()


@pytest.mark.parametrize("text", ["a" * (LINE + 1), "\0", "grün " * 300, "line\n" * 3, ""])
def test_no_text_breaks_the_lines_of_a_mail(text: str) -> None:
    octets = written(text)
    assert all(len(line) <= LINE for line in octets.split(b"\r\n")) and b"\0" not in octets
    assert octets.count(b"\n") == octets.count(b"\r\n")
    assert read(octets).text.replace("\r\n", "\n").rstrip("\n") == text.rstrip("\n")


def test_the_whole_original_goes_along_with_whole_lines() -> None:
    made = Disposition("", "a@b", "displayed", MODE)
    octets = entity(made, "x", b"Subject: a\n\nb\n", "mark", whole=True)
    assert (
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: a\r\n\r\nb\r\n"
        in octets
    )
    assert read(b"A: b\r\n" + octets).has_original
    eight = entity(made, "x", "Subject: ü\n\nb".encode(), "mark", whole=True)
    assert b"message/global\r\nContent-Transfer-Encoding: 8bit" in eight


@pytest.mark.parametrize(
    "disposition", ["", "manual-action; displayed", "manual-action/mdn-sent-manually; denied", "x/y; deleted"]
)
def test_what_is_no_notification(disposition: str) -> None:
    octets = written().replace(
        b"Disposition: " + MODE.encode() + b"; displayed", f"Disposition: {disposition}".encode()
    )
    assert disposed(octets, index(octets)) is None
    assert disposed(ORIGINAL, index(ORIGINAL)) is None


@pytest.mark.parametrize(
    ("to", "path", "recipients", "automatic"),
    [
        ("C <c@B.test>", "<c@b.test>", ("c@B.test",), True),
        ("c@b.test", "", ("c@b.test",), False),
        ("C@b.test", "<c@b.test>", ("C@b.test",), False),
        ("c@b.test", "<>", ("c@b.test",), False),
        ("c@b.test, d@b.test", "<c@b.test>", ("c@b.test", "d@b.test"), False),
        ("c@b.test, c@b.test", "<c@b.test>", ("c@b.test",), True),
        ("nobody", "<c@b.test>", (), False),
        ("", "<c@b.test>", (), False),
    ],
)
def test_who_asks_and_whether_a_program_may_answer(
    to: str, path: str, recipients: tuple[str, ...], automatic: bool
) -> None:
    found = asked(f"Disposition-Notification-To: {to}\r\nReturn-Path: {path}\r\n\r\n".encode())
    assert (found.recipients, found.automatic) == (recipients, automatic)


def test_what_else_is_asked() -> None:
    found = asked(
        b"Message-ID: <2@b>\r\nIn-Reply-To: <1@b>\r\nOriginal-Recipient: rfc822;a@b\r\n"
        b"Disposition-Notification-Options: a=optional,1; b=required,2\r\n"
        b"Content-Type: multipart/report; report-type=disposition-notification\r\n\r\n"
    )
    assert (found.message_id, found.references) == ("<2@b>", "<1@b> <2@b>")
    assert found.requires and found.notification and found.original_recipient == "rfc822;a@b"
    assert not asked(b"Disposition-Notification-Options: a=optional,required\r\n\r\n").requires


@given(st.binary(max_size=300))
def test_any_octets(octets: bytes) -> None:
    asked(octets)
    disposed(octets, index(octets))
