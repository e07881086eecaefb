"""kill -9 under load: of a random process or of all, over and over, then the judgement."""

import dataclasses
import random
import statistics
import time
from typing import Final

from bench import processes
from bench.server import Server, wait_banner
from tests.faults import ledger, mailboxes
from tests.faults.checkup import Checkup
from tests.faults.senders import Senders

ALL_AT_ONCE: Final = 0.15
READY_SECONDS: Final = 15.0
ORPHAN_SECONDS: Final = 5.0
STALL_SECONDS: Final = 60.0
LOOKS: Final = 30
"""Times the doctor is asked in a long run: a look costs as much as the store is large."""


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What a run of kills did and what the ledger says of it."""

    server: str
    seed: int
    kills: int
    kills_of_all: int
    mails_a_kill: int
    ready: tuple[float, ...]
    """Seconds until it served again, after kills of one process."""
    ready_all: tuple[float, ...]
    """The same after kills that took the supervisor, and so all."""
    orphans: int
    stuck: int
    judgement: ledger.Judgement
    codes: dict[int, int]

    def __str__(self) -> str:
        return (
            f"{self.server}, seed {self.seed}: {self.kills} kills ({self.kills_of_all} of all processes at "
            f"once), {self.judgement}; ready again {_times(self.ready)}, after a new start "
            f"{_times(self.ready_all)}; {self.orphans} orphans, {self.stuck} times stuck; "
            f"replies {dict(sorted(self.codes.items()))}"
        )


def _times(seconds: tuple[float, ...]) -> str:
    if len(seconds) < 2:
        return f"{seconds} s"
    p99 = statistics.quantiles(seconds, n=100, method="inclusive")[98]
    return f"median {statistics.median(seconds):.2f} s, p99 {p99:.2f} s, most {max(seconds):.2f} s"


def run(server: Server, *, kills: int, mails: int, seed: int, checkup: Checkup | None = None) -> Report:
    """Start the server (it is not running yet), kill ``kills`` times, ``mails`` acknowledged, judge.

    ``checkup`` looks at the store after kills under load (LOOKS of many), and deeply at the end."""
    draw = random.Random(seed)
    book = ledger.Ledger()
    server.start()
    senders = Senders(server, book, seed)
    senders.start()
    ready: tuple[list[float], list[float]] = ([], [])
    of_all = orphans = stuck = 0
    share = -(-mails // kills)
    try:
        for number in range(kills):
            _wait_for(book, book.acknowledged + max(1, int(share * draw.uniform(0.6, 1.4))))
            everyone = draw.random() < ALL_AT_ONCE
            of_all += everyone
            orphans += _kill_once(server, None if everyone else draw.choice(server.pids()))
            restarted = not server.running()
            if (seconds := _ready_after(server)) is None:
                stuck += 1
                server.kill()
                server.start()
            else:
                ready[restarted].append(seconds)
            if checkup is not None and number % max(1, kills // LOOKS) == 0:
                checkup.look(f"kill {number}", deep=False)
        _wait_for(book, max(mails, book.acknowledged + 1))
    finally:
        senders.stop()
    server.drain()
    if checkup is not None:
        checkup.look("the last kill")
    return Report(
        server.name,
        seed,
        kills,
        of_all,
        share,
        tuple(ready[False]),
        tuple(ready[True]),
        orphans,
        stuck,
        mailboxes.judge(server, book),
        senders.codes,
    )


def _wait_for(book: ledger.Ledger, count: int) -> None:
    seen, changed = book.acknowledged, time.monotonic()
    while book.acknowledged < count:
        time.sleep(0.005)
        if book.acknowledged != seen:
            seen, changed = book.acknowledged, time.monotonic()
        elif time.monotonic() - changed > STALL_SECONDS:
            raise TimeoutError(f"no mail acknowledged for {STALL_SECONDS} s; {seen} so far, {count} wanted")


def _kill_once(server: Server, pid: int | None) -> int:
    """Kill; start again what does not come back by itself; the number of processes left behind."""
    server.kill(pid)
    orphans = 0
    if not server.running():
        try:
            processes.wait_gone(server.pids(), timeout=ORPHAN_SECONDS)
        except TimeoutError:
            orphans = len(server.pids())
            server.kill()
    return orphans


def _ready_after(server: Server) -> float | None:
    """The seconds until it serves again; None when it does not."""
    begun = time.monotonic()
    if not server.running():
        server.start()
    try:
        for listener in ("smtp", "imap"):
            wait_banner(server.port(listener), begun + READY_SECONDS)
    except TimeoutError:
        return None
    return time.monotonic() - begun
