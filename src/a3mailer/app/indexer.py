"""The process that makes the index of texts, beside the workers and after them."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Callable
from typing import Final

import uvloop

from a3mailer.app.held import Held
from a3mailer.ops.extract import extract
from a3mailer.ops.texts import TextIndexing
from a3mailer.runtime.clock import SystemClock
from a3mailer.runtime.rest import rest
from a3mailer.runtime.supervise import contained
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.telemetry.events import LOG

NICE: Final = 10
"""Deliveries and sessions come first."""
LOCK: Final = "indexer.lock"
"""In run/: during a restart there are two, and one works."""
LOCK_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 5.0
"""Before it is begun again after a failure."""


def run_indexer(held: Held, ready: Callable[[], None]) -> None:
    """Work until told to stop."""
    os.nice(NICE)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy starts no threads: we fork
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(held, ready))


async def _run(held: Held, ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGUSR1):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    ready()
    lock = os.open(held.run_directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while not stop.is_set() and not _locked(lock):
        await rest(stop, LOCK_SECONDS)
    while not stop.is_set():
        await contained(_index(held, stop), "indexer")
        LOG.flush()
        await rest(stop, AGAIN_SECONDS)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _index(held: Held, stop: asyncio.Event) -> None:
    clock = SystemClock()
    store = await SqliteStore.open(
        held.directory, held.settings, held.run_directory / "writer.sock", "indexer"
    )
    try:
        work = TextIndexing(store.indexing(extract), clock)
        store.watch(work.heard)
        await work.run(stop)
    finally:
        await store.close()
