"""One writer process, or every worker its own writer under a file lock? (ADR 0004)

    python -m bench.locking [--workers 2] [--senders 20] [--mails 8000]

Both do the same work with the same code: contents into the worker's own segment, one fdatasync, then one
group commit of counters and rows. ``lock``: each worker commits itself, holding ``flock`` meanwhile, and
forgets what it knew, because the other changed it. ``writer``: as served. CPU is the sum of all processes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import os
import platform
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import uvloop

from a3mailer.config.tree import Settings
from a3mailer.config.tree import Store as StoreSettings
from a3mailer.keys.kek import KeyRing
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, AccountId
from a3mailer.runtime.clock import SystemClock
from a3mailer.store import operations as op
from a3mailer.store.backends.sqlite.commit import Batch, Committer, Session
from a3mailer.store.backends.sqlite.connection import KEY_FILE, SEGMENTS, open_writer
from a3mailer.store.backends.sqlite.handover import Work
from a3mailer.store.backends.sqlite.link import Handover
from a3mailer.store.backends.sqlite.segments import SegmentWriter
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.ports import Content, Transaction
from bench.processes import cpu_seconds
from bench.store import content, mail, make_accounts, writer

SETTINGS = Settings(store=StoreSettings(encryption=False, compression=False))


def pool() -> list[Content]:
    rng = random.Random(3)
    return [content(mail(4096, rng)) for _ in range(200)]


def unique(one: Content, number: int) -> Content:
    return Content(b"X-Number: %016d\r\n" % number + bytes(one.octets), one.index)


async def served(
    directory: Path, path: Path, accounts: list[AccountId], first: int, arguments: argparse.Namespace
) -> list[float]:
    """One worker of the server's kind."""
    store = await SqliteStore.open(directory, SETTINGS, path, "bench")
    contents, left, waits = pool(), iter(range(arguments.mails)), []

    async def sender() -> None:
        for n in left:
            one = unique(contents[n % len(contents)], first + n)
            began = time.perf_counter()
            await store.commit(Transaction((op.Append(accounts[n % len(accounts)], INBOX, 0),), (one,)))
            waits.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for _ in range(arguments.senders):
            group.create_task(sender())
    await store.close()
    return waits


async def locked(
    directory: Path, accounts: list[AccountId], first: int, arguments: argparse.Namespace
) -> list[float]:
    """One worker that commits for itself, a batch of all its senders at a time, as they would queue."""
    store = await SqliteStore.open(directory, SETTINGS, directory / "writer.sock", "bench")
    clock = SystemClock()
    connection = open_writer(directory)
    segments = SegmentWriter(directory / SEGMENTS, SETTINGS.store.segment_size, clock)
    committer = Committer(connection, KeyRing.load(directory / KEY_FILE), directory / KEY_FILE, clock)
    committer.sessions[first + 1] = Session("")
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    contents, waits = pool(), []
    for number, start in enumerate(range(0, arguments.mails, arguments.senders), 1):
        began = time.perf_counter()
        works = []
        for n in range(start, start + arguments.senders):
            account = accounts[n % len(accounts)]
            piece, record = await store._sealing.prepare(
                unique(contents[n % len(contents)], first + n), DEFAULT_TENANT, [account]
            )
            assert record is not None
            work = Work(DEFAULT_TENANT, (op.Append(account, INBOX, 0),), (piece,), b"")
            works.append((Handover(work, [(0, record)], asyncio.get_running_loop().create_future()), record))
        places = segments.write([record for _, record in works])
        for (handover, _), place in zip(works, places, strict=True):
            handover.placed([place])
        fcntl.flock(lock, fcntl.LOCK_EX)
        committer.ledger.reset()
        committer.commit([Batch(first + 1, number, tuple(handover.work for handover, _ in works))])
        committer.take_hints()
        fcntl.flock(lock, fcntl.LOCK_UN)
        waits += [time.perf_counter() - began] * arguments.senders
        if number % 50 == 0:
            with contextlib.suppress(apsw.BusyError):
                connection.wal_checkpoint()
    connection.close()
    await store.close()
    return waits


def run_workers(count: int, work: Callable[[int], list[float]]) -> tuple[float, float, list[float]]:
    """(wall seconds, CPU seconds, waits) of ``count`` forked workers."""
    began, children, pipes = time.perf_counter(), [], []
    for number in range(count):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            waits = sorted(work(number))
            text = f"{statistics.median(waits)} {waits[len(waits) * 99 // 100]}"
            os.write(write, text.encode())
            os._exit(0)
        os.close(write)
        children.append(pid)
        pipes.append(read)
    cpu = 0.0
    for pid in children:
        _, status, usage = os.wait4(pid, 0)
        assert status == 0
        cpu += usage.ru_utime + usage.ru_stime
    waits = [float(x) for read in pipes for x in os.read(read, 100).split()]
    return time.perf_counter() - began, cpu, waits


def measure(how: str, arguments: argparse.Namespace) -> None:
    directory = Path(tempfile.mkdtemp(prefix="a3-bench-locking-"))
    try:
        with writer(directory, SETTINGS) as (path, pid):

            async def prepare() -> list[AccountId]:
                store = await SqliteStore.open(directory, SETTINGS, path, "bench")
                made = await make_accounts(store, 50)
                await store.close()
                return made

            accounts = asyncio.run(prepare())
            before = cpu_seconds([pid])

            def work(number: int) -> list[float]:
                first = number * arguments.mails
                if how == "writer":
                    return asyncio.run(served(directory, path, accounts, first, arguments))
                return asyncio.run(locked(directory, accounts, first, arguments))

            wall, cpu, waits = run_workers(arguments.workers, work)
            cpu += cpu_seconds([pid]) - before
        mails = arguments.mails * arguments.workers
        print(
            f"{how:7} {arguments.workers} workers of {arguments.senders} senders:"
            f" {mails / wall:7.0f} mails/s, CPU us a mail {cpu / mails * 1e6:6.1f},"
            f" wait ms p50 {min(waits[::2]) * 1e3:.1f}"
            f" p99 {max(waits[1::2]) * 1e3:.1f}",
            flush=True,
        )
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--senders", type=int, default=20)
    parser.add_argument("--mails", type=int, default=8000, help="a worker")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(
        f"{platform.machine()} {os.cpu_count()} cores, CPython {platform.python_version()},"
        f" load {os.getloadavg()[0]:.1f}"
    )
    uvloop.install()
    for _ in range(arguments.rounds):
        for how in ("writer", "lock"):
            measure(how, arguments)


if __name__ == "__main__":
    run()
