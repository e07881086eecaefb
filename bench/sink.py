"""Where relayed mails end: Postfix's smtp-sink, which answers at once and keeps nothing."""

import pathlib
import re
import subprocess
import time
from types import TracebackType
from typing import Final, Self

from bench import ports, processes
from bench.peers import packages
from bench.server import wait_banner

BACKLOG: Final = 1000
START_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.01
_COUNT: Final = re.compile(rb"mesg=(\d+)")


class Sink:
    """One smtp-sink on a port of its own; a context manager."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._ports = ports.reserve()
        self.port = self._ports.port("smtp")
        self._told = directory / "sink.out"

    def __enter__(self) -> Self:
        prefix = packages.prefix()
        with self._told.open("wb") as told:
            command = ["/usr/sbin/smtp-sink", "-u", "nobody", "-c", f"127.0.0.1:{self.port}", str(BACKLOG)]
            self._process = subprocess.Popen(prefix.inside(*command), stdout=told, stdin=subprocess.DEVNULL)
        wait_banner(self.port, time.monotonic() + START_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        processes.kill(processes.tree(self._process.pid))
        self._process.wait()
        self._ports.release()

    def taken(self) -> int:
        """Mails so far."""
        with self._told.open("rb") as told:
            told.seek(max(0, self._told.stat().st_size - 200))
            found = _COUNT.findall(told.read())
        return int(found[-1]) if found else 0

    def wait(self, mails: int, seconds: float) -> None:
        """Until so many have come. Errors: TimeoutError."""
        end = time.monotonic() + seconds
        while (taken := self.taken()) < mails:
            if time.monotonic() > end:
                raise TimeoutError(f"{taken} of {mails} mails came")
            time.sleep(POLL_SECONDS)
