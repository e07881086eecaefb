"""What a benchmark or a fault harness needs of a server, ours or a peer."""

import socket
import time
from typing import Protocol


class Server(Protocol):
    """``tests.rig.Rig`` is ours, ``bench.peers.rig.PeerRig`` is Postfix + Dovecot."""

    name: str
    accounts: tuple[tuple[str, str], ...]

    def start(self, timeout: float = ...) -> float:
        """Start and wait until it serves; the seconds it took."""

    def running(self) -> bool:
        """True while the first process of every part lives."""

    def pids(self) -> list[int]:
        """All its processes."""

    def kill(self, pid: int | None = None) -> None:
        """SIGKILL to one or all."""

    def stop(self, timeout: float = ...) -> int | None:
        """End it cleanly."""

    def close(self) -> None:
        """Kill what is left, give back ports and directories."""

    def port(self, listener: str) -> int:
        """The port of ``smtp``, ``lmtp``, ``imap`` ..."""

    def cpu_seconds(self) -> float:
        """CPU of all its processes so far."""

    def queued(self) -> int:
        """Mails accepted that are in no mailbox yet."""

    def drain(self, timeout: float = ...) -> None:
        """Return when every accepted mail is in its mailbox; ``TimeoutError`` else."""


def wait_banner(port: int, deadline: float, host: str = "127.0.0.1") -> None:
    """Return when a server greets on the port; ``TimeoutError`` after ``deadline`` (monotonic)."""
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((host, port), timeout=2) as probe:
                if probe.recv(64)[:1] in (b"2", b"*"):
                    return
        except OSError:
            pass
        time.sleep(0.01)
    raise TimeoutError(f"no greeting on port {port}")
