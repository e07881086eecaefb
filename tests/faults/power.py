"""Power cuts under load, over and over on one file system, then the judgement."""

import contextlib
import dataclasses
import os
import random
import time
from typing import Final

from a3mailer.testing.faults.disk import Disk
from bench.server import Server
from tests.faults import ledger, mailboxes
from tests.faults.checkup import Checkup
from tests.faults.senders import Mail, Senders, Wire

UNDER_LOAD: Final = (0.2, 1.5)
SNAPSHOT_EVERY: Final = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What a run of power cuts did and what the ledger says of it."""

    server: str
    seed: int
    cuts: int
    ready: tuple[float, ...]
    reused: tuple[str, ...]
    judgement: ledger.Judgement

    def __str__(self) -> str:
        return (
            f"{self.server}, seed {self.seed}: {self.cuts} power cuts, {self.judgement}; "
            f"{len(self.reused)} UIDs reused {self.reused[:5]}; ready after at most {max(self.ready):.2f} s"
        )


def run(server: Server, disk: Disk, *, cuts: int, seed: int, checkup: Checkup | None = None) -> Report:
    """Cut the power ``cuts`` times; what was not answered is sent again in the next life.

    ``checkup`` looks at the store after every start, deeply now and then and at the end.

    Only a reply that came before a cut binds the server.  QUIRK: an fdatasync that is on its way when ext4 is
    shut down may return 0 although its extents stay unwritten; with real power nobody would hear of it."""
    draw = random.Random(seed)
    book = ledger.Ledger()
    unfinished: list[Mail] = []
    ready: list[float] = []
    reused: list[str] = []
    known: dict[tuple[str, int, int], str] = {}
    for number in range(cuts):
        ready.append(server.start())
        _look(checkup, number, deep=number % SNAPSHOT_EVERY == 0)
        if number == 0:
            os.sync()  # the set-up was long ago; what the cuts test is the mail
        if number % SNAPSHOT_EVERY == 0:
            reused += _reused(server, known)
        senders = Senders(server, book, draw.getrandbits(32), name=f"cut{number}-", unfinished=unfinished)
        _one_cut(server, disk, senders, draw.uniform(*UNDER_LOAD))
        unfinished = senders.unfinished
    ready.append(server.start())
    _look(checkup, cuts, deep=True)
    _send_rest(server, book, unfinished)
    server.drain()
    reused += _reused(server, known)
    return Report(server.name, seed, cuts, tuple(ready), tuple(reused), mailboxes.judge(server, book))


def _look(checkup: Checkup | None, number: int, *, deep: bool) -> None:
    if checkup is not None:
        checkup.look(f"cut {number}", deep=deep)


def _one_cut(server: Server, disk: Disk, senders: Senders, seconds: float) -> None:
    senders.start()
    time.sleep(seconds)
    senders.suspend()
    disk.cut_power()
    server.kill()
    senders.stop()
    disk.restore_power()


def _send_rest(server: Server, book: ledger.Ledger, unfinished: list[Mail]) -> None:
    """The last life: what no sender heard an answer for is sent once more."""
    for mail in unfinished:
        with contextlib.closing(Wire(server.port("smtp"))) as wire:
            mail.hear(wire.send(mail.recipient, mail.octets)[0])
        book.write(mail.attempt())


def _reused(server: Server, known: dict[tuple[str, int, int], str]) -> list[str]:
    """UIDs that mean another mail than they did; ``known`` is (mailbox, UIDVALIDITY, UID) to name."""
    found = mailboxes.read_all(server)
    wrong = []
    for mail in found.stored:
        key = (mail.recipient, found.uid_validity[mail.recipient], mail.uid)
        if known.setdefault(key, mail.name) != mail.name:
            wrong.append(f"{key}: {known[key]} became {mail.name}")
    return wrong
