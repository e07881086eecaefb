"""The steps by which a machine becomes a mail server, each of which can be taken back."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from a3mailer.app.cli import unit
from a3mailer.app.cli.exits import UNUSABLE, Failed
from a3mailer.app.cli.init import Made, Plan, make
from a3mailer.app.cli.output import Output
from a3mailer.app.cli.server import state
from a3mailer.app.cli.steps import Step

LOG: Final = "serve.log"
"""In the data directory, where no systemd keeps the log."""
READY_SECONDS: Final = 60.0
COMMAND_SECONDS: Final = 120.0
STOP_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.05
SHOWN: Final = 400
"""Characters of another program's complaint that are repeated."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What of the machine a first run touches."""

    units: Path = Path("/etc/systemd/system")
    booted: Path = Path("/run/systemd/system")
    """Is there where systemd runs the machine (sd_booted(3))."""
    systemctl: str = "systemctl"
    useradd: str = "useradd"
    userdel: str = "userdel"
    user: str = unit.USER

    @property
    def has_services(self) -> bool:
        """Can this process install a service?"""
        return os.geteuid() == 0 and self.booted.is_dir()


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be made."""

    directory: Path
    plan: Plan
    service: bool
    start: bool


class Installing:
    """Makes the steps; ``made`` is there after they were performed."""

    def __init__(self, wish: Wish, machine: Machine, out: Output) -> None:
        self._wish = wish
        self._machine = machine
        self._out = out
        self._existed = wish.directory.exists()
        self._was_empty = not self._existed or not any(wish.directory.iterdir())
        self._had_unit = (machine.units / unit.NAME).exists()
        self._missing = [path for path in wish.directory.parents if not path.exists()]
        self._server = 0
        self.made: Made | None = None

    def steps(self, tell: Callable[[], None]) -> tuple[Step, ...]:
        """All of them, in order. ``tell`` says what the person must know: who was not told has nothing."""
        return (*self._all(), Step("telling", tell))

    def _all(self) -> Iterator[Step]:
        service = self._wish.service
        if service and not self._user_exists():
            yield Step("user", self._add_user, self._remove_user)
        yield Step("data directory", self._make, self._unmake)
        if service:
            yield Step("owner", self._give)
            yield Step("unit", self._write_unit, self._remove_unit)
        if service and self._wish.start:
            yield Step("service", self._enable, self._disable)
        elif self._wish.start:
            yield Step("server", self._start, self._stop)

    # --- the user of the service ----------------------------------------------------------------------

    def _user_exists(self) -> bool:
        try:
            pwd.getpwnam(self._machine.user)
        except KeyError:
            return False
        return True

    def _add_user(self) -> None:
        home = str(self._wish.directory)
        words = ("--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin")
        _run(self._machine.useradd, *words, "--home-dir", home, self._machine.user)

    def _remove_user(self) -> None:
        if self._user_exists():
            _run(self._machine.userdel, self._machine.user)

    # --- the data directory -----------------------------------------------------------------------------

    def _make(self) -> None:
        self.made = make(self._wish.directory, self._wish.plan, self._out)

    def _unmake(self) -> None:
        directory = self._wish.directory
        if self._was_empty and directory.exists():
            for each in directory.iterdir() if self._existed else (directory,):
                shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
        for path in self._missing:
            with contextlib.suppress(OSError):  # somebody else has put something there
                path.rmdir()

    def _give(self) -> None:
        if not self._user_exists():
            raise Failed(UNUSABLE, f"there is no user {self._machine.user}")
        entry = pwd.getpwnam(self._machine.user)
        for folder, folders, files in os.walk(self._wish.directory):
            for name in (".", *folders, *files):
                os.chown(Path(folder, name), entry.pw_uid, entry.pw_gid, follow_symlinks=False)

    # --- systemd ----------------------------------------------------------------------------------------

    def _write_unit(self) -> None:
        directory = self._wish.directory.absolute()
        text = unit.unit(unit.program(), directory, self._machine.user, unit.needed())
        path = self._machine.units / unit.NAME
        with path.open("x") as file:
            file.write(text)
        _run(self._machine.systemctl, "daemon-reload")

    def _remove_unit(self) -> None:
        if self._had_unit:
            return
        (self._machine.units / unit.NAME).unlink(missing_ok=True)
        _run(self._machine.systemctl, "daemon-reload")

    def _enable(self) -> None:
        _run(self._machine.systemctl, "enable", "--now", unit.NAME)
        self._await(lambda: True)

    def _disable(self) -> None:
        _run(self._machine.systemctl, "disable", "--now", unit.NAME)

    # --- without systemd --------------------------------------------------------------------------------

    def _start(self) -> None:
        directory = self._wish.directory
        log = os.open(directory / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        words = (sys.executable, "-m", "a3mailer.app.main", "serve", str(directory))
        streams = (
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        )
        try:  # it outlives this process, so it is nobody's subprocess
            self._server = os.posix_spawn(words[0], words, os.environ, file_actions=streams, setsid=True)
        finally:
            os.close(log)
        self._await(self._lives)

    def _lives(self) -> bool:
        """Does the server that was started still run?"""
        if self._server and os.waitpid(self._server, os.WNOHANG)[0]:
            self._server = 0
        return self._server != 0

    def _stop(self) -> None:
        for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
            if self._lives():
                os.killpg(self._server, number)
            deadline = time.monotonic() + seconds
            while self._lives() and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)

    def _await(self, lives: Callable[[], bool]) -> None:
        """Until mail is served. Errors: Failed."""
        deadline = time.monotonic() + READY_SECONDS
        while not state(self._wish.directory)["ready"]:
            if not lives() or time.monotonic() > deadline:
                raise Failed(UNUSABLE, f"the server did not start: {self._complaint()}")
            time.sleep(POLL_SECONDS)

    def _complaint(self) -> str:
        """The last line of the log, which goes with the rest."""
        try:
            lines = (self._wish.directory / LOG).read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            return f"journalctl -u {unit.NAME} says why"
        last = lines[-1] if lines else "it said nothing"
        with contextlib.suppress(ValueError, TypeError):
            return str(json.loads(last).get("error") or last)[:SHOWN]
        return last[:SHOWN]


def _run(*command: str) -> None:
    """A program of the system. Errors: Failed (it does not exist, takes too long, or says no)."""
    try:
        done = subprocess.run(  # noqa: S603 (fixed words and our own paths)
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Failed(UNUSABLE, f"{command[0]}: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-SHOWN:]
        raise Failed(UNUSABLE, f"{' '.join(command[:3])}: {said or f'exit {done.returncode}'}")
