"""logs: the server's events, from wherever its supervisor writes them, filtered.

The supervisor's stderr is asked of the kernel: a file is read through /proc, systemd's journal by journalctl.
A terminal or a pipe cannot be read again; then the events are given as a file, or on stdin.
"""

from __future__ import annotations

import os
import re
import select
import stat
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import msgspec

from a3mailer.app.cli.exits import NOT_RUNNING, OK, UNUSABLE, USAGE, Failed
from a3mailer.app.cli.office import data_directory
from a3mailer.app.cli.output import Output
from a3mailer.app.cli.server import state
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb
from a3mailer.telemetry.events import LEVELS

LINES: Final = "100"
POLL_SECONDS: Final = 0.2
READ: Final = 1 << 16
_UNIT: Final = re.compile(r"/([^/\n]+\.service)(?:/|$)", re.MULTILINE)
_FIRST: Final = ("time", "level", "event", "trace", "process")
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are shown. ``trace`` of a connection means its mails, too (``trace-1``, ``trace-2``)."""

    trace: str
    level: int
    event: str
    message_id: str = ""

    def take(self, line: bytes) -> dict[str, Any] | None:
        """The event of a line, None when it is not asked for. What is no event has only a ``text``."""
        if (self.trace or self.message_id).encode() not in line:
            return None
        try:
            event = _decode(line)
        except msgspec.DecodeError:
            everything = not (self.trace or self.event or self.message_id) and self.level == 0
            return {"text": line.decode("utf-8", "replace")} if everything else None
        trace, name = str(event.get("trace", "")), str(event.get("event", ""))
        fits = (
            (not self.trace or trace == self.trace or trace.startswith(f"{self.trace}-"))
            and (not self.event or name == self.event or name.startswith(f"{self.event}."))
            and (not self.message_id or event.get("message_id") == self.message_id)
            and LEVELS.get(str(event.get("level")), 0) >= self.level
        )
        return event if fits else None


def logs(args: Arguments, out: Output) -> int:
    """logs."""
    if args.lines < 0:
        raise Failed(USAGE, "--lines is a number of events, or 0 for all")
    wanted = Wanted(args.trace or "", LEVELS[args.level] if args.level else 0, args.event or "")
    with _source(args) as read:
        last: deque[dict[str, Any]] = deque(maxlen=args.lines or None)
        lines = _lines(read)
        for line in lines:
            if line is None:
                break
            if (event := wanted.take(line)) is not None:
                last.append(event)
        found = _in_order(last)
        if out.json and not args.follow:
            out.result(found)
            return OK
        for event in found:
            out.event(event, shown(event))
        for line in lines if args.follow else ():
            if line is None:
                time.sleep(POLL_SECONDS)
            elif (event := wanted.take(line)) is not None:
                out.event(event, shown(event))
    return OK


def events_of(directory: str, trace: str = "", message_id: str = "") -> list[dict[str, Any]]:
    """All that the server logged of one trace, or that names a Message-ID, by time. Errors: Failed."""
    wanted = Wanted(trace, 0, "", message_id)
    with _source(Arguments(file=None, dir=directory, follow=False)) as read:
        lines = takewhile(lambda line: line is not None, _lines(read))
        return _in_order([event for line in lines if line and (event := wanted.take(line)) is not None])


def _lines(read: Callable[[], bytes | None]) -> Iterator[bytes | None]:
    """Whole lines; None where there is nothing more for now. Ends with the source."""
    rest = b""
    while (octets := read()) is not None:
        if not octets:
            yield None
            continue
        *whole, rest = (rest + octets).split(b"\n")
        yield from (line for line in whole if line)
    if rest:
        yield rest
    yield None


def _in_order(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """By time: every process writes its own events in larger pieces. What has no time stays behind the one
    before it."""
    at, dated = 0.0, []
    for event in events:
        at = event.get("time", at)
        dated.append((at, event))
    return [event for _, event in sorted(dated, key=lambda pair: pair[0])]


def shown(event: dict[str, Any]) -> str:
    """An event for people."""
    if "text" in event and "event" not in event:
        return str(event["text"])
    at = event.get("time")
    when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if at else "-"
    head = f"{when} {event.get('level', '-'):7} {event.get('event', '-')}"
    named = [f"{name}={event[name]}" for name in ("trace", "process") if event.get(name)]
    return " ".join([head, *named, *(f"{k}={v}" for k, v in event.items() if k not in _FIRST)])


# --- where events come from --------------------------------------------------------------------------


@contextmanager
def _source(args: Arguments) -> Generator[Callable[[], bytes | None], None, None]:
    """A function that gives the next octets: empty when there are none for now, None at the end."""
    if args.file == "-":
        yield lambda: _piped(sys.stdin.fileno(), follow=args.follow)
        return
    if args.file:
        with _opened(Path(args.file)) as file:
            yield lambda: _grown(file) or (b"" if args.follow else None)
        return
    pid = int(state(data_directory(args.dir))["pid"] or 0)
    if not pid:
        raise Failed(NOT_RUNNING, "the server is not running: say which file its log went to, or -")
    stderr = Path(f"/proc/{pid}/fd/2")
    mode = stderr.stat().st_mode
    if stat.S_ISREG(mode):
        with _opened(stderr) as file:
            yield lambda: _grown(file)
    elif stat.S_ISSOCK(mode) and (unit := _UNIT.search(Path(f"/proc/{pid}/cgroup").read_text())):
        with _journal(unit[1], follow=args.follow) as pipe:
            yield lambda: _piped(pipe, follow=args.follow)
    else:
        raise Failed(UNUSABLE, "the server's log goes to a terminal or a pipe, which cannot be read again")


@contextmanager
def _opened(path: Path) -> Generator[FileIO, None, None]:
    try:
        file = FileIO(path)
    except OSError as error:
        raise Failed(UNUSABLE, f"{path}: {error.strerror}") from error
    with file:
        yield file


def _grown(file: FileIO) -> bytes:
    """What was added; from the beginning again where the file was emptied."""
    if os.fstat(file.fileno()).st_size < file.tell():
        file.seek(0)
    return file.read(READ) or b""


@contextmanager
def _journal(unit: str, *, follow: bool) -> Generator[int, None, None]:
    arguments = ["journalctl", "--output=cat", "--lines=all", "--unit", unit]
    if follow:
        arguments.append("--follow")
    try:
        reader = subprocess.Popen(arguments, stdout=subprocess.PIPE)  # noqa: S603 - no shell, a fixed program
    except FileNotFoundError as error:
        raise Failed(UNUSABLE, "the log goes to systemd's journal, and there is no journalctl") from error
    assert reader.stdout is not None
    try:
        yield reader.stdout.fileno()
    finally:
        reader.terminate()
        reader.stdout.close()
        reader.wait()


def _piped(fd: int, *, follow: bool) -> bytes | None:
    if follow and not select.select([fd], [], [], POLL_SECONDS)[0]:
        return b""
    return os.read(fd, READ) or None


VERBS: Final = (
    Verb(
        "logs",
        "print what the server logged",
        "server.log",
        logs,
        (
            Argument(
                "FILE", "a file with events, - is stdin (default: the running server's log)", "?", file=True
            ),
        ),
        (
            Option("--follow", "go on with what is logged from now on"),
            Option("--trace", "only this connection, or this mail on its whole way", metavar="TRACE"),
            Option("--event", "only this event (auth.login.failed) or family (auth)", metavar="EVENT"),
            Option("--level", "only this level and above", choices=tuple(LEVELS)),
            Option(
                "--lines",
                "the last so many events; 0 = all there are",
                metavar="COUNT",
                number=True,
                default=LINES,
            ),
        ),
    ),
)
