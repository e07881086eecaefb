"""What the sender is told, with Postfix as the next server and as the last one (RFC 3461, RFC 2852)."""

from __future__ import annotations

import pathlib
import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from a3mailer.wire.dsn.parse import parse
from a3mailer.wire.dsn.report import Action, Report
from bench.peers.rig import PeerRig
from tests.compat.test_relay import Names, inbox, until
from tests.peers import peer
from tests.rig import Rig

ALICE, BOB = "alice@here.test", "bob@example.test"
RECORDS = ("example.test. 60 IN MX 10 mx.example.test.", "mx.example.test. 60 IN A 127.0.0.1")


@dataclass(frozen=True)
class Pair:
    ours: Rig
    postfix: PeerRig


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: pathlib.Path = tmp_path_factory.mktemp("dsn")
    ours = Rig(
        folder, hostname="mx.here.test", domain="here.test", workers=1, accounts=((ALICE, "secret-a"),),
        settings=("profile=plain", "limits.profile=off", "queue.retry=1"),
    )  # fmt: skip
    ours.init()
    settings = {
        "default_transport": "smtp",
        "virtual_mailbox_maps": f"inline:{{{BOB}=yes}}",
        "transport_maps": f"inline:{{here.test=smtp:[127.0.0.1]:{ours.port('smtp')}}}",
    }
    with (
        Names(*RECORDS) as names,
        peer(log=True, settings=settings) as postfix,
    ):
        ours.env |= {
            "A3_DNS__SERVERS": f"127.0.0.1:{names.port}",
            "A3_QUEUE__SMTP_PORT": str(postfix.port("smtp")),
        }
        with ours:
            yield Pair(ours, postfix)


def submit(
    pair: Pair, subject: str, mail: tuple[str, ...] = (), rcpt: tuple[str, ...] = (), to: str = BOB
) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", pair.ours.port("submission")) as smtp:
        smtp.starttls(context=context)
        smtp.login(ALICE, "secret-a")
        head = f"From: {ALICE}\r\nTo: {to}\r\nMessage-ID: <{subject}@here.test>\r\nSubject: {subject}\r\n"
        smtp.sendmail(ALICE, [to], f"{head}\r\nHi\r\n", mail, rcpt)


def told(mails: list[bytes], subject: str) -> list[Report]:
    """Notifications about a mail, by its Message-ID among what comes back."""
    about = [m for m in mails if f"<{subject}@here.test>".encode() in m]
    return [report for m in about if (report := parse(m)) is not None]


def at_alices(pair: Pair, subject: str, count: int) -> list[Report]:
    until(lambda: len(told(inbox(pair.ours, ALICE, "secret-a"), subject)) >= count, pair.ours)
    return told(inbox(pair.ours, ALICE, "secret-a"), subject)


def test_the_last_server_confirms_and_names_what_was_asked(pair: Pair) -> None:
    submit(pair, "one", ("ENVID=QQ+2B1", "RET=HDRS"), ("NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;B+40x"))
    (report,) = at_alices(pair, "one", 1)
    (recipient,) = report.recipients
    assert recipient.action is Action.RELAYED, "its mailboxes are behind an LMTP server without DSN"
    assert (report.envelope_id, recipient.original, recipient.final) == ("QQ+1", "rfc822;B@x", BOB)
    assert report.reporting_mta != "mx.here.test", "who knows is who says so"


def test_what_they_refuse_comes_back_with_their_words(pair: Pair) -> None:
    submit(pair, "two", ("RET=FULL",), to="nobody@example.test")
    (report,) = at_alices(pair, "two", 1)
    assert [(r.action, r.status) for r in report.recipients] == [(Action.FAILED, "5.1.1")]
    (mail,) = [m for m in inbox(pair.ours, ALICE, "secret-a") if b"<two@here.test>" in m]
    assert b"There is no such mailbox." in mail and b"\r\n\r\nHi\r\n" in mail


def test_who_wants_no_word_gets_none(pair: Pair) -> None:
    submit(pair, "three", rcpt=("NOTIFY=NEVER",), to="nobody@example.test")
    until(lambda: pair.ours.verb("queue", "list") == [], pair.ours)
    assert told(inbox(pair.ours, ALICE, "secret-a"), "three") == []


def test_a_server_that_keeps_no_time_is_told_of_and_gets_nothing_that_must_be_in_time(pair: Pair) -> None:
    submit(pair, "four", ("BY=600;N",))
    (relayed,) = at_alices(pair, "four", 1)
    assert [r.action for r in relayed.recipients] == [Action.RELAYED]
    submit(pair, "five", ("BY=600;R",))
    (failed,) = at_alices(pair, "five", 1)
    assert [(r.action, r.status) for r in failed.recipients] == [(Action.FAILED, "5.3.3")]


def test_we_confirm_to_who_asks_through_postfix(pair: Pair) -> None:
    octets = f"From: {BOB}\r\nMessage-ID: <six@here.test>\r\nSubject: six\r\n\r\nHi\r\n"
    with smtplib.SMTP("127.0.0.1", pair.postfix.port("smtp")) as smtp:
        smtp.sendmail(BOB, [ALICE], octets, ("ENVID=six+2Bsix",), ("NOTIFY=SUCCESS", f"ORCPT=rfc822;{ALICE}"))

    def reports() -> list[Report]:
        return told(inbox(pair.postfix, *pair.postfix.accounts[1]), "six")  # type: ignore[arg-type]

    until(reports, pair.ours)
    (report,) = reports()
    (recipient,) = report.recipients
    assert (recipient.action, recipient.final, report.reporting_mta) == (
        Action.DELIVERED,
        ALICE,
        "mx.here.test",
    )
    assert (report.envelope_id, recipient.original) == ("six+six", f"rfc822;{ALICE}")
