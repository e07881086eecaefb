"""kill -9 of our servers in the middle of a day of mail with other makers' (``tests/compat/day.py``).

Five senders go on whatever happens: users of ours, of Postfix, of Exim, a stranger whose mail ours hand on.
Every acknowledged mail has to arrive, and at ours once. Postfix and Exim cannot know a mail that comes again:
what a relay that dies between their 250 and its own record sends once more (the window of RFC 1047) is there
twice, octet by octet the same, and how often is printed, beside what came again to ours and was known.
"""

from __future__ import annotations

import collections
import hashlib
import pathlib
import random
import re
import smtplib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import pytest

from a3mailer.transfer.relay.relay import SESSIONS_A_DESTINATION
from bench.server import wait_banner
from tests.compat.day import EXIM, ONE, PASSWORD, POST, STS, TWO, Ours, World, letter, world
from tests.compat.test_forwarding import carols_mail
from tests.faults import kill
from tests.faults.ledger import Attempt, Judgement, Ledger, Outcome, Stored, judge

ALICE, BOB = f"alice@{ONE}", f"bob@{TWO}"
PEERS: Final = (f"bob@{POST}", f"bob@{EXIM}")
PAUSE: Final = 0.1
AGAIN_SECONDS: Final = 0.2
SMTP_SECONDS: Final = 30.0
DRAIN_SECONDS: Final = 180.0
NAME: Final = re.compile(rb"^Subject: (k-\S+)\r$", re.MULTILINE)
TAKEN: Final = re.compile(r'"event":"mail\.received".*"account":0,.*"message_id":"([^"@]+)@')
NOTICE: Final = b"notice"
Door = Callable[[], smtplib.SMTP]


@dataclass(frozen=True)
class Way:
    """Where a mail goes, and who has it in the end."""

    to: str
    final: str
    notice: bool = False
    """It comes back."""


def straight(*addresses: str) -> tuple[Way, ...]:
    return tuple(Way(address, address) for address in addresses)


def lost(sender: str, *domains: str) -> tuple[Way, ...]:
    return tuple(Way(f"nobody@{domain}", sender, notice=True) for domain in domains)


def submission(rig: Ours, sender: str) -> smtplib.SMTP:
    smtp = smtplib.SMTP(rig.address, 587, timeout=SMTP_SECONDS)
    smtp.starttls()
    smtp.login(sender, PASSWORD)
    return smtp


def doors(day: World) -> dict[str, tuple[Door, tuple[Way, ...]]]:
    """Of each sender."""
    post, exim = PEERS
    return {
        ALICE: (lambda: submission(day.one, ALICE),
                (*straight(BOB, BOB, f"bob@{STS}", post, exim), *lost(ALICE, TWO, POST, EXIM))),
        BOB: (lambda: submission(day.two, BOB), (*straight(ALICE, ALICE, post, exim), *lost(BOB, ONE))),
        post: (lambda: smtplib.SMTP("127.0.0.1", day.postfix.port("smtp"), timeout=SMTP_SECONDS),
               straight(ALICE, BOB)),
        exim: (lambda: smtplib.SMTP(day.exim.address, 25, timeout=SMTP_SECONDS), straight(ALICE, BOB)),
        "carol@origin.test": (
            lambda: smtplib.SMTP(day.one.address, 25, "mx.origin.test", SMTP_SECONDS, (day.stranger, 0)),
            tuple(Way(f"to-{name}@{ONE}", to) for name, to in zip(("two", "post", "exim"), (BOB, *PEERS),
                                                                  strict=True))),
    }  # fmt: skip


class Sender(threading.Thread):
    """One; a mail whose answer it did not hear it does not send again: it may have arrived once."""

    def __init__(self, address: str, door: Door, ways: tuple[Way, ...], book: Ledger, seed: int) -> None:
        super().__init__()
        self._address, self._door, self._ways, self._book = address, door, ways, book
        self._draw = random.Random(f"{seed} {address}")
        self._over = threading.Event()
        self._number = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        while not self._over.is_set():
            with suppress(OSError, smtplib.SMTPException), self._door() as smtp:
                while not self._over.is_set():
                    self._send(smtp)
                    self._over.wait(PAUSE)
            self._over.wait(AGAIN_SECONDS)

    def stop(self) -> None:
        self._over.set()

    def _send(self, smtp: smtplib.SMTP) -> None:
        """Errors: SMTPException, OSError."""
        self._number += 1
        name = f"k-{self._address.partition('@')[2].partition('.')[0]}-{self._number}"
        way = self._draw.choice(self._ways)
        if self._address.startswith("carol@"):
            mail = carols_mail(name)
        else:
            lines = "\r\n".join(
                self._draw.randbytes(30).hex() for _ in range(self._draw.choice((1, 20, 200)))
            )
            mail = letter(self._address, way.to, name, lines)
        outcome = Outcome.UNKNOWN
        try:
            smtp.sendmail(self._address, [way.to], mail)
            outcome = Outcome.ACKNOWLEDGED
        finally:
            self._book.write(Attempt(name, way.final, NOTICE if way.notice else digest(mail), outcome))


def digest(mail: bytes) -> bytes:
    """Of the content below the header."""
    return hashlib.sha256(mail.partition(b"\r\n\r\n")[2].rstrip(b"\r\n")).digest()


@contextmanager
def sending(day: World, book: Ledger, seed: int) -> Iterator[None]:
    senders = [Sender(address, *way, book, seed) for address, way in doors(day).items()]
    for each in senders:
        each.start()
    try:
        yield
    finally:
        for each in senders:
            each.stop()
        for each in senders:
            each.join()


def kill_one(day: World, draw: random.Random) -> None:
    """A process of one of ours, or all of them; it serves again afterwards."""
    victim = draw.choice((day.one, day.two))
    kill._kill_once(victim, None if draw.random() < kill.ALL_AT_ONCE else draw.choice(victim.pids()))
    if not victim.running():
        victim.start()
    wait_banner(25, time.monotonic() + kill.READY_SECONDS, victim.address)


def drained(day: World) -> None:
    deadline = time.monotonic() + DRAIN_SECONDS
    while left := waiting(day):
        assert time.monotonic() < deadline, left
        day.postfix.postfix.flush()
        time.sleep(0.5)


def waiting(day: World) -> dict[str, object]:
    """What is still in a queue, by server."""
    found: dict[str, object] = {
        "exim": len([*(day.exim.directory / "spool" / "input").rglob("*-H")]),
        "postfix": day.postfix.queued(),
    }
    found |= {us.hostname: us.verb("queue", "list")[:3] for us in (day.one, day.two)}
    return {name: left for name, left in found.items() if left}


def stored(recipient: str, mails: list[bytes]) -> Iterator[Stored]:
    """A notice is known by the mail it returns; what names no mail of ours is none."""
    for uid, mail in enumerate(mails):
        names = NAME.findall(mail)
        if names:
            is_notice = b"\nContent-Type: message/delivery-status" in mail
            yield Stored(recipient, uid, names[-1].decode(), NOTICE if is_notice else digest(mail))


def known(day: World, kept: list[Stored]) -> int:
    """Mails that came to ours again and are there once, at least: a killed process had more to say."""
    logs = "".join(us.log.read_text("utf-8", "replace") for us in (day.one, day.two))
    came = collections.Counter(TAKEN.findall(logs))
    return sum(n - 1 for name, n in came.items() if name in {each.name for each in kept})


def judged(book: Ledger, finals: tuple[str, ...], kept: list[Stored]) -> Judgement:
    return judge([each for each in book.attempts() if each.recipient in finals], kept, {})


def run(folder: pathlib.Path, kills: int, mails: int, seed: int) -> None:
    draw, book = random.Random(seed), Ledger()
    with world(folder) as day:
        for name, domain in (("two", TWO), ("post", POST), ("exim", EXIM)):
            day.one.verb("alias", "add", f"to-{name}@{ONE}", f"bob@{domain}")
        with sending(day, book, seed):
            for _ in range(kills):
                kill._wait_for(book, book.acknowledged + draw.randrange(1, 2 * mails // kills))
                kill_one(day, draw)
            kill._wait_for(book, max(mails, book.acknowledged + 1))
        drained(day)
        finals = (ALICE, BOB, f"bob@{STS}")
        ours = [*stored(ALICE, day.one.inbox(ALICE))]
        ours += [each for account in finals[1:] for each in stored(account, day.two.inbox(account))]
        theirs = [*stored(PEERS[0], day.at_post("bob")), *stored(PEERS[1], day.at_exim("bob"))]
        again = known(day, ours)
    here, there = judged(book, finals, ours), judged(book, PEERS, theirs)
    twice = sum(n - 1 for n in collections.Counter(each.name for each in theirs).values())
    print(
        f"seed {seed}: {kills} kills of ours in a day of mail; at ours: {here}; sent again and known: {again}"
    )
    print(f"at Postfix and Exim: {there}; sent again in the protocol's window: {twice}")
    assert here.faultless, str(here)
    assert not (there.lost or there.damaged or there.misplaced or there.phantom), str(there)
    assert here.acknowledged + there.acknowledged >= mails
    assert twice <= kills * len(PEERS) * SESSIONS_A_DESTINATION


def test_kill_9_three_times_in_a_day(tmp_path: pathlib.Path, seed: int) -> None:
    run(tmp_path, kills=3, mails=60, seed=seed)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_kill_9_a_hundred_times_in_a_day(tmp_path: pathlib.Path, seed: int) -> None:
    run(tmp_path, kills=100, mails=5_000, seed=seed)
