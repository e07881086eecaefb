"""How near is the wait for the 250 to the disk's own: p99 from end of DATA against two syncs of that size?

Windows of mails (20 sessions, 4 KB) alternate with windows of what the server must at least do for a batch
of the same size: write the contents to a preallocated segment and fdatasync it, append the rows to a
write-ahead log and fsync it.  The batch size is the server's own count of mails and group commits.
"""

import dataclasses
import os
import pathlib
import random
import sys
import time
from typing import Final

from bench.load import Load, run
from bench.ours import ON, instance
from bench.report import Options, Report, Row, at_most, main
from bench.scrape import scrape

ACCOUNTS: Final = tuple((f"user{n}@example.test", "secret-a") for n in range(20))
SIZE: Final = 4096
ROW: Final = (
    1600  # octets of rows a mail: message, fragments, mailbox entry (the real log writes whole pages)
)
SEGMENT: Final = 64 << 20
GOAL: Final = 4.0


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


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    ordered = sorted(values)
    return ordered[int(len(ordered) * 0.99)]


def measure(chosen: Options, report: Report) -> None:
    """Alternate, then compare all windows together."""
    windows, mails, syncs = (3, 100, 50) if chosen.smoke else (20, 1000, 300)
    draw = random.Random(chosen.seed)
    waits: list[float] = []
    disk_waits: list[float] = []
    batches: list[float] = []
    with instance(chosen.directory, ON, ACCOUNTS) as server:
        disk = open_disk(server.directory.parent)
        load = Load(server.port("smtp"), mails, recipients=tuple(a for a, _ in ACCOUNTS), size=SIZE)
        run(load)
        for window in range(windows):
            before = scrape(server.port("metrics"))
            waits += run(dataclasses.replace(load, seed=chosen.seed + window)).latencies
            after = scrape(server.port("metrics"))
            done = after["a3_store_batches_total"] - before["a3_store_batches_total"]
            batches.append(mails / max(1.0, done))
            size = max(1, round(batches[-1]))
            contents, rows = draw.randbytes(SIZE * size), draw.randbytes(ROW * size)
            disk_waits += [disk.batch(contents, rows) for _ in range(syncs)]
        os.close(disk.segment)
        os.close(disk.log)
    report.count(windows=windows, mails=windows * mails, syncs=windows * syncs)
    report.add(Row("mails a group commit, mean of windows", "mails", sum(batches) / len(batches)))
    report.add(
        at_most("end of DATA to 250, p99, 20 sessions", "ms", p99(waits) * 1e3, p99(disk_waits) * 1e3, GOAL)
    )
    half = len(waits) // 2
    report.add(
        Row(
            "end of DATA to 250, p50",
            "ms",
            sorted(waits)[half] * 1e3,
            sorted(disk_waits)[len(disk_waits) // 2] * 1e3,
        )
    )
    report.note("    (peer: the two syncs alone)")


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, rounds=1))
