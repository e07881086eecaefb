"""A whole server for end-to-end tests, started the way packagers and monitoring start it.

``Rig`` runs ``a3mailer init``, ``serve`` and ``status`` of the working tree as child processes, with a free
port base and a directory of its own.  Nothing here reaches into the server: what is not on the command line
or on a socket, a test cannot see.

    rig = Rig(tmp_path)
    rig.start()
    rig.port("smtp"), rig.pids(), rig.kill(), rig.stop()
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, Self

from bench import ports, processes

ROOT: Final = pathlib.Path(__file__).parents[1]
READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 40.0
ACCOUNTS: Final = (("alice@example.test", "secret-a"), ("bob@example.test", "secret-b"))


class RigError(RuntimeError):
    """The server did not start, or a verb failed; carries the tail of its log."""


class Rig:
    """One instance of the server in one directory; usable as a context manager (starts and stops)."""

    name = "a3mailer"

    def __init__(
        self,
        directory: pathlib.Path,
        *,
        accounts: Iterable[tuple[str, str]] = ACCOUNTS,
        extra: Sequence[str] = (),
        settings: Sequence[str] = ("profile=plain", "limits.profile=off"),
        workers: int | None = None,
        plaintext: bool = True,
        hostname: str = "mail.example.test",
        domain: str = "example.test",
        env: dict[str, str] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        """``extra`` goes to ``init`` as it is; ``wrapper`` stands before ``serve`` (strace, prlimit)."""
        self.directory = directory / "instance"
        self.log = directory / "serve.log"
        self.accounts = tuple(accounts)
        self.hostname = hostname
        self.wrapper = tuple(wrapper)
        self._ports = ports.reserve()
        self.base = self._ports.base
        self._process: subprocess.Popen[bytes] | None = None
        self._session = 0
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
        self.env = {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep), **(env or {})}
        self._init = ["--hostname", hostname, "--domain", domain, "--port-base", str(self.base)]
        for address, password in self.accounts:
            self._init += ["--account", f"{address}:{password}"]
        if plaintext:
            self._init.append("--allow-plaintext-auth")
        if workers is not None:
            self._init += ["--workers", str(workers)]
        for setting in settings:
            self._init += ["--set", setting]
        self._init += extra

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self.close()

    # --- verbs -----------------------------------------------------------------------------------------
    def command(self, *arguments: str) -> list[str]:
        """The argument vector that runs this working tree's ``a3mailer ARGUMENTS``."""
        return [sys.executable, "-m", "a3mailer.app.main", *arguments]

    def run(
        self, *arguments: str, stdin: bytes | None = None, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one verb to its end; ``RigError`` when ``check`` and the exit code is not 0."""
        done = subprocess.run(
            self.command(*arguments),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            env=self.env,
            timeout=timeout,
        )
        if check and done.returncode:
            raise RigError(f"{arguments}: exit {done.returncode}\n{done.stdout!r}\n{done.stderr.decode()}")
        return done

    def verb(self, *arguments: str, check: bool = True) -> Any:
        """Run ``a3mailer ARGUMENTS --json --dir DIR`` and return what it printed."""
        return json.loads(self.run(*arguments, "--json", "--dir", str(self.directory), check=check).stdout)

    def init(self) -> None:
        """Make the instance; nothing when it exists."""
        if not self.directory.exists():
            self.run("init", str(self.directory), *self._init)

    def status(self) -> dict[str, Any] | None:
        """What ``status --json`` prints, or None unless it exits 0."""
        done = self.run("status", str(self.directory), "--json", check=False)
        return dict(json.loads(done.stdout)) if done.returncode == 0 else None

    # --- life ------------------------------------------------------------------------------------------
    def spawn(self) -> subprocess.Popen[bytes]:
        """Start ``serve`` without waiting until it is ready."""
        if self._process is not None and self._process.poll() is None:
            raise RigError("already running")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.wrapper, *self.command("serve", str(self.directory))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                start_new_session=True,
            )
        self._session = self._process.pid
        return self._process

    def start(self, timeout: float = READY_SECONDS) -> float:
        """Init when needed, serve, wait until ``status`` says ready; returns the seconds since serve."""
        self.init()
        begun = time.monotonic()
        self.spawn()
        self.wait_ready(timeout)
        return time.monotonic() - begun

    def wait_ready(self, timeout: float = READY_SECONDS) -> dict[str, Any]:
        """Wait until ``status`` exits 0; ``RigError`` with the log when serve ends or time is over."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                raise RigError(f"serve ended with {self._process.returncode}\n{self.log_tail()}")
            if status := self.status():
                return status
            time.sleep(0.1)
        raise RigError(f"not ready after {timeout} s\n{self.log_tail()}")

    def stop(self, timeout: float = STOP_SECONDS) -> int | None:
        """SIGTERM and wait; returns the exit code, None when it was not running."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            target = processes.children(self._process.pid)[0] if self.wrapper else self._process.pid
            os.kill(target, signal.SIGTERM)
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RigError(f"did not stop in {timeout} s\n{self.log_tail()}") from None
        self._process = None
        return code

    def kill(self, pid: int | None = None) -> None:
        """SIGKILL to one process, or to all of them at once; a dead supervisor is waited for."""
        victims = [pid] if pid is not None else self.pids()
        processes.kill(victims)
        processes.wait_gone(victims)
        if self._process is not None and self._process.pid in victims:
            self._process.wait(STOP_SECONDS)
            self._process = None

    def running(self) -> bool:
        """True while the process that ``serve`` became lives."""
        return self._process is not None and self._process.poll() is None

    def pids(self) -> list[int]:
        """The supervisor (first), its workers and helpers, as the kernel sees them now."""
        return processes.tree(self._session) if self._session else []

    def cpu_seconds(self) -> float:
        """User + system CPU of all processes of the server, those that ended included."""
        return processes.cpu_seconds(self.pids())

    def close(self) -> None:
        """Kill what still runs and give the port base back."""
        victims = self.pids()
        processes.kill(victims)
        processes.wait_gone(victims)
        if self._process is not None:
            self._process.wait(STOP_SECONDS)
            self._process = None
        self._ports.release()

    def queued(self) -> int:
        """Accepted mails that are in no mailbox: none, local mail is in its mailbox before the 250."""
        return 0

    # --- addresses -------------------------------------------------------------------------------------
    def port(self, listener: str) -> int:
        """The port of a listener of ``outside.md``'s table: smtp, imap, submissions ..."""
        return self._ports.port(listener)

    def credentials(self, index: int = 0) -> tuple[str, str]:
        """Address and password of the index-th account."""
        return self.accounts[index]

    def log_tail(self, octets: int = 6000) -> str:
        """The end of what ``serve`` wrote."""
        return self.log.read_bytes()[-octets:].decode(errors="replace") if self.log.exists() else ""

    def drain(self, timeout: float = 0) -> None:
        """Nothing to wait for, see ``queued``."""
