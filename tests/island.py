"""A network of its own for one test: only a loopback, every port free, and names as the test says.

    with Island(tmp_path, "mail.example.test", "autoconfig.example.test") as island:
        subprocess.run([*island.inside, "curl", "https://mail.example.test/"])

As a program (``python tests/island.py HOSTS``) it is the process that holds the two namespaces, until its
standard input ends.
"""

from __future__ import annotations

import fcntl
import pathlib
import socket
import struct
import subprocess
import sys
from types import TracebackType
from typing import Final, Self

import pytest

SIOCSIFFLAGS: Final = 0x8914
UP: Final = 1 | 64
"""IFF_UP and IFF_RUNNING."""


class Island:
    """Skips as ``forbidden`` where the kernel or the container refuses namespaces."""

    def __init__(self, folder: pathlib.Path, *names: str) -> None:
        self._hosts = folder / "hosts"
        self._hosts.write_text(f"127.0.0.1 localhost {' '.join(names)}\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.inside: tuple[str, ...] = ()
        """What a command inside begins with."""
        self.around: tuple[str, ...] = ()
        """The same for the wrapper of a Rig: a process around the command."""

    def __enter__(self) -> Self:
        held = [sys.executable, __file__, str(self._hosts)]
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--net", *held],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdout is not None and self._process.stderr is not None
        if self._process.stdout.readline() != b"ready\n":
            reason = self._process.stderr.read().decode().strip()
            self._end()
            pytest.skip(f"forbidden: a network namespace: {reason}")
        self.inside = ("nsenter", "--target", str(self._process.pid), "--mount", "--net", "--")
        self.around = ("sh", "-c", '"$@"; exit', "sh", *self.inside)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        assert self._process is not None
        self._process.communicate()


def hold(hosts: str) -> None:
    """Raise the loopback, put the names in place, and wait."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", UP))
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    print("ready", flush=True)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    hold(sys.argv[1])
