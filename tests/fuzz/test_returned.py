"""Fuzz target of mail that came back: notifications and what servers write that know no standard."""

from __future__ import annotations

from a3mailer.mail.message import index
from a3mailer.wire.dsn.asked import asked
from a3mailer.wire.dsn.compose import compose
from a3mailer.wire.dsn.disposed import TYPES, disposed
from a3mailer.wire.dsn.disposition import Disposition, entity
from a3mailer.wire.dsn.report import Action, Original, RecipientStatus, Report
from a3mailer.wire.dsn.returned import SAID, failures
from tests.fuzz import mutate

STATUS = RecipientStatus("x@b.test", Action.FAILED, "5.1.1", "rfc822;y@b.test", "mx.b.test", "550 5.1.1 no")
ORIGINAL = Original(b"A: b\r\n\r\n", full=True)
SEEDS = (
    compose(Report("mx.b.test", (STATUS,), "e"), ORIGINAL, to="a@b", now=0, token="t"),
    entity(
        Disposition("ua; x", "a@b", "displayed", original_message_id="<x@y>"), "Seen.", b"A: b\r\n\r\n", "m"
    ),
    b"Return-Path: <a@b>\r\nDisposition-Notification-To: a@b, c@d\r\nContent-Type: multipart/report\r\n\r\n",
    b"From: mailer-daemon@x\r\nSubject: failure notice\r\n\r\n<x@b>: no (#5.1.1)\r\n550-5.7.1 y\r\n",
    b"Subject: =?utf-8?B?57O757uf6YCA5L+h?=\r\nContent-Type: text/html\r\n\r\n<p>550 x</p>\r\n",
)
TOKENS = (
    b"5.1.1", b"550", b"4.", b".", b"Final-Recipient: rfc822; ", b"Action: failed", b"Status: ", b"\r\n\r\n",
    b"Content-Type: message/delivery-status", b"--", b"\0", b"\xff", b"\x85", b"Auto-Submitted: auto-replied",
)  # fmt: skip


def target(octets: bytes) -> None:
    for failure in failures(octets):
        assert failure.status[:1] in ("4", "5")
        assert len(failure.status) <= 9
        assert len(failure.diagnostic) <= SAID
    notification = disposed(octets, index(octets))
    assert notification is None or notification.type in TYPES
    said = asked(octets)
    assert said.recipients or not said.automatic


@mutate.CASES
def test_any_mail_has_failed_or_not(count: int, seed: int) -> None:
    mutate.run(target, SEEDS, count=count, seed=seed, tokens=TOKENS)
