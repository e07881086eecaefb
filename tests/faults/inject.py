"""Faults at the N-th system call of one delivery, by strace: an error the kernel never had, or a kill.

For every process of the server, every kind of call and every fault: one mail is sent while the N-th call
fails, for N = 1, 2, 3 ... until a delivery makes no N-th call.  strace counts each thread for itself.  The
sender goes on as a queue does: it sends the mail again until it is taken.  ``cold`` injects into a process
that has just been started (it opens its segment, its readers), else into one that has delivered before.
The supervisor delivers nothing; its event is a child that dies.
"""

import contextlib
import dataclasses
import itertools
import pathlib
import time
from typing import Final

from a3mailer.testing.faults.strace import Strace, Tampering
from bench import processes
from tests.faults import ledger, mailboxes
from tests.faults.checkup import Checkup
from tests.faults.senders import Mail, Wire
from tests.rig import Rig

CALLS: Final = (
    "fdatasync",
    "fsync",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "write",
    "writev",
    "ftruncate",
    "fallocate",
    "rename",
    "renameat2",
    "unlink",
    "mmap",
    "openat",
)
SENDS: Final = ("sendmsg", "sendto")
FAULTS: Final = ("error=EIO", "error=ENOSPC", "signal=KILL")
MOST: Final = 60
SETTLE_SECONDS: Final = 0.1
SEND_SECONDS: Final = 30.0
RECOVER_SECONDS: Final = 20.0
ROLES: Final = ("supervisor", "writer", "worker")
BODY: Final = b"a line of the delivery under test\r\n" * 100


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One injection: into which process, the call, the fault, the N."""

    role: str
    call: str
    fault: str
    number: int
    cold: bool

    @property
    def name(self) -> str:
        """What the ledger calls it."""
        state = "cold" if self.cold else "warm"
        return f"{state}-{self.role}-{self.call}-{self.fault.replace('=', '.')}-{self.number}"


@dataclasses.dataclass(slots=True)
class Injection:
    """A run: the server with one worker, the ledger, what happened."""

    rig: Rig
    folder: pathlib.Path
    checkup: Checkup = dataclasses.field(init=False)
    book: ledger.Ledger = dataclasses.field(default_factory=ledger.Ledger)
    hits: list[str] = dataclasses.field(default_factory=list)
    stuck: list[str] = dataclasses.field(default_factory=list)
    ended: list[str] = dataclasses.field(default_factory=list)
    """Errors (not kills) after which the whole server had to be started again."""

    def __post_init__(self) -> None:
        self.checkup = Checkup(self.rig.directory)

    def run(
        self,
        roles: tuple[str, ...],
        calls: tuple[str, ...],
        faults: tuple[str, ...],
        most: int = MOST,
        *,
        cold: bool = False,
    ) -> ledger.Judgement:
        """Every call and fault in every process, for N = 1 ... until it does not happen; the judgement."""
        for role, call, fault in itertools.product(roles, calls, faults):
            for number in range(1, most + 1):
                if not self._happens(Case(role, call, fault, number, cold)):
                    break
        return mailboxes.judge(self.rig, self.book)

    def _pid(self, role: str) -> int:
        status = self.rig.wait_ready()
        return int({"supervisor": status["pid"], "writer": status["writer"]}.get(role, status["workers"][0]))

    def _happens(self, case: Case) -> bool:
        if case.cold and case.role != "supervisor":
            self.rig.kill(self._pid(case.role))
        mail = Mail(case.name, self.rig.accounts[0][0], ledger.content(case.name, BODY))
        tampering = Tampering(case.call, case.fault, case.number)
        threads = case.role != "supervisor"  # else its new children would fail too, each
        strace = Strace(self._pid(case.role), tampering, self.folder / "strace.log", threads=threads)
        with strace:
            if case.role == "supervisor":
                processes.kill([self._pid("worker")])
            self._send(mail)
            time.sleep(SETTLE_SECONDS)
        if strace.hit():
            self.hits.append(case.name)
        self._recover(case, mail)
        return strace.hit()

    def _send(self, mail: Mail) -> None:
        try:
            with contextlib.closing(Wire(self.rig.port("smtp"), SEND_SECONDS)) as wire:
                mail.hear(wire.send(mail.recipient, mail.octets)[0])
        except (OSError, ValueError):
            return  # before the content: nothing was sent

    def _recover(self, case: Case, mail: Mail) -> None:
        """The server must take the mail by itself in the end; only a dead supervisor is started again."""
        deadline = time.monotonic() + RECOVER_SECONDS
        while mail.outcome is not ledger.Outcome.ACKNOWLEDGED:
            if not self.rig.running():
                self._restart(case)
            elif time.monotonic() > deadline:
                self.stuck.append(case.name)
                self.rig.kill()
                self.rig.start()
                break
            self._send(mail)
            time.sleep(SETTLE_SECONDS)
        self.book.write(mail.attempt())
        if not self.rig.running():
            self._restart(case)
        self.checkup.look(case.name)

    def _restart(self, case: Case) -> None:
        if not case.fault.startswith("signal"):
            self.ended.append(case.name)
        processes.wait_gone(self.rig.pids())
        self.rig.start()
