"""The fault injectors do to any process what they say, and undo it."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from a3mailer.testing.faults.limits import limited
from a3mailer.testing.faults.strace import Strace, Tampering, require_strace
from a3mailer.testing.faults.wall_clock import WallClock

Child = subprocess.Popen[str]
SYNC = """
import os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
for line in sys.stdin:
    try:
        os.write(file, b"x" * 4096)
        os.fdatasync(file)
        print("fine", flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"""
YEAR = "import sys, time\nfor line in sys.stdin: print(time.gmtime().tm_year, flush=True)"


@contextlib.contextmanager
def child(
    program: str, *arguments: str, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ask(process: Child) -> str:
    """One round of the child."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def test_the_second_call_fails_and_no_other(tmp_path: Path) -> None:
    require_strace()
    with child(SYNC, str(tmp_path / "file")) as process:
        assert ask(process) == "fine"
        with Strace(process.pid, Tampering("fdatasync", "error=EIO", 2), tmp_path / "log") as strace:
            assert [ask(process) for _ in range(3)] == ["fine", "Input/output error", "fine"]
        assert strace.hit()
        with Strace(process.pid, Tampering("fdatasync", "error=EIO", 2), tmp_path / "log") as strace:
            assert ask(process) == "fine"
        assert not strace.hit()
        assert ask(process) == "fine"


def test_a_call_kills(tmp_path: Path) -> None:
    require_strace()
    with child(SYNC, str(tmp_path / "file")) as process:
        with Strace(process.pid, Tampering("fdatasync", "signal=KILL", 1), tmp_path / "log") as strace:
            assert ask(process) == ""
            assert process.wait() == -9
        assert strace.hit()


def test_a_limit_holds_and_is_taken_back(tmp_path: Path) -> None:
    with child(SYNC, str(tmp_path / "file")) as process:
        before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        with limited([process.pid], resource.RLIMIT_NOFILE, lambda _pid: 17):
            assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[0] == 17
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == before
        with limited([process.pid], resource.RLIMIT_FSIZE, lambda _pid: 4096):
            assert [ask(process) for _ in range(2)] == ["fine", "File too large"]
        assert ask(process) == "fine"
        with limited([process.pid], resource.RLIMIT_FSIZE, lambda _pid: 4096):
            process.kill()
            process.wait()  # one that has gone needs nothing back


def test_the_clock_leaps_while_a_process_runs(tmp_path: Path) -> None:
    clock = WallClock(tmp_path)
    with child(YEAR, env=clock.env) as process:
        now = int(ask(process))
        clock.set("+4000d")
        assert int(ask(process)) in (now + 10, now + 11)
        clock.set("-4000d")
        assert int(ask(process)) in (now - 10, now - 11)
