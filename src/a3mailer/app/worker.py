"""One worker process: its loop, its view of the store, its doors, and how it ends without losing anything."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Final

import uvloop

from a3mailer.app.compose import Background, Rooms, compose
from a3mailer.app.control import serve_control
from a3mailer.app.held import Held
from a3mailer.app.settings import load
from a3mailer.config.load import ConfigError
from a3mailer.edge.certificates import ServerCertificates
from a3mailer.edge.listener import PATIENCE_SECONDS, Acceptor
from a3mailer.runtime.clock import SystemClock
from a3mailer.runtime.supervise import contained, describe
from a3mailer.telemetry.events import LOG, emit

SWEEP_SECONDS: Final = 1.0
"""How often deadlines are looked at and the log is flushed."""
AGAIN_SECONDS: Final = 1.0
"""Before a background work that failed is begun again."""
STOP_DRAIN_SECONDS: Final = 5.0
"""How long a stop (not a restart) lets work in hand finish."""


def run_worker(held: Held, number: int, ready: Callable[[], None]) -> None:
    """Serve until told to stop. ``held`` is what the supervisor holds; ``ready`` says that mail is served."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_Worker(held, number).run(ready))


class _Worker:
    """The pieces of one worker that signals act on."""

    def __init__(self, held: Held, number: int) -> None:
        self._held = held
        self._number = number
        self._settings = held.settings
        self._certificates = ServerCertificates(held.directory, held.settings, SystemClock())
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Event()
        self._drain_seconds = STOP_DRAIN_SECONDS

    async def run(self, ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop, STOP_DRAIN_SECONDS)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # the terminal's Ctrl-C: the supervisor decides
        loop.add_signal_handler(signal.SIGUSR1, self._stop, float(self._settings.server.drain_seconds))
        loop.add_signal_handler(signal.SIGHUP, self._reloading.set)
        rooms = await compose(self._held, self._number, lambda: self._settings, self._certificates)
        try:
            await self._take_settings(rooms)
            async with asyncio.TaskGroup() as tasks:
                await self._serve(rooms, tasks, ready)
        finally:
            await rooms.close()

    async def _serve(self, rooms: Rooms, tasks: asyncio.TaskGroup, ready: Callable[[], None]) -> None:
        self._held.by_ip.take_row(self._number)
        acceptor = Acceptor(
            rooms.listeners,
            lambda: self._settings,
            tasks,
            rooms.before,
            self._held.by_ip,
            patience=0.0 if self._number == 1 else PATIENCE_SECONDS,
        )
        background = [
            tasks.create_task(self._sweep(acceptor, rooms)),
            tasks.create_task(self._reload(rooms)),
            tasks.create_task(serve_control(self._held.control_socket, rooms.office)),
        ]
        works = [tasks.create_task(self._keep(name, work)) for name, work in rooms.background.items()]
        rooms.watch_parked(acceptor)
        acceptor.start()
        try:
            ready()
            await self._stopping.wait()
        finally:
            acceptor.stop()
        until = time.monotonic() + self._drain_seconds
        await self._drain(acceptor, until)
        if works:
            await asyncio.wait(works, timeout=max(0.0, until - time.monotonic()))
        for task in (*background, *works):
            task.cancel()

    async def _keep(self, name: str, work: Background) -> None:
        """Run a work of the house until the stop; one that fails is logged and begun again."""
        while not self._stopping.is_set():
            await contained(work(self._stopping), name)
            if not self._stopping.is_set():
                await asyncio.sleep(AGAIN_SECONDS)

    async def _drain(self, acceptor: Acceptor, until: float) -> None:
        """Idle sessions say goodbye, busy ones finish the piece in hand, the rest ends at the drain time."""
        acceptor.drain_away()
        while acceptor.sessions and (left := until - time.monotonic()) > 0:
            await asyncio.wait(tuple(acceptor.sessions), timeout=left)
        for task in tuple(acceptor.sessions):
            task.cancel()

    async def _sweep(self, acceptor: Acceptor, rooms: Rooms) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            acceptor.sweep()
            for sweep in rooms.sweeps:
                sweep()
            LOG.flush()

    def _stop(self, drain_seconds: float) -> None:
        self._drain_seconds = drain_seconds
        self._stopping.set()

    async def _reload(self, rooms: Rooms) -> None:
        while True:
            await self._reloading.wait()
            self._reloading.clear()
            await self._take_settings(rooms)

    async def _take_settings(self, rooms: Rooms) -> None:
        """A new snapshot, with what is kept in the store, and a new certificate, for new connections; a bad
        one changes nothing."""
        try:
            stored = await rooms.store.settings()
            settings = load(self._held.directory, self._held.overrides, stored=stored).settings
            self._certificates.reload(settings)
        except (ConfigError, OSError) as error:
            emit("worker.reload.refused", level="error", error=describe(error))
            return
        self._settings = settings
        LOG.configure(level=settings.log.level)
        rooms.reconfigure(settings)
