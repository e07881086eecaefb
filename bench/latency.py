"""How near is the wait for the 250 to the disk's own: p99 from end of DATA against two syncs of that size?

Two kinds of windows of mails (20 sessions, 4 KB) alternate.  In the saturated ones each session sends its
next mail as soon as it can: the wait is then the length of the line, sessions / (mails a second), whatever
the disk does.  In the paced ones the same sessions together send at half the saturated rate, at random
moments planned beforehand, and each wait counts from its planned moment.  After each window comes what the
server must at least do for a batch of the same size: write the contents to a preallocated segment and
fdatasync it, append the rows to a write-ahead log and fsync it.  The batch size is the server's own count of
mails and group commits.
"""

import dataclasses
import os
import pathlib
import random
import statistics
import sys
import time
from typing import Final

from bench.load import Load, run
from bench.ours import ON, instance
from bench.report import Options, Report, Row, at_most, main
from bench.scrape import scrape
from tests.rig import Rig

SESSIONS: Final = 20
ACCOUNTS: Final = tuple((f"user{n}@example.test", "secret-a") for n in range(20))
SIZE: Final = 4096
ROW: Final = (
    1600  # octets of rows a mail: message, fragments, mailbox entry (the real log writes whole pages)
)
SEGMENT: Final = 64 << 20
GOAL: Final = 4.0
PACED: Final = 0.5  # of the saturated rate


@dataclasses.dataclass(slots=True)
class Disk:
    """The two files of the comparison."""

    segment: int
    log: int
    at: int = 0

    def batch(self, contents: bytes, rows: bytes) -> float:
        """Both writes and both syncs; the seconds."""
        begun = time.perf_counter()
        os.pwrite(self.segment, contents, self.at)
        os.fdatasync(self.segment)
        os.write(self.log, rows)
        os.fsync(self.log)
        seconds = time.perf_counter() - begun
        self.at = (self.at + len(contents)) % (SEGMENT - len(contents))
        return seconds


def open_disk(folder: pathlib.Path) -> Disk:
    """A preallocated segment and an empty log, beside the server's data."""
    segment = os.open(folder / "segment", os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(segment, 0, SEGMENT)
    os.fsync(segment)
    return Disk(segment, os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND))


def percentile(values: list[float], percent: int) -> float:
    """What ``percent`` of the values do not exceed, in ms."""
    return sorted(values)[len(values) * percent // 100] * 1e3


@dataclasses.dataclass(slots=True)
class Windows:
    """All windows of one kind, and the syncs between them."""

    waits: list[float] = dataclasses.field(default_factory=list)
    disk: list[float] = dataclasses.field(default_factory=list)
    batches: list[float] = dataclasses.field(default_factory=list)
    rates: list[float] = dataclasses.field(default_factory=list)

    def add(self, server: Rig, load: Load, disk: Disk, syncs: int, draw: random.Random) -> None:
        """One window, then the disk alone with batches of the size this window had."""
        before = scrape(server.port("metrics"))
        sent = run(load)
        after = scrape(server.port("metrics"))
        self.waits += sent.latencies
        self.rates.append(sent.accepted / sent.seconds)
        done = after["a3_store_batches_total"] - before["a3_store_batches_total"]
        self.batches.append(load.mails / max(1.0, done))
        size = max(1, round(self.batches[-1]))
        contents, rows = draw.randbytes(SIZE * size), draw.randbytes(ROW * size)
        self.disk += [disk.batch(contents, rows) for _ in range(syncs)]

    def tell(self, report: Report, name: str) -> None:
        """The rows of this kind."""
        report.add(Row(f"{name}: sent", "mails/s", statistics.median(self.rates)))
        report.add(Row(f"{name}: a group commit, mean", "mails", statistics.mean(self.batches)))
        for percent in (50, 99):
            title = f"{name}: end of DATA to 250, p{percent}"
            ours, peer = percentile(self.waits, percent), percentile(self.disk, percent)
            goal = percent == 99
            report.add(at_most(title, "ms", ours, peer, GOAL) if goal else Row(title, "ms", ours, peer))


def measure(chosen: Options, report: Report) -> None:
    """Alternate, then compare all windows of a kind together."""
    windows, mails, syncs = (3, 100, 50) if chosen.smoke else (20, 1000, 300)
    draw = random.Random(chosen.seed)
    saturated, paced = Windows(), Windows()
    with instance(chosen.directory, ON, ACCOUNTS) as server:
        disk = open_disk(server.directory.parent)
        recipients = tuple(account for account, _ in ACCOUNTS)
        load = Load(server.port("smtp"), mails, SESSIONS, per_session=0, recipients=recipients, size=SIZE)
        run(load)
        for window in range(windows):
            load = dataclasses.replace(load, seed=chosen.seed + window, rate=0.0)
            saturated.add(server, load, disk, syncs, draw)
            rate = PACED * statistics.median(saturated.rates)
            paced.add(server, dataclasses.replace(load, rate=rate), disk, syncs, draw)
        os.close(disk.segment)
        os.close(disk.log)
    report.count(sessions=SESSIONS, windows=2 * windows, mails=2 * windows * mails, syncs=2 * windows * syncs)
    saturated.tell(report, "saturated")
    paced.tell(report, f"paced at {PACED:.0%}")
    report.note("    (peer: the two syncs alone)")


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, rounds=1))
