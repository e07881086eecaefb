"""How a verb reaches the store: through a worker while the server runs, else alone under the same lock."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Protocol

from a3mailer.app.cli.exits import BUSY, UNUSABLE, USAGE, Failed, failure
from a3mailer.app.lock import Locked, acquire

CONTROL: Final = Path("run") / "control.sock"
SETTINGS: Final = "a3mailer.toml"
WAIT_SECONDS: Final = 10.0
"""How long a verb waits for a server that starts or stops, or for another verb that works alone."""
POLL_SECONDS: Final = 0.1
Progress = Callable[[int, int], None]


def _ignore(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


class Session(Protocol):
    """Performs verbs one after another, always through the same door."""

    def perform(self, verb: str, arguments: Mapping[str, object], progress: Progress = ...) -> Any:
        """The result of one verb. Errors: Failed."""
        ...


class Remote:
    """Over the control socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._lines: IO[bytes] = connection.makefile("rb")

    def perform(self, verb: str, arguments: Mapping[str, object], progress: Progress = _ignore) -> Any:
        items: list[object] = []
        for line in self._ask(verb, arguments):
            answer = json.loads(line)
            if "progress" in answer:
                progress(*answer["progress"])
            elif "items" in answer:
                items += answer["items"]
            elif "error" in answer:
                raise failure(answer["error"], answer["text"])
            else:
                return items or answer["result"]
        raise Failed(BUSY, "the server ended before it answered; what was done: a3mailer audit query")

    def _ask(self, verb: str, arguments: Mapping[str, object]) -> Generator[bytes, None, None]:
        """The lines of the answer, as far as they come."""
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n")
            while line := self._lines.readline():
                yield line


def data_directory(text: str) -> Path:
    """An existing data directory. Errors: Failed."""
    directory = Path(text)
    if not (directory / SETTINGS).is_file():
        reason = "is not a data directory" if directory.exists() else "does not exist"
        raise Failed(
            UNUSABLE, f"{text} {reason} (make one: a3mailer init {text} ...; or say which: --dir DIR)"
        )
    return directory


@contextmanager
def session(text: str) -> Generator[Session, None, None]:
    """The door to the store of a data directory. Errors: Failed (BUSY, UNUSABLE)."""
    directory = data_directory(text)
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        connection = connect(directory)
        if connection is not None:
            with connection:
                yield Remote(connection)
            return
        _must_be_owner(directory)
        try:
            lock = acquire(directory)
        except Locked as error:
            if time.monotonic() > deadline:
                raise Failed(BUSY, f"{error} and does not answer") from None
            time.sleep(POLL_SECONDS)
            continue
        except OSError as error:
            raise Failed(UNUSABLE, f"{directory}: {error.strerror}") from error
        try:
            from a3mailer.app.cli.solo import alone

            with alone(directory) as found:
                yield found
        finally:
            os.close(lock)
        return


def _must_be_owner(directory: Path) -> None:
    """Root working alone would leave files that the server's user cannot read. Errors: Failed (UNUSABLE)."""
    owner = directory.stat().st_uid
    if os.geteuid() == 0 and owner:
        text = f"{directory} belongs to user {owner} and its server is stopped"
        raise Failed(UNUSABLE, f"{text}: start it, or run this as that user (sudo -u '#{owner}' ...)")


def connect(directory: Path) -> socket.socket | None:
    """A connection to the control socket; None when nobody listens. The path may have any length."""
    try:
        folder = os.open(directory / CONTROL.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{CONTROL.name}")
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except PermissionError as error:
        connection.close()
        raise Failed(UNUSABLE, f"{directory / CONTROL}: not permitted: run as the server's user") from error
    finally:
        os.close(folder)
    return connection


def read_password(from_stdin: bool, again: bool = True, what: str = "Password") -> str:
    """A password from stdin's first line, or asked for on the terminal. Errors: Failed (USAGE)."""
    import getpass
    import sys

    if from_stdin:
        line = sys.stdin.readline()
        if not line:
            raise Failed(USAGE, f"no {what.lower()} on stdin")
        return line.rstrip("\r\n")
    if not sys.stdin.isatty():
        option = what.lower().replace(" ", "-")
        raise Failed(USAGE, f"no terminal to ask for the {what.lower()} on: use --{option}-stdin")
    first = getpass.getpass(f"{what}: ")
    if again and getpass.getpass("Again: ") != first:
        raise Failed(USAGE, "the two are not the same")
    return first
