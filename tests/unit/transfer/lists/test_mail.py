"""What a list makes of a mail: nothing but fields, unless only a new author gets it through."""

from __future__ import annotations

import pytest

from a3mailer.transfer.lists.mail import Face, author_of, has_been_here, is_automatic, made_of, personal

HOST = "mail.a.test"
FACE = Face("news@a.test", "News")
MAIL = b"Received: x\r\nFrom: Carol <carol@b.test>\r\nSubject: hello\r\nList-Id: <old.c.test>\r\n\r\nbody\r\n"


def judged(dmarc: str, dkim: str = "none", host: str = HOST) -> bytes:
    """The mail with what was found of it."""
    found = f"Authentication-Results: {host}; dkim={dkim} header.d=b.test; {dmarc}\r\n"
    return found.encode() + MAIL


REJECT = "dmarc=pass header.from=b.test policy.dmarc=reject"


def test_what_the_author_wrote_stays_as_it_is() -> None:
    made = made_of(judged(REJECT, "pass"), FACE, author_of(judged(REJECT, "pass"), HOST))
    assert b"From: Carol <carol@b.test>\r\nSubject: hello\r\n\r\nbody\r\n" in made
    assert made.count(b"List-Id:") == 1 and b"old.c.test" not in made


@pytest.mark.parametrize(
    ("dmarc", "dkim", "tag", "rewritten"),
    [
        (REJECT, "pass", "", False),
        (REJECT, "pass", "[n]", True),
        (REJECT, "none", "", True),
        (REJECT.replace("reject", "quarantine"), "none", "", True),
        ("dmarc=pass header.from=b.test", "none", "[n]", False),
        ("dmarc=none header.from=b.test", "none", "[n]", False),
    ],
)
def test_the_list_is_the_author_only_where_nothing_else_gets_through(
    dmarc: str, dkim: str, tag: str, rewritten: bool
) -> None:
    octets = judged(dmarc, dkim)
    made = made_of(octets, Face("news@a.test", "News", tag=tag), author_of(octets, HOST))
    assert (b"From: Carol via News <news@a.test>\r\n" in made) is rewritten
    assert (b"Reply-To: Carol <carol@b.test>\r\n" in made) is rewritten
    assert (b"X-Original-From: carol@b.test\r\n" in made) is rewritten
    assert made.count(b"\nFrom:") == 1
    assert (b"Subject: [n] hello\r\n" in made) is bool(tag)


def test_a_tag_stands_once_and_keeps_encoded_words() -> None:
    octets = MAIL.replace(b"hello", b"Re: [n] =?utf-8?b?w6Q=?=")
    face = Face("news@a.test", "News", tag="[n]")
    assert b"Subject: Re: [n] =?utf-8?b?w6Q=?=\r\n" in made_of(octets, face, author_of(octets, HOST))


def test_only_what_we_found_is_believed() -> None:
    assert author_of(judged(REJECT), HOST).proved
    assert not author_of(judged(REJECT, host="evil.test"), HOST).proved
    below = MAIL.replace(b"Subject", b"Authentication-Results: mail.a.test; auth=pass\r\nSubject")
    assert not author_of(below, HOST).proved
    assert author_of(b"Authentication-Results: mail.a.test; auth=pass\r\n" + MAIL, HOST).proved
    failed = author_of(judged("dmarc=fail header.from=b.test policy.dmarc=reject"), HOST)
    assert failed.doubtful and not failed.proved


@pytest.mark.parametrize(
    "wrong", [b"", b"From: a@b.test\r\nFrom: c@d.test\r\n", b"From: a@b.test, c@d.test\r\n"]
)
def test_who_is_not_exactly_one_is_nobody(wrong: bytes) -> None:
    assert author_of(wrong + b"\r\nx", HOST).address == ""


def test_circles_and_programs_are_known() -> None:
    assert has_been_here(b"LIST-ID: x\r\n <News.A.test>\r\n\r\n", FACE)
    assert not has_been_here(b"Subject: <news.a.test>\r\n\r\nList-Id: <news.a.test>\r\n", FACE)
    assert is_automatic(b"Auto-Submitted: auto-replied\r\n\r\n")
    assert not is_automatic(b"Auto-Submitted: no\r\n\r\n")


def test_the_way_out_is_each_ones_own_and_stands_once() -> None:
    made = personal(made_of(MAIL, FACE, author_of(MAIL, HOST)), "https://x/y", "C%3D1@a.test")
    assert made.count(b"List-Unsubscribe:") == 1
    assert made.startswith(b"List-Unsubscribe: <https://x/y>,\r\n <mailto:C%3D1@a.test>\r\n")
    only_mail = personal(MAIL, "", "c@a.test")
    assert b"List-Unsubscribe-Post" not in only_mail, "one click needs a link (RFC 8058)"
