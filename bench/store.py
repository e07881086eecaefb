"""The store alone: CPU a mail on both sides of the hand-over, reading in bulk, growth.

    python -m bench.store [deliver|read|grow] [--plain] [--seconds N] [--directory DIR]

The worker is this process (no network, no parsing: the index is made once), the writer a process of its
own. CPU is user + system of each; wall rates depend on the disk and on who else is on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import random
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import uvloop

from a3mailer.config.tree import Settings
from a3mailer.config.tree import Store as StoreSettings
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, AccountId, ModSeq, Uid
from a3mailer.mail.message import index
from a3mailer.store import operations as op
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.backends.sqlite.writer import run_writer
from a3mailer.store.ports import Content, Transaction
from bench.processes import cpu_seconds

ACCOUNTS = 50
DOMAIN = "bench.test"
CASES = (
    (1, 1500, 4096),
    (9, 6000, 4096),
    (38, 20000, 4096),
    (100, 20000, 4096),
    (20, 3000, 65536),
    (8, 300, 1 << 20),
)
"""(senders, mails, octets of one)."""


@contextlib.contextmanager
def writer(directory: Path, settings: Settings) -> Iterator[tuple[Path, int]]:
    """A writer process; the path of its socket and its process id."""
    path = directory / "writer.sock"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(16)
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        if os.environ.get("A3_PROFILE"):
            profiled(directory, settings, listener, tell)
        run_writer(directory, settings, listener, lambda: bool(os.write(tell, b".")))
        os._exit(0)
    os.read(ready, 1)
    try:
        yield path, pid
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def profiled(directory: Path, settings: Settings, listener: socket.socket, tell: int) -> None:
    """The writer under cProfile; its figures go to stdout when it ends."""
    import cProfile
    import pstats

    profile = cProfile.Profile(time.thread_time)
    profile.enable()
    run_writer(directory, settings, listener, lambda: bool(os.write(tell, b".")))
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)
    os._exit(0)


def mail(size: int, rng: random.Random) -> bytes:
    """A mail of about ``size`` octets whose body does not compress."""
    head = (
        f"Received: from mx.example.test by mail.bench.test; Fri, 15 Jan 2027 08:00:00 +0000\r\n"
        f"Message-ID: <{rng.randbytes(12).hex()}@example.test>\r\n"
        f"From: Alice Example <alice@example.test>\r\nTo: Bob Example <bob@{DOMAIN}>\r\n"
        f"Subject: Minutes {rng.randrange(10**6)}\r\n"
        "Date: Fri, 15 Jan 2027 08:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        'Content-Type: text/plain; charset="utf-8"\r\n\r\n'
    ).encode()
    body = rng.randbytes(max(size - len(head), 16) // 2).hex().encode()
    lines = b"\r\n".join(body[at : at + 76] for at in range(0, len(body), 76))
    return head + lines + b"\r\n"


async def make_accounts(store: SqliteStore, count: int) -> list[AccountId]:
    await store.commit(Transaction((op.PutDomain(DEFAULT_TENANT, DOMAIN),)))
    found = []
    for n in range(count):
        (made,) = await store.commit(Transaction((op.CreateAccount(DEFAULT_TENANT, f"u{n}@{DOMAIN}"),)))
        assert isinstance(made, op.AccountCreated)
        found.append(made.account)
    return found


async def deliver(
    store: SqliteStore, pid: int, accounts: list[AccountId], senders: int, mails: int, size: int
) -> None:
    """``senders`` at once, each waiting for its answer."""
    rng = random.Random(1)
    pool = [content(mail(size, rng)) for _ in range(min(500, mails))]
    left = iter(range(mails))
    waits: list[float] = []

    async def sender() -> None:
        for n in left:
            account = accounts[n % len(accounts)]
            began = time.perf_counter()
            await store.commit(
                Transaction((op.Append(account, INBOX, 0),), (pool[n % len(pool)],), fingerprint=b"%16d" % n)
            )
            waits.append(time.perf_counter() - began)

    mine, theirs, began = time.process_time(), cpu_seconds([pid]), time.perf_counter()
    commits = store._version()
    async with asyncio.TaskGroup() as group:
        for _ in range(senders):
            group.create_task(sender())
    wall = time.perf_counter() - began
    mine, theirs = time.process_time() - mine, cpu_seconds([pid]) - theirs
    batches = max(store._version() - commits, 1)
    waits.sort()
    print(
        f"deliver {size:7} octets, {senders:3} senders: {mails / wall:8.0f} mails/s,"
        f" batch {mails / batches:5.1f}, CPU us a mail: worker {mine / mails * 1e6:6.1f},"
        f" writer {theirs / mails * 1e6:6.1f};"
        f" wait ms p50 {waits[len(waits) // 2] * 1e3:.2f} p99 {waits[len(waits) * 99 // 100] * 1e3:.2f}",
        flush=True,
    )


def content(octets: bytes) -> Content:
    return Content(octets, index(octets))


def best(name: str, figures: list[float], n: int) -> None:
    print(f"{name:40} {min(figures) / n * 1e6:8.2f} us each", flush=True)


async def read(store: SqliteStore, account: AccountId) -> None:
    """Bulk reads of one large mailbox."""
    box, columns = await store.columns(account, INBOX)
    count = len(columns.uids)
    uids = [Uid(uid) for uid in columns.uids]
    emails = columns.emails
    rows = await store.messages(account, INBOX, uids)
    blobs = [row.blob for row in rows[:1000]]
    for name, call, n in (
        ("columns", lambda: store.columns(account, INBOX), count),
        ("envelopes, dense", lambda: store.envelopes(account, emails), count),
        ("envelopes, every third", lambda: store.envelopes(account, emails[::3]), len(emails[::3])),
        ("bodystructures, dense", lambda: store.bodystructures(account, emails), count),
        ("messages", lambda: store.messages(account, INBOX, uids), count),
        ("fragments", lambda: store.fragments(account, emails), count),  # type: ignore[arg-type]
        ("whole contents", lambda: store.many_octets(account, blobs), len(blobs)),
        ("one content", lambda: store.octets(account, blobs[0]), 1),
        ("mailbox row", lambda: store.mailbox(account, INBOX), 1),
        ("no changes", lambda: store.changes(account, INBOX, box.modseq), 1),
    ):
        figures = []
        for _ in range(7):
            began = time.process_time()
            for _ in range(1 if n > 1 else 100):
                await call()
            figures.append((time.process_time() - began) / (1 if n > 1 else 100))
        best(name, figures, n)


async def fill(store: SqliteStore, account: AccountId, count: int) -> None:
    rng = random.Random(2)
    pool = [content(mail(4096, rng)) for _ in range(100)]
    for start in range(0, count, 500):
        n = min(500, count - start)
        operations = tuple(op.Append(account, INBOX, k % 100) for k in range(n))
        await store.commit(Transaction(operations, tuple(pool)))


async def flags(store: SqliteStore, pid: int, account: AccountId, count: int) -> None:
    mine, theirs = time.process_time(), cpu_seconds([pid])
    everything = tuple(Uid(n) for n in range(1, count + 1))
    await store.commit(Transaction((op.StoreFlags(account, INBOX, everything, "+", 1),)))
    print(
        f"flags of {count}: us each: worker {(time.process_time() - mine) / count * 1e6:.2f},"
        f" writer {(cpu_seconds([pid]) - theirs) / count * 1e6:.2f}"
    )
    mine, theirs = time.process_time(), cpu_seconds([pid])
    for n in range(1, 501):
        await store.commit(Transaction((op.StoreFlags(account, INBOX, (Uid(n),), "+", 4),)))
    print(
        f"500 single flags: us each: worker {(time.process_time() - mine) / 500 * 1e6:.1f},"
        f" writer {(cpu_seconds([pid]) - theirs) / 500 * 1e6:.1f}",
        flush=True,
    )


async def grow(store: SqliteStore, pid: int, accounts: list[AccountId], top: int) -> None:
    """Delivery, SELECT and delta sync while one mailbox and the whole store grow."""
    have, step = 0, 1000
    big = accounts[0]
    while have < top:
        wanted = step - have
        await fill(store, big, wanted // 2)
        for account in accounts[1:]:
            await fill(store, account, wanted // 2 // (len(accounts) - 1))
        have = step
        print(f"--- {have} messages, half of them in one mailbox")
        await deliver(store, pid, accounts, 38, 4000, 4096)
        since = ModSeq((await store.mailbox(big, INBOX)).modseq - 20)
        for name, call in (
            ("mailbox row", partial(store.mailbox, big, INBOX)),
            ("delta sync of 20 changes", partial(store.changes, big, INBOX, since)),
        ):
            began = time.process_time()
            for _ in range(200):
                await call()
            print(f"{name:40} {(time.process_time() - began) / 200 * 1e6:8.1f} us", flush=True)
        step *= 10


async def main(arguments: argparse.Namespace, directory: Path, settings: Settings) -> None:
    with writer(directory, settings) as (path, pid):
        store = await SqliteStore.open(directory, settings, path, "bench")
        accounts = await make_accounts(store, arguments.accounts)
        if arguments.what == "deliver":
            await deliver(store, pid, accounts, 38, 2000, 4096)
            for senders, mails, size in arguments.cases:
                await deliver(store, pid, accounts, senders, mails, size)
        elif arguments.what == "read":
            await fill(store, accounts[0], 10_000)
            await read(store, accounts[0])
            await flags(store, pid, accounts[0], 10_000)
        else:
            await grow(store, pid, accounts, arguments.top)
        await store.close()


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("deliver", "read", "grow"), default="deliver", nargs="?")
    parser.add_argument("--plain", action="store_true", help="neither encrypted nor compressed")
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--top", type=int, default=100_000)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--case", action="append", help="SENDERS,MAILS,OCTETS; may be repeated")
    arguments = parser.parse_args()
    arguments.cases = [tuple(map(int, case.split(","))) for case in arguments.case or ()] or CASES
    settings = Settings(store=StoreSettings(encryption=not arguments.plain, compression=not arguments.plain))
    directory = Path(tempfile.mkdtemp(prefix="a3-bench-store-", dir=arguments.directory))
    print(
        f"{platform.machine()} {os.cpu_count()} cores, CPython {platform.python_version()},"
        f" load {os.getloadavg()[0]:.1f}"
    )
    try:
        uvloop.install()
        asyncio.run(main(arguments, directory, settings))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    run()
