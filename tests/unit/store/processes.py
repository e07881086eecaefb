"""Processes for tests of the store: the writer as the supervisor starts it, and workers that die."""

import asyncio
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any

from a3mailer.config.tree import Settings
from a3mailer.store.backends.sqlite.writer import WriterLoop, run_writer


def die() -> None:
    """As kill -9 does it: nothing is flushed, nothing said."""
    os.kill(os.getpid(), signal.SIGKILL)


def fork(run: Callable[[], None]) -> int:
    """Run in a child that ends without pytest noticing; its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        run()
        status = 0
    except (Exception, SystemExit):  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def ended(pid: int, seconds: float = 20.0) -> int:
    """Wait for a child; minus the signal that killed it, or its exit status."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("the process did not end")


def run_in_child(make: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run a coroutine in a forked process; how that ended."""
    return ended(fork(lambda: asyncio.run(make())))


class WriterProcess:
    """A context: the writer serves ``path`` inside it. ``restart`` replaces one that was killed."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        self.directory = directory
        self.settings = settings
        self.path = directory / "run" / "writer.sock"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        folder = os.open(self.path.parent, os.O_RDONLY)
        self.listener.bind(f"/proc/self/fd/{folder}/{self.path.name}")
        os.close(folder)
        self.listener.listen(64)
        self.pid = 0

    def start(self, die_at: int = 0) -> None:
        """``die_at`` N kills it before its N-th statement after it is ready."""
        ready, tell = os.pipe()

        def run() -> None:
            if not die_at:
                run_writer(self.directory, self.settings, self.listener, lambda: bool(os.write(tell, b".")))
                return
            loop = WriterLoop(self.directory, self.settings, self.listener)
            _count_down(loop, die_at)
            os.write(tell, b".")
            loop.run()

        self.pid = fork(run)
        os.close(tell)
        if os.read(ready, 1) != b".":
            raise RuntimeError("the writer did not start")
        os.close(ready)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        ended(self.pid)

    def restart(self) -> None:
        self.kill()
        self.start()

    def __enter__(self) -> "WriterProcess":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.listener.close()
        os.kill(self.pid, signal.SIGTERM)
        status = ended(self.pid)
        assert status == 0, f"the writer ended with status {status}"


def _count_down(loop: WriterLoop, die_at: int) -> None:
    """Kill before the N-th statement, and in the steps behind the commit that are no statements."""
    left = [die_at]

    def step(*_: object) -> bool:
        left[0] -= 1
        if left[0] == 0:
            die()
        return True

    loop._connection.set_exec_trace(step)  # type: ignore[arg-type]
    for name in ("_hint", "_answer", "_take", "_drop"):
        original = getattr(loop, name)

        def stepped(*args: Any, original: Callable[..., Any] = original) -> Any:
            step()
            result = original(*args)
            step()
            return result

        setattr(loop, name, stepped)
