"""A writer process for tests, started as the supervisor starts it: forked, on a listening socket we keep."""

import os
import signal
import socket
import time
import traceback
from pathlib import Path
from types import TracebackType

from a3mailer.config.tree import Settings
from a3mailer.store.backends.sqlite.writer import run_writer


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

    def start(self) -> None:
        ready, tell = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                run_writer(self.directory, self.settings, self.listener, lambda: os.write(tell, b"."))
                status = 0
            except (Exception, SystemExit):  # noqa: BLE001
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(tell)
        if os.read(ready, 1) != b".":
            raise RuntimeError("the writer did not start")
        os.close(ready)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

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
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                assert status == 0, f"the writer ended with status {status}"
                return
            time.sleep(0.01)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError("the writer did not end")
