"""Power cuts under load, over and over on one file system, then the judgement."""

import dataclasses
import os
import random
import time
from typing import Final

from bench.server import Server
from tests.faults import ledger, mailboxes
from tests.faults.disk import Disk
from tests.faults.senders import Senders

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


def run(server: Server, disk: Disk, *, cuts: int, seed: int) -> Report:
    """Cut the power ``cuts`` times.  Only a reply that came before a cut binds the server."""
    draw = random.Random(seed)
    attempts: list[ledger.Attempt] = []
    ready: list[float] = []
    reused: list[str] = []
    known: dict[tuple[str, int, int], str] = {}
    for number in range(cuts):
        ready.append(server.start())
        if number == 0:
            os.sync()  # the set-up was long ago; what the cuts test is the mail
        if number % SNAPSHOT_EVERY == 0:
            reused += _reused(server, known)
        attempts += _one_cut(server, disk, draw, number)
    server.start()
    server.drain()
    reused += _reused(server, known)
    found = mailboxes.read_all(server)
    return Report(
        server.name,
        seed,
        cuts,
        tuple(ready),
        tuple(reused),
        ledger.judge(attempts, found.stored, found.uids),
    )


def _one_cut(server: Server, disk: Disk, draw: random.Random, number: int) -> list[ledger.Attempt]:
    book = ledger.Ledger()
    senders = Senders(server, book, draw.getrandbits(32), name=f"cut{number}-")
    senders.start()
    time.sleep(draw.uniform(*UNDER_LOAD))
    cut = time.monotonic()
    disk.cut_power()
    server.kill()
    senders.stop()
    disk.restore_power()
    return [
        a if a.at < cut else dataclasses.replace(a, outcome=ledger.Outcome.UNKNOWN) for a in book.attempts()
    ]


def _reused(server: Server, known: dict[tuple[str, int, int], str]) -> list[str]:
    """UIDs that mean another mail than they did; ``known`` is (mailbox, UIDVALIDITY, UID) to name."""
    found = mailboxes.read_all(server)
    wrong = []
    for mail in found.stored:
        key = (mail.recipient, found.uid_validity[mail.recipient], mail.uid)
        if known.setdefault(key, mail.name) != mail.name:
            wrong.append(f"{key}: {known[key]} became {mail.name}")
    return wrong
