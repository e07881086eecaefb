"""Scripts at delivery on a running server: by SMTP and LMTP, to and from a real Postfix."""

from __future__ import annotations

import pathlib
import smtplib
import socket

from a3mailer.wire.dsn.parse import parse
from tests.compat.test_relay import Names, inbox, until, with_subject
from tests.peers import peer
from tests.rig import Rig

ALICE, BOB = "alice@here.test", "bob@example.test"

SCRIPT = """require ["fileinto", "reject", "vacation", "duplicate", "editheader", "subaddress", "envelope"];
if duplicate { discard; stop; }
if header "subject" "refused" { reject "Not\r\nwanted here"; }
elsif header "subject" "tagged" { addheader "X-Tag" "1"; deleteheader "subject"; addheader "Subject" "seen"; }
elsif header "subject" "away" { vacation :days 7 "I am away."; }
elsif envelope :detail "to" "books" { fileinto "Archive"; }
elsif header "subject" "onward" { redirect "bob@example.test"; }
"""


def put(rig: Rig, address: str, script: str, folder: pathlib.Path) -> None:
    """It runs from now on."""
    file = folder / "script.sieve"
    file.write_bytes(script.encode())
    rig.verb("sieve", "put", address, "main", str(file), "--activate")


def mail(subject: str, to: str, sender: str = BOB) -> bytes:
    head = f"From: {sender}\r\nTo: {to}\r\nMessage-ID: <{subject}@x.test>\r\nSubject: {subject}\r\n"
    return f"{head}\r\nHello\r\n".encode()


def by_lmtp(rig: Rig, to: tuple[str, ...], octets: bytes) -> list[bytes]:
    """The replies behind the content."""
    with socket.create_connection(("127.0.0.1", rig.port("lmtp"))) as plug, plug.makefile("rb") as lines:
        people = "".join(f"RCPT TO:<{each}>\r\n" for each in to)
        plug.sendall(f"LHLO x.test\r\nMAIL FROM:<{BOB}>\r\n{people}DATA\r\n".encode())
        while not (line := lines.readline()).startswith(b"354"):
            assert line.startswith((b"2", b"354")), line
        plug.sendall(octets + b".\r\n")
        replies = [lines.readline() for _ in range(3)]
    return [line if line.startswith(b"5") else line[:18] for line in replies]


def test_by_smtp_and_lmtp(tmp_path: pathlib.Path) -> None:
    alice, bob = "alice@example.test", "bob@example.test"
    with Rig(tmp_path, workers=1) as rig:
        put(rig, alice, SCRIPT, tmp_path)
        with smtplib.SMTP("127.0.0.1", rig.port("smtp"), "mx.x.test") as smtp:
            for subject in ("kept", "kept", "tagged"):
                smtp.sendmail(bob, [alice], mail(subject, alice))
            smtp.sendmail(bob, ["alice+books@example.test"], mail("filed", alice))
            smtp.mail(bob)
            smtp.rcpt(alice)
            assert smtp.data(mail("refused", alice)) == (550, b"5.7.1 Not\n5.7.1 wanted here")
        assert by_lmtp(rig, (alice, bob), mail("refused", alice).replace(b"d@x", b"d2@x")) == [
            b"550-5.7.1 Not\r\n",
            b"550 5.7.1 wanted here\r\n",
            b"250 2.0.0 accepted",
        ]
        found = inbox(rig, alice, "secret-a")
        assert len(found) == 2 and len(with_subject(found, "kept")) == 1
        (tagged,) = with_subject(found, "seen")
        assert b"\r\nSubject: seen\r\nX-Tag: 1\r\nReceived: " in tagged and tagged.count(b"Subject") == 1
        assert len(inbox(rig, bob, "secret-b")) == 1
        rig.verb("sieve", "activate", alice)
        with smtplib.SMTP("127.0.0.1", rig.port("smtp"), "mx.x.test") as smtp:
            smtp.sendmail(bob, [alice], mail("refused", alice).replace(b"d@x", b"d3@x"))
        assert len(inbox(rig, alice, "secret-a")) == 3


def test_with_postfix(tmp_path: pathlib.Path) -> None:
    """Postfix hears a refusal and tells its sender; an answer and a redirect reach a mailbox behind it."""
    ours = Rig(
        tmp_path, hostname="mx.here.test", domain="here.test", workers=1, accounts=((ALICE, "secret-a"),),
        settings=("profile=plain", "limits.profile=off", "queue.retry=1"),
    )  # fmt: skip
    ours.init()
    settings = {
        "default_transport": "smtp",
        "transport_maps": f"inline:{{here.test=smtp:[127.0.0.1]:{ours.port('smtp')}}}",
    }
    records = ("example.test. 60 IN MX 10 mx.example.test.", "mx.example.test. 60 IN A 127.0.0.1")
    with Names(*records) as names, peer(log=True, settings=settings) as postfix:
        ours.env |= {
            "A3_DNS__SERVERS": f"127.0.0.1:{names.port}",
            "A3_QUEUE__SMTP_PORT": str(postfix.port("smtp")),
        }
        with ours:
            put(ours, ALICE, SCRIPT, tmp_path)
            with smtplib.SMTP("127.0.0.1", postfix.port("smtp")) as smtp:
                for subject in ("refused", "away", "onward"):
                    smtp.sendmail(BOB, [ALICE], mail(subject, ALICE))

            def found() -> list[bytes]:
                return inbox(postfix, *postfix.accounts[1])  # type: ignore[arg-type]

            until(lambda: len(found()) == 3, ours)
            mails = found()
            (answer,) = with_subject(mails, "Auto: away")
            assert answer.startswith(b"Return-Path: <>") and b"I am away." in answer
            (onward,) = with_subject(mails, "onward")
            assert b"Delivered-To: alice@here.test\r\n" in onward
            (report,) = [found for each in mails if (found := parse(each)) is not None]
            assert "wanted here" in report.recipients[0].diagnostic
            assert [b"Subject: away" in each for each in inbox(ours, ALICE, "secret-a")] == [True]
