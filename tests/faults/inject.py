"""Faults at the N-th system call of one delivery, by strace: an error the kernel never had, or a kill.

For every process of the server, every kind of call and every fault: one mail is sent while the N-th call
fails, for N = 1, 2, 3 ... until a delivery makes no N-th call.  strace counts each thread for itself.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import pathlib
import re
import select
import shutil
import signal
import subprocess
import time
from typing import Final

import pytest

from bench import processes
from tests.faults import ledger, mailboxes
from tests.faults.senders import Wire
from tests.rig import Rig

CALLS: Final = (
    "fdatasync",
    "fsync",
    "pwrite64",
    "pwritev",
    "write",
    "writev",
    "ftruncate",
    "fallocate",
    "rename",
    "unlink",
    "openat",
    "sendmsg",
    "sendto",
)
FAULTS: Final = ("error=EIO", "error=ENOSPC", "signal=KILL")
ATTACH_SECONDS: Final = 10.0
MOST: Final = 60
HIT: Final = re.compile(rb"\(INJECTED\)|killed by SIGKILL|--- SIGKILL")
SETTLE_SECONDS: Final = 0.1
SEND_SECONDS: Final = 5.0
RECOVER_SECONDS: Final = 10.0
BODY: Final = b"a line of the delivery under test\r\n" * 100


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One injection: the place of the process in ``rig.pids()``, the call, the fault, the N."""

    place: int
    call: str
    fault: str
    number: int

    @property
    def name(self) -> str:
        """What the ledger calls it."""
        return f"p{self.place}-{self.call}-{self.fault.replace('=', '.')}-{self.number}"


def check() -> None:
    """Skip unless strace is here and may attach."""
    if shutil.which("strace") is None:
        pytest.skip("absent: strace")
    with subprocess.Popen(["sleep", "5"]) as victim:
        done = subprocess.run(
            ["timeout", "1", "strace", "-p", str(victim.pid)], capture_output=True, text=True
        )
        victim.kill()
    if "attached" not in done.stderr:
        pytest.skip(f"forbidden: ptrace ({done.stderr.strip()})")


class Strace:
    """strace attached to all threads of one process, for the length of a ``with``."""

    def __init__(self, pid: int, case: Case, log: pathlib.Path) -> None:
        self._log = log
        log.unlink(missing_ok=True)
        inject = f"inject={case.call}:{case.fault}:when={case.number}"
        self._process = subprocess.Popen(
            ["strace", "-f", "-p", str(pid), "-o", str(log), "-e", f"trace={case.call}", "-e", inject],
            stderr=subprocess.PIPE,
        )

    def __enter__(self) -> "Strace":
        assert self._process.stderr is not None
        deadline = time.monotonic() + ATTACH_SECONDS
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self._process.stderr], [], [], 0.5)
            if ready and b"attached" in (line := self._process.stderr.readline()):
                return self
            if ready and not line:
                break
        raise TimeoutError("strace did not attach")

    def __exit__(self, *exc: object) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(ATTACH_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            if self._process.stderr is not None:
                self._process.stderr.close()

    def hit(self) -> bool:
        """True when the fault happened."""
        return self._log.exists() and HIT.search(self._log.read_bytes()) is not None


@dataclasses.dataclass(slots=True)
class Injection:
    """A run: the server with one worker, the ledger, what happened."""

    rig: Rig
    folder: pathlib.Path
    book: ledger.Ledger = dataclasses.field(default_factory=ledger.Ledger)
    hits: list[str] = dataclasses.field(default_factory=list)
    stuck: list[str] = dataclasses.field(default_factory=list)

    def run(self, calls: tuple[str, ...], faults: tuple[str, ...], most: int = MOST) -> ledger.Judgement:
        """Every call and fault in every process, for N = 1 ... until it does not happen; the judgement."""
        for place in range(len(self.rig.pids())):
            for call, fault in itertools.product(calls, faults):
                for number in range(1, most + 1):
                    if not self._happens(Case(place, call, fault, number)):
                        break
        return mailboxes.judge(self.rig, self.book)

    def _happens(self, case: Case) -> bool:
        strace = Strace(self.rig.pids()[case.place], case, self.folder / "strace.log")
        with strace:
            self._send(case.name)
            time.sleep(SETTLE_SECONDS)
        if strace.hit():
            self.hits.append(case.name)
            self._recover(case)
        return strace.hit()

    def _send(self, name: str) -> ledger.Outcome:
        recipient = self.rig.accounts[0][0]
        mail = ledger.content(name, BODY)
        outcome = ledger.Outcome.REFUSED
        with contextlib.suppress(OSError, ValueError):  # before the content: nothing was sent
            wire = Wire(self.rig.port("smtp"), SEND_SECONDS)
            outcome, _ = wire.send(recipient, mail)
            wire.close()
        digest = hashlib.sha256(mail).digest()
        self.book.write(ledger.Attempt(name, recipient, digest, outcome, time.monotonic()))
        return outcome

    def _recover(self, case: Case) -> None:
        """The server must take mail again by itself; only a dead supervisor is started again."""
        if not self.rig.running():
            processes.wait_gone(self.rig.pids())
            self.rig.start()
        deadline = time.monotonic() + RECOVER_SECONDS
        tries = 0
        while self._send(f"{case.name}-probe-{tries}") is not ledger.Outcome.ACKNOWLEDGED:
            tries += 1
            time.sleep(SETTLE_SECONDS)
            if time.monotonic() > deadline:
                self.stuck.append(case.name)
                break
        if case.fault.startswith("signal") or tries or case.name in self.stuck:
            self.rig.kill()  # the same order of processes for the next case
            self.rig.start()
