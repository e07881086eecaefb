"""Mail that came back, as the servers of the world write it."""

import pytest

from a3mailer.wire.dsn.compose import compose
from a3mailer.wire.dsn.report import Action, Original, RecipientStatus, Report
from a3mailer.wire.dsn.returned import LOOKED_AT, SAID, Failure, failures

HEAD = b"From: MAILER-DAEMON@mx.b.test (Mail Delivery System)\r\nSubject: %b\r\n\r\n"


def notification(*statuses: RecipientStatus) -> bytes:
    original = Original(b"Subject: x\r\n\r\n", full=False)
    return compose(Report("mx.b.test", statuses), original, to="list@a.test", now=0, token="t")


def test_the_standard_form_names_everybody_and_the_original_address() -> None:
    octets = notification(
        RecipientStatus("x@b.test", Action.FAILED, "5.1.1", "", "mx.c.test", "550 no such user"),
        RecipientStatus("y@inner.b.test", Action.FAILED, "4.4.7", "rfc822;y@b.test"),
    )
    assert failures(octets) == (
        Failure("x@b.test", "5.1.1", "550 no such user"),
        Failure("y@b.test", "4.4.7", ""),
    )
    assert [f.permanent for f in failures(octets)] == [True, False]


@pytest.mark.parametrize("action", [a for a in Action if a is not Action.FAILED])
def test_what_has_not_failed_is_no_failure(action: Action) -> None:
    assert failures(notification(RecipientStatus("x@b.test", action, "2.0.0"))) == ()


@pytest.mark.parametrize("status", ["", "5", "5.1", "9.1.1", "5.1.1.1", "5.x.1", "2.0.0", "5.1111.1"])
def test_a_failure_without_a_readable_status_is_one(status: str) -> None:
    (found,) = failures(notification(RecipientStatus("x@b.test", Action.FAILED, status)))
    assert found.status == "5.0.0"


@pytest.mark.parametrize(
    ("subject", "body", "status"),
    [
        # qmail
        (b"failure notice", b"Hi. This is the qmail-send program.\r\n<x@b.test>:\r\n"
         b"Sorry, no mailbox here by that name. (#5.1.1)\r\n", "5.1.1"),
        # old Exim
        (b"Mail delivery failed: returning message to sender", b"  x@b.test\r\n    SMTP error from remote "
         b"mail server after RCPT TO:<x@b.test>:\r\n    host mx [192.0.2.1]: 550 unknown user\r\n", "5.0.0"),
        # sendmail before 8.8
        (b"Returned mail: User unknown", b"   ----- Transcript -----\r\n550 x@b.test... User unknown\r\n",
         "5.0.0"),
        (b"Undeliverable: hello", b"The mailbox is full. 4.2.2 quota exceeded", "4.2.2"),
        (b"=?utf-8?B?57O757uf6YCA5L+h?=", b"550 Mailbox not found", "5.0.0"),
        (b"hello", b"552-5.2.2 the box is full\r\n", "5.2.2"),
    ],
)  # fmt: skip
def test_what_servers_write_that_know_no_standard(subject: bytes, body: bytes, status: str) -> None:
    (found,) = failures(HEAD % subject + body)
    assert (found.recipient, found.status) == ("", status)
    assert found.diagnostic and len(found.diagnostic) <= SAID


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"From: x@b.test\r\nSubject: Re: hello\r\n\r\nI got 550 of them, see 5.1.1 in the manual\r\n",
        b"From: x@b.test\r\nAuto-Submitted: auto-replied\r\nSubject: on holiday\r\n\r\nback at 5.1.1 pm\r\n",
        HEAD % b"Warning: could not send message for past 4 hours" + b"451 4.4.1 still trying\r\n",
        HEAD % b"Undeliverable" + b"Sorry about that.\r\n",
        HEAD % b"Undeliverable" + b"999 5.1 10.5.1.1 5.1.1111 x5.1.1\r\n",
    ],
)
def test_what_is_no_bounce_is_none(octets: bytes) -> None:
    assert failures(octets) == ()


def test_only_the_beginning_is_read() -> None:
    octets = HEAD % b"Undeliverable" + b"x" * LOOKED_AT + b"\r\n550 5.1.1 no\r\n"
    assert failures(octets) == ()
