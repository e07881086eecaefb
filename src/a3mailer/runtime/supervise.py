"""Processes and tasks with an owner: fork, watch, replace, stop; and the one place that contains bugs.

The supervisor is single-threaded and runs no event loop of asyncio: it forks children that are already
warm, waits on their pidfds, replaces one that died (at once, with a back-off only for one that died before
it was ready), and takes them with it when it ends (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn, TypeVar

from a3mailer.telemetry import metrics
from a3mailer.telemetry.events import LOG, emit

PR_SET_PDEATHSIG: Final = 1
BACKOFF: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before a child that died before it was ready is started again."""
RETELL_SECONDS: Final = 1.0
"""After this long ``changed`` is called again when it could not say what it had to."""
FINISH_SECONDS: Final = 5.0
"""Beyond the drain time a stopping child is killed."""


MAX_WHERE: Final = 200
"""Characters of what an unraisable exception was ignored in."""
Answer = TypeVar("Answer")


async def contained(work: Awaitable[Answer], name: str, trace: str = "") -> Answer | None:
    """Run one connection's or one round's work; a bug ends it alone, is logged and gives None."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - the one place: a bug must not take the neighbours with it
        emit("task.failed", level="error", trace=trace, task=name, error=describe(error))
        return None


def describe(error: BaseException) -> str:
    """Type, message and the innermost places of an exception, on one line."""
    places, tb = [], error.__traceback__
    while tb is not None:
        places.append(f"{tb.tb_frame.f_code.co_qualname}:{tb.tb_lineno}")
        tb = tb.tb_next
    nested = "; ".join(describe(e) for e in getattr(error, "exceptions", ()))
    return f"{type(error).__name__}: {error} at {' > '.join(places[-6:])}{f' [{nested}]' if nested else ''}"


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """What a callback of C code could not raise, as one event and not as a traceback between the events.

    A stranger can cause one: OpenSSL calls back with a server name that is not ASCII."""
    error, where = unraisable.exc_value, repr(unraisable.object)[:MAX_WHERE]
    emit("process.unraisable", level="warning", error=describe(error) if error else "", where=where)


@dataclass(frozen=True, slots=True)
class Child:
    """What one child process is: its name, its row of the metrics table, and what it runs."""

    name: str
    row: int
    run: Callable[[Callable[[], None]], None]
    """Called in the child with the function that says it is ready; returns to end the process."""


@dataclass(slots=True)
class _Running:
    child: Child
    pid: int
    pidfd: int
    ready_fd: int
    ready: bool = False
    draining: bool = False


@dataclass(slots=True)
class Supervisor:
    """Keeps ``children`` running until it is told to stop; ``changed`` hears of every change of state.

    A disk or a process table that is full ends nobody: what could not be told or forked is tried again."""

    children: tuple[Child, ...]
    changed: Callable[[Supervisor], None]
    drain_seconds: float = 30.0
    on_signal: dict[int, Callable[[Supervisor], None]] = field(default_factory=dict)
    running: dict[int, _Running] = field(default_factory=dict)
    """By pid: children and, during a restart, draining ones of the former code."""
    stopping: bool = False
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _later: list[tuple[float, Child]] = field(default_factory=list)
    _failures: dict[str, int] = field(default_factory=dict)
    _kill_at: float = 0.0
    _retell_at: float = 0.0

    def run(self) -> None:
        """Fork the children and watch them; returns when all have ended after a stop."""
        wake_r, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, *self.on_signal):
            signal.signal(number, lambda *_: None)
        self._selector.register(wake_r, selectors.EVENT_READ, self._signalled)
        for child in self.children:
            self._start(child)
        self._tell()
        while self.running or (self._later and not self.stopping):
            for key, _ in self._selector.select(self._timeout()):
                key.data(key.fd)
            self._due()
            LOG.flush()  # nothing else would, until something happens again
        signal.set_wakeup_fd(-1)

    @property
    def ready(self) -> bool:
        """Every child is there and has said so."""
        ready = {r.child.name for r in self.running.values() if r.ready and not r.draining}
        return not self.stopping and all(child.name in ready for child in self.children)

    def pids(self, prefix: str) -> list[int]:
        """Pids of the (not draining) children whose name begins with ``prefix``."""
        return [r.pid for r in self.running.values() if r.child.name.startswith(prefix) and not r.draining]

    def signal_all(self, number: int, prefix: str = "") -> None:
        """Send a signal to the children whose name begins with ``prefix``."""
        for pid in self.pids(prefix):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def signal_adopted(self, number: int) -> None:
        """Send a signal to the former code's children that are still there."""
        for running in self.running.values():
            if running.draining:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(running.pid, number)

    def adopt(self, name: str, pid: int) -> None:
        """Watch a child of the former code (after a restart by exec) to its end; it is not replaced."""
        child = Child(name, 0, lambda _ready: None)
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        self.running[pid] = _Running(child, pid, pidfd, -1, ready=True, draining=True)
        self._selector.register(pidfd, selectors.EVENT_READ, lambda _fd: self._ended(pid))

    def stop(self) -> None:
        """Ask workers to finish, then the rest; kill what is left after the drain time."""
        if self.stopping:
            return
        self.stopping = True
        self._later.clear()
        self._kill_at = time.monotonic() + self.drain_seconds + FINISH_SECONDS
        self._tell()
        self._stop_next()

    # --- inside ------------------------------------------------------------------------------------

    def _stop_next(self) -> None:
        """Children end in reverse order of their start: what others depend on ends last."""
        left = {r.child.name: r.pid for r in self.running.values()}
        last = self.children[0].name if self.children else ""
        targets = [pid for name, pid in left.items() if name != last] or list(left.values())
        for pid in targets:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _tell(self) -> None:
        self._retell_at = 0.0
        try:
            self.changed(self)
        except OSError as error:
            emit("server.state.failed", level="error", error=str(error))
            self._retell_at = time.monotonic() + RETELL_SECONDS

    def _start(self, child: Child) -> None:
        """Fork; where the kernel refuses (descriptors, processes, memory are out), later."""
        try:
            self._fork(child)
        except OSError as error:
            emit("process.refused", level="error", child=child.name, error=str(error))
            self._delay(child)

    def _delay(self, child: Child) -> None:
        failures = self._failures[child.name] = self._failures.get(child.name, 0) + 1
        delay = BACKOFF[min(failures, len(BACKOFF)) - 1]
        self._later.append((time.monotonic() + delay, child))

    def _fork(self, child: Child) -> None:
        LOG.flush()
        ready_r, ready_w = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            os.close(ready_r)
            os.close(ready_w)
            raise
        if pid == 0:
            os.close(ready_r)
            self._in_child(child, parent, ready_w)
        os.close(ready_w)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:  # unwatched it may not live
            os.close(ready_r)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        self.running[pid] = _Running(child, pid, pidfd, ready_r)
        self._selector.register(pidfd, selectors.EVENT_READ, lambda _fd: self._ended(pid))
        self._selector.register(ready_r, selectors.EVENT_READ, lambda _fd: self._became_ready(pid))

    def _in_child(self, child: Child, parent: int, ready_fd: int) -> NoReturn:
        status = 1
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, *self.on_signal):
                signal.signal(number, signal.SIG_DFL)
            for key in list(self._selector.get_map().values()):
                os.close(int(key.fd))
            self._selector.close()
            metrics.SHARED.take_row(child.row)
            LOG.configure(process=child.name)
            sys.unraisablehook = _unraisable

            def say_ready() -> None:
                os.write(ready_fd, b"1")
                os.close(ready_fd)

            child.run(say_ready)
            status = 0
        except BaseException as error:  # noqa: BLE001 - the child's last words
            emit("process.failed", level="error", error=describe(error))
        finally:
            LOG.flush()
            os._exit(status)

    def _became_ready(self, pid: int) -> None:
        running = self.running.get(pid)
        if running is None:  # it ended in the same round of the selector, which knew both at once
            return
        if os.read(running.ready_fd, 1):
            running.ready = True
            self._failures.pop(running.child.name, None)
        self._close_ready(running)
        self._tell()

    def _close_ready(self, running: _Running) -> None:
        if running.ready_fd >= 0:
            self._selector.unregister(running.ready_fd)
            os.close(running.ready_fd)
            running.ready_fd = -1

    def _ended(self, pid: int) -> None:
        running = self.running.pop(pid)
        self._selector.unregister(running.pidfd)
        os.close(running.pidfd)
        self._close_ready(running)
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:
            status = 0
        name = running.child.name
        if self.stopping:
            emit("process.stopped", child=name, pid=pid)
            self._stop_next()
        elif not running.draining:
            metrics.count("a3_worker_restarts_total")
            emit(
                "process.died", level="warning", child=name, pid=pid, status=os.waitstatus_to_exitcode(status)
            )
            if running.ready:
                self._start(running.child)
            else:
                self._delay(running.child)
        self._tell()

    def _signalled(self, fd: int) -> None:
        for number in os.read(fd, 64):
            if number in (signal.SIGTERM, signal.SIGINT):
                self.stop()
            elif number in self.on_signal and not self.stopping:
                self.on_signal[number](self)

    def _timeout(self) -> float | None:
        times = [at for at, _ in self._later]
        times += [at for at in (self._kill_at, self._retell_at) if at]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _due(self) -> None:
        now = time.monotonic()
        for at, child in [entry for entry in self._later if entry[0] <= now]:
            self._later.remove((at, child))
            self._start(child)
        if self._retell_at and now >= self._retell_at:
            self._tell()
        if self._kill_at and now >= self._kill_at:
            for pid in list(self.running):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._kill_at = now + 1.0
