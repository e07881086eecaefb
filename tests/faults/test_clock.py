"""The wall clock leaps, goes back and runs too fast under a whole server (libfaketime): mail goes on.

The monotonic clock stays as it is, as it does when an administrator or NTP sets the time.
"""

import contextlib
import pathlib
import re
import smtplib
import ssl
import time

import pytest

from a3mailer.testing.faults.wall_clock import WallClock
from bench.imap_client import Imap
from tests.faults import ledger, mailboxes
from tests.faults.senders import Mail, Wire
from tests.rig import ACCOUNTS, Rig

LEAPS = ("+400d", "-400d")
MORE = ("-1h", "+0 x10", "+0", "-400d", "+400d", "+0")
SHORT_AND_LONG = pytest.mark.parametrize(
    "leaps", [LEAPS, pytest.param(LEAPS + MORE, marks=pytest.mark.long)], ids=["short", "long"]
)
SETTLE_SECONDS = 2.5  # the queue looks at the clock, the sweeps run, once a second
WITHIN_SECONDS = 30.0
YEAR = re.compile(rb"-(20\d\d) ")
SETTINGS = ("profile=plain", "limits.profile=off", "queue.retry=1")


def submit(rig: Rig, recipient: str, subject: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP_SSL("127.0.0.1", rig.port("submissions"), context=context) as client:
        client.login(*ACCOUNTS[0])
        head = f"From: {ACCOUNTS[0][0]}\r\nTo: {recipient}\r\nSubject: {subject}\r\n"
        client.sendmail(ACCOUNTS[0][0], [recipient], f"{head}\r\nHello\r\n")


def subjects(rig: Rig) -> list[bytes]:
    client = Imap(rig.port("imap"))
    client.login(*rig.accounts[0])
    mails = [mail for _, mail in client.fetch_bodies(client.select()["exists"])]
    client.close()
    return [line for mail in mails for line in mail.split(b"\r\n") if line.startswith(b"Subject: ")]


@SHORT_AND_LONG
def test_sessions_and_deliveries_go_on_while_the_clock_leaps(
    tmp_path: pathlib.Path, leaps: tuple[str, ...]
) -> None:
    clock = WallClock(tmp_path)
    book = ledger.Ledger()
    with Rig(tmp_path, workers=2, env=clock.env) as rig, contextlib.ExitStack() as clients:
        inside = Imap(rig.port("imap"))
        clients.callback(inside.close)
        inside.login(*rig.accounts[0])
        wire = clients.enter_context(contextlib.closing(Wire(rig.port("smtp"))))
        for number, leap in enumerate(leaps):
            clock.set(leap)
            time.sleep(SETTLE_SECONDS)
            mail = Mail(f"leap-{number}", rig.accounts[0][0], ledger.content(f"leap-{number}", b"x\r\n"))
            mail.hear(wire.send(mail.recipient, mail.octets)[0])
            book.write(mail.attempt())
            assert mail.outcome is ledger.Outcome.ACKNOWLEDGED
            assert inside.select()["exists"] == number + 1
            assert rig.status() is not None
        dates = inside.command(b"FETCH 1:* INTERNALDATE", keep=True)
        assert len(set(YEAR.findall(dates))) > 1, "the clock did not leap"
        judgement = mailboxes.judge(rig, book)
        assert judgement.faultless, str(judgement)
        rig.kill()
        clock.set("-400d")
        rig.start()
        judgement = mailboxes.judge(rig, book)
        assert judgement.faultless, str(judgement)


@SHORT_AND_LONG
def test_the_queue_neither_gives_up_nor_stalls(tmp_path: pathlib.Path, leaps: tuple[str, ...]) -> None:
    clock = WallClock(tmp_path)
    there = Rig(tmp_path / "there", domain="far.test", accounts=(("carol@far.test", "secret-c"),))
    relay = ("--relay", f"127.0.0.1:{there.port('smtp')}")
    here = Rig(tmp_path / "here", workers=2, env=clock.env, extra=relay, settings=SETTINGS)
    for rig in (here, there):
        rig.directory.parent.mkdir()
    try:
        here.start()
        for number, leap in enumerate(leaps):
            submit(here, "carol@far.test", f"mail {number}")
            clock.set(leap)
            time.sleep(SETTLE_SECONDS)
            assert len(here.verb("queue", "list")) == number + 1, here.log_tail()
        assert b"queue.clock_jumped" in here.log.read_bytes()
        assert not subjects(here), "a notification"
        there.start()
        deadline = time.monotonic() + WITHIN_SECONDS
        while len(subjects(there)) < len(leaps):
            assert time.monotonic() < deadline, here.log_tail()
            time.sleep(0.2)
        assert sorted(subjects(there)) == [b"Subject: mail %d" % n for n in range(len(leaps))]
    finally:
        here.close()
        there.close()
