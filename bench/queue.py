"""What does a long queue cost: memory, the start, and the mails to everybody else, while its mails cannot go?

The queue is filled with mails to one destination that takes connections and never says a word, all of them
due, and measured at several sizes: the time until the server is ready and until the first mail to somebody
else has left, the memory of all processes, and the time that mails to somebody else take from the 250 of the
submission to the next server.

    python -m bench.queue --size 100000
"""

import argparse
import asyncio
import base64
import contextlib
import dataclasses
import pathlib
import smtplib
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Final

from a3mailer.config.load import load
from a3mailer.mail.ids import DEFAULT_TENANT, SYSTEM_ACCOUNT
from a3mailer.mail.message import index
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.operations import Enqueue, QueueRecipient
from a3mailer.store.ports import Content, Transaction
from bench import processes
from bench.ours import ON
from bench.report import Options, Report, Row, below, main
from tests.rig import Rig

ACCOUNT: Final = ("alice@example.test", "secret-a")
SIZES: Final = (0, 10_000, 100_000)
SMOKE_SIZES: Final = (0, 200)
PROBES: Final = 200
SMOKE_PROBES: Final = 20
PROBE_SECONDS: Final = 0.05
"""Between two mails to somebody else: what their way takes is measured, not how many there can be."""
BATCH: Final = 500
START_GOAL: Final = 5.0
FLAT: Final = 1.2
SLOWER: Final = 1.5
WAIT_SECONDS: Final = 120.0
SETTLE_SECONDS: Final = 10.0
MAIL: Final = b"From: <alice@example.test>\r\nSubject: %s\r\n\r\n" + b"Hello there.\r\n" * 60


class Mute:
    """A server that takes connections and says nothing."""

    def __enter__(self) -> "Mute":
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self.port = self._socket.getsockname()[1]
        self._held: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._held.append(self._socket.accept()[0])

    def __exit__(self, *exc: object) -> None:
        self._socket.close()
        for each in self._held:
            each.close()


class Clocked:
    """A server that takes every mail at once; ``came`` has the moment of each, by its subject."""

    def __init__(self) -> None:
        self.came: dict[bytes, float] = {}

    def __enter__(self) -> "Clocked":
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink\r\n")
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"DATA":
                    writer.write(b"354 go on\r\n")
                    content = await reader.readuntil(b"\r\n.\r\n")
                    subject = content.partition(b"Subject: ")[2].partition(b"\r\n")[0]
                    self.came.setdefault(subject, time.monotonic())
                writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 OK\r\n")
                if verb == b"QUIT":
                    break
        writer.close()

    def wait(self, subjects: set[bytes], seconds: float) -> None:
        """Until all of them have come. Errors: TimeoutError."""
        end = time.monotonic() + seconds
        while not subjects <= self.came.keys():
            if time.monotonic() > end:
                raise TimeoutError(
                    f"{len(subjects - self.came.keys())} of {len(subjects)} mails did not come"
                )
            time.sleep(0.01)

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._server.close()


async def fill(directory: pathlib.Path, first: int, last: int) -> None:
    """Mails to the dead destination, all due."""
    store = await SqliteStore.open(directory, load(directory, {}).settings, None, "bench")
    try:
        for begin in range(first, last, BATCH):
            octets = MAIL % (b"dead %d" % begin)
            act = [
                Enqueue(
                    SYSTEM_ACCOUNT,
                    DEFAULT_TENANT,
                    0,
                    "alice@example.test",
                    (QueueRecipient(f"user{number}@dead.test"),),
                )
                for number in range(begin, min(begin + BATCH, last))
            ]
            await store.commit(Transaction(tuple(act), (Content(octets, index(octets)),)))
    finally:
        await store.close()


def submit(rig: Rig, subjects: list[bytes], pause: float) -> dict[bytes, float]:
    """Mails of an account to somebody else: the moment of each 250."""
    taken = {}
    with smtplib.SMTP("127.0.0.1", rig.port("submission"), "client.test", timeout=60) as client:
        client.ehlo()
        login = base64.b64encode(b"\0%b\0%b" % tuple(part.encode() for part in ACCOUNT)).decode()
        client.docmd("AUTH", f"PLAIN {login}")
        for subject in subjects:
            client.sendmail(ACCOUNT[0], ["x@live.test"], MAIL % subject)
            taken[subject] = time.monotonic()
            time.sleep(pause)
    return taken


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """With so many mails in the queue."""

    ready: float
    first: float
    """Until a mail that was submitted when it was ready had left."""
    pss: float
    latencies: list[float]

    def percentile(self, percent: float) -> float:
        """Of the way out, in seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def measure_one(rig: Rig, sink: Clocked, size: int, probes: int) -> Measured:
    """Start it, send, stop it."""
    ready = rig.start(300.0)
    name = b"first %d" % size
    (begun,) = submit(rig, [name], 0.0).values()
    sink.wait({name}, WAIT_SECONDS)
    time.sleep(SETTLE_SECONDS if probes > SMOKE_PROBES else 0.0)
    subjects = [b"probe %d of %d" % (number, size) for number in range(probes)]
    taken = submit(rig, subjects, PROBE_SECONDS)
    sink.wait(set(subjects), WAIT_SECONDS)
    pss = processes.pss_bytes(rig.pids()) / 1e6
    rig.stop()
    late = [max(0.0, sink.came[subject] - taken[subject]) for subject in subjects]
    return Measured(ready, max(0.0, sink.came[name] - begun), pss, late)


@contextlib.contextmanager
def server(directory: pathlib.Path, mute: Mute, sink: Clocked) -> Iterator[Rig]:
    """Ours, not running yet; mails to dead.test go to the mute one."""
    rules = f"to=dead.test via=127.0.0.1:{mute.port},to=live.test via=127.0.0.1:{sink.port}"
    rig = Rig(directory, accounts=(ACCOUNT,), settings=(*ON, f"queue.rules={rules}"), workers=2)
    try:
        rig.init()
        yield rig
    finally:
        rig.close()


def measure(chosen: Options, report: Report, sizes: tuple[int, ...]) -> None:
    """From size to size."""
    probes = SMOKE_PROBES if chosen.smoke else PROBES
    report.count(sizes=sizes, probes=probes)
    base: Measured | None = None
    with (
        Mute() as mute,
        Clocked() as sink,
        contextlib.ExitStack() as stack,
    ):
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=chosen.directory))
        rig = stack.enter_context(server(pathlib.Path(folder), mute, sink))
        held = 0
        for size in sizes:
            begun = time.monotonic()
            asyncio.run(fill(rig.directory, held, size))
            report.note(f"filled to {size} in {time.monotonic() - begun:.1f} s")
            held = size
            found = measure_one(rig, sink, size, probes)
            base = base or found
            tell(report, size, found, base)
    report.note("    (peer: ours with the first size)")


def tell(report: Report, size: int, found: Measured, base: Measured) -> None:
    """The rows of one size."""
    report.add(below(f"start to ready, {size} queued", "s", found.ready, START_GOAL))
    report.add(Row(f"ready to the first mail out, {size} queued", "s", found.first, base.first))
    flat = found.pss <= FLAT * base.pss
    report.add(Row(f"memory (PSS), {size} queued", "MB", found.pss, base.pss, f"<= {FLAT:g}x", flat))
    for name, percent in (("p50", 50.0), ("p99", 99.0)):
        ours, first = found.percentile(percent) * 1e3, base.percentile(percent) * 1e3
        goal = f"<= {SLOWER:g}x" if name == "p99" else ""
        report.add(
            Row(f"a mail to somebody else, {name}, {size} queued", "ms", ours, first, goal,
                ours <= SLOWER * first if goal else None)
        )  # fmt: skip


def sizes_of(arguments: list[str]) -> tuple[tuple[int, ...], list[str]]:
    """``--size N`` of the command line, and the rest of it."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--size", type=int, default=SIZES[-1], help="the largest queue")
    given, rest = parser.parse_known_args(arguments)
    smoke = "--smoke" in rest
    return SMOKE_SIZES if smoke else (*[s for s in SIZES if s < given.size], given.size), rest


if __name__ == "__main__":
    chosen_sizes, sys.argv[1:] = sizes_of(sys.argv[1:])
    sys.exit(main(__doc__, lambda chosen, report: measure(chosen, report, chosen_sizes), rounds=1))
