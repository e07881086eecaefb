"""Port bases nobody uses: every listener of an instance at base + its standard port."""

import dataclasses
import fcntl
import os
import pathlib
import random
import socket
import tempfile
from typing import IO, Final

OFFSETS: Final = {
    "lmtp": 24,
    "smtp": 25,
    "http": 80,
    "pop3": 110,
    "imap": 143,
    "https": 443,
    "submissions": 465,
    "submission": 587,
    "imaps": 993,
    "pop3s": 995,
    "managesieve": 4190,
    "metrics": 9090,
}
BASES: Final = (10_000, 23_600)  # base + 9090 stays below Linux's ephemeral ports (32768)


@dataclasses.dataclass(frozen=True, slots=True)
class PortBase:
    """A port base nobody uses: each of its ports is held by a file lock as long as the object lives."""

    base: int
    locks: tuple[IO[bytes], ...]

    def port(self, listener: str) -> int:
        """The port of a listener of the table."""
        return self.base + OFFSETS[listener]

    def release(self) -> None:
        """Give the base back."""
        for lock in self.locks:
            lock.close()


def reserve() -> PortBase:
    """Find a base whose every listener port can be bound now, and lock them against other rigs.

    Two bases may share a port (one's POP3 is another's HTTP), and a rig that is stopped has its own still."""
    draw = random.SystemRandom()
    folder = pathlib.Path(tempfile.gettempdir()) / f"a3mailer-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for _ in range(200):
        base = draw.randrange(*BASES, 10)
        ports = [base + offset for offset in OFFSETS.values()]
        found = PortBase(base, tuple([(folder / str(port)).open("wb") for port in ports]))
        try:
            for lock in found.locks:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found.release()
            continue
        if all(map(_bindable, ports)):
            return found
        found.release()
    raise OSError("no free port base")


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
