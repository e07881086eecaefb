"""kill -9 while scripts look for duplicates: of each mail, sent until it is taken and again, one is there.

What a script remembers is committed with the mail, and so is a mailbox that is made for it: never the one
without the other.
"""

import imaplib
import pathlib
import random
import re
import smtplib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from tests.compat.test_relay import inbox
from tests.faults import kill
from tests.rig import Rig

SCRIPT: Final = (
    'require ["duplicate", "fileinto", "copy", "mailbox", "variables"];\r\n'
    "if duplicate { discard; stop; }\r\n"
    'if header :matches "subject" "*" { fileinto :copy :create "Made/${1}"; }\r\n'
)
TAKEN_SECONDS: Final = 60.0
LATE_SECONDS: Final = 0.02
"""A mail is taken in about half of that."""


def sent(rig: Rig, number: int) -> None:
    """Send it until it is taken."""
    mail = f"Message-ID: <{number}@x.test>\r\nSubject: {number}\r\n\r\nHello\r\n"
    end = time.monotonic() + TAKEN_SECONDS
    while time.monotonic() < end:
        try:
            with smtplib.SMTP("127.0.0.1", rig.port("smtp"), "mx.x.test", timeout=10) as smtp:
                smtp.sendmail("carol@x.test", [rig.accounts[0][0]], mail)
            return
        except (OSError, smtplib.SMTPException):
            time.sleep(0.05)
    raise AssertionError(rig.log_tail())


def killed_at(rig: Rig, number: int, draw: random.Random) -> None:
    """Send a mail while a process is killed: before it has come, in its transaction, or behind it."""
    victim, late = draw.choice(rig.pids()), draw.uniform(0, LATE_SECONDS)
    with ThreadPoolExecutor(1) as beside:
        sending = beside.submit(sent, rig, number)
        time.sleep(late)
        kill._kill_once(rig, victim)
        assert kill._ready_after(rig) is not None, rig.log_tail()
        sending.result()


def made(rig: Rig) -> dict[str, int]:
    """The mailboxes that came with a mail, and how many mails each has."""
    with imaplib.IMAP4("127.0.0.1", rig.port("imap")) as imap:
        imap.login(*rig.credentials())
        assert imap.xatom("LIST", '""', '"Made/%"', "RETURN (STATUS (MESSAGES))")[0] == "OK"
        told = [each for each in imap.untagged_responses["STATUS"] if isinstance(each, bytes)]
    found = (re.match(rb'"?([^" ]*)"? \(MESSAGES (\d+)\)', line) for line in told)
    return {each[1].decode(): int(each[2]) for each in found if each}


def run(tmp_path: pathlib.Path, kills: int, mails: int, seed: int) -> None:
    draw = random.Random(seed)
    when = set(draw.sample(range(mails), kills))
    address, password = ("alice@example.test", "secret-a")
    with Rig(tmp_path, workers=2) as rig:
        file = tmp_path / "script.sieve"
        file.write_bytes(SCRIPT.encode())
        rig.verb("sieve", "put", address, "main", str(file), "--activate")
        for number in range(mails):
            if number in when:
                killed_at(rig, number, draw)
            else:
                sent(rig, number)
            sent(rig, draw.randrange(number + 1))
        found = inbox(rig, address, password)
        subjects = sorted(int(each.partition(b"\r\nSubject: ")[2].partition(b"\r\n")[0]) for each in found)
        assert subjects == list(range(mails)), f"seed {seed}"
        assert made(rig) == {f"Made/{number}": 1 for number in range(mails)}, f"seed {seed}"
        archived = rig.verb("sieve", "list", address)
        assert archived[0]["active"], f"seed {seed}"


def test_kill_9_three_times_among_duplicates(tmp_path: pathlib.Path, seed: int) -> None:
    run(tmp_path, kills=3, mails=60, seed=seed)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_kill_9_a_hundred_times_among_duplicates(tmp_path: pathlib.Path, seed: int) -> None:
    run(tmp_path, kills=100, mails=3_000, seed=seed)
