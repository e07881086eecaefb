"""Mails made of pieces: what comes out is read as what went in, and nothing becomes a line of its own."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.mail.compose import LINE, LONGEST, Attachment, BadPiece, Draft, Mailbox, compose, field

DRAFT = Draft(
    Mailbox("Alice", "alice@a.test"), (Mailbox("", "bob@a.test"),), "hello",
    "Fri, 15 Jan 2027 08:00:00 +0000", "1@a.test",
)  # fmt: skip
CONTROLS = [chr(code) for code in (*range(32), 127, 0x85, 0x2028, 0x2029)]
LINES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters=CONTROLS), max_size=300)


def parsed(octets: bytes) -> Any:
    return email.message_from_bytes(octets, policy=email.policy.default)


def made(**changes: Any) -> Any:
    return parsed(compose(replace(DRAFT, **changes), "token"))


def spaced(text: str) -> str:
    """Runs of white space are one space to those who read folded fields."""
    return " ".join(text.split())


@given(LINES, LINES)
def test_what_is_read_is_what_was_given(subject: str, name: str) -> None:
    octets = compose(replace(DRAFT, subject=subject, sender=Mailbox(name, "alice@a.test")), "token")
    head = octets.partition(b"\r\n\r\n")[0]
    lines = head.split(b"\r\n")
    assert head.isascii() and all(len(line) <= LONGEST and line.strip() for line in lines)
    names = [line.partition(b":")[0] for line in lines if not line.startswith(b" ")]
    assert names == [b"From", b"To", b"Subject", b"Date", b"Message-ID", b"MIME-Version", b"Content-Type",
                     b"Content-Transfer-Encoding"]  # fmt: skip
    mail = parsed(octets)
    assert spaced(str(mail["Subject"])) == spaced(subject)
    assert mail["From"].addresses[0].addr_spec == "alice@a.test"


@given(st.text(max_size=2000), st.text(max_size=500) | st.none())
def test_texts_are_kept(text: str, html: str | None) -> None:
    try:
        text.encode(), (html or "").encode()
    except UnicodeEncodeError:
        with pytest.raises(BadPiece):
            made(text=text, html=html)
        return
    octets = compose(replace(DRAFT, text=text, html=html), "token")
    assert max(map(len, octets.split(b"\r\n"))) <= LONGEST
    body = parsed(octets).get_body(("plain",))
    want = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    got = body.get_payload(decode=True).decode()
    assert got.removesuffix("\r\n") == want.removesuffix("\r\n")


@pytest.mark.parametrize("bad", CONTROLS)
def test_no_control_character_comes_into_a_header(bad: str) -> None:
    """Attack row 46, at the one place."""
    for changes in (
        {"subject": f"a{bad}b"},
        {"sender": Mailbox(f"a{bad}b", "a@a.test")},
        {"to": (Mailbox("", f"a{bad}b@a.test"),)},
        {"headers": (("X-A", f"a{bad}b"),)},
        {"headers": ((f"X{bad}A", "b"),)},
        {"attachments": (Attachment(f"a{bad}b", "text/plain", b""),)},
        {"attachments": (Attachment("a", f"text/plain{bad}", b""),)},
        {"attachments": (Attachment("a", "text/plain", b"", f"a{bad}b"),)},
    ):
        with pytest.raises(BadPiece):
            made(**changes)


def test_lines_are_folded_where_they_can_be() -> None:
    text = field("X-A", "word " * 100)
    assert all(len(line) <= LINE for line in text.split("\r\n"))
    assert "=?utf-8?b?" in field("X-A", "=?utf-8?q?looks_like_one?=") and "=?utf-8?b?" in field(
        "X-A", "x" * 999
    )


def test_a_mail_without_any_part_is_an_empty_text() -> None:
    assert made().get_content() == ""


def test_names_that_need_quotes() -> None:
    for name in ('a "b" \\c', "a, b", "x@y", "(c)"):
        assert made(sender=Mailbox(name, "alice@a.test"))["From"].addresses[0].display_name == name
