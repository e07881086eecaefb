"""serve, status, stop, reload, restart: the server as a process. ``status`` imports next to nothing."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from a3mailer import __version__
from a3mailer.app.cli.exits import CONFIG, LATER, NO, NOT_RUNNING, OK, USAGE, Failed
from a3mailer.app.cli.office import Remote, connect, data_directory
from a3mailer.app.cli.output import Output
from a3mailer.app.cli.verb import INSTALLED, Argument, Arguments, Option, Verb
from a3mailer.app.lock import STATE, is_held_by

LOOKS: Final = Path("cache") / "domains.json"
LOOKED: Final = ("checked", "errors", "warnings")
STOP_SECONDS: Final = 60.0
RESTART_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.05
DIRECTORY: Final = Argument("DIR", f"the data directory (default: $A3_DIR, then {INSTALLED})", "?")
SET: Final = Option(
    "--set", "override a setting, section.key=value; repeatable", metavar="NAME=VALUE", many=True
)
NOTHING: Final[dict[str, Any]] = {
    "ready": False, "pid": None, "workers": [], "listeners": {}, "version": __version__,
}  # fmt: skip


def directory_of(args: Arguments) -> Path:
    """The DIR argument or its defaults. Errors: Failed (UNUSABLE)."""
    return data_directory(args.dir or os.environ.get("A3_DIR") or INSTALLED)


def overrides(given: list[str]) -> dict[str, str]:
    """``--set`` options as names and texts. Errors: Failed (USAGE)."""
    found: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name.strip():
            raise Failed(USAGE, f"--set wants NAME=VALUE, not {each}")
        found[name.strip()] = value
    return found


def state(directory: Path) -> dict[str, Any]:
    """What the running supervisor wrote; NOTHING when none holds the lock."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((directory / STATE).read_bytes())
        if isinstance(found, dict) and is_held_by(directory, int(found.get("pid") or 0)):
            return {**NOTHING, **found}
    return dict(NOTHING)


def serve(args: Arguments, out: Output) -> int:
    """serve."""
    directory, given = directory_of(args), overrides(args.set)
    from a3mailer.app.cli.start import check, start

    return (check if args.check else start)(directory, given)


def status(args: Arguments, out: Output) -> int:
    """status."""
    directory = directory_of(args)
    found = state(directory)
    text = "not running"
    if found["pid"]:
        text = f"{'ready' if found['ready'] else 'not ready'}, pid {found['pid']}, version {found['version']}"
        text += f"\nworkers {', '.join(map(str, found['workers']))}"
        text += "".join(f"\n{name} {where}" for name, where in found["listeners"].items())
    domains = looks(directory)
    text += "".join(f"\n{line}" for line in troubles(domains))
    out.result({**found, "domains": domains}, text)
    return OK if found["ready"] else NO


def looks(directory: Path) -> dict[str, dict[str, int]]:
    """How many errors and warnings the last look at each domain found (``ops.domain_history``)."""
    try:
        found = json.loads((directory / LOOKS).read_bytes())
        return {name: {key: int(each[key]) for key in LOOKED} for name, each in found.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def troubles(domains: dict[str, dict[str, int]]) -> Iterator[str]:
    """A line for each domain with errors."""
    for name, each in domains.items():
        if each["errors"]:
            yield f"{name} has {each['errors']} errors in the DNS (a3mailer domain check {name})"


def _running(directory: Path) -> tuple[dict[str, Any], int]:
    """The state and a descriptor of the supervisor. Errors: Failed (NOT_RUNNING)."""
    found = state(directory)
    try:
        return found, os.pidfd_open(int(found["pid"] or 0))
    except (OSError, ValueError) as error:
        raise Failed(NOT_RUNNING, "the server is not running") from error


def _signal(directory: Path, number: int) -> dict[str, Any]:
    found, pidfd = _running(directory)
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError as error:
        raise Failed(NOT_RUNNING, "the server has just ended") from error
    finally:
        os.close(pidfd)
    return found


def stop(args: Arguments, out: Output) -> int:
    """stop."""
    directory = data_directory(args.dir)
    found, pidfd = _running(directory)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        ended = select.select([pidfd], [], [], STOP_SECONDS)[0]
    finally:
        os.close(pidfd)
    if not ended:
        raise Failed(LATER, f"pid {found['pid']} still finishes its work after {STOP_SECONDS:.0f} s")
    out.result({"stopped": found["pid"]}, f"stopped (pid {found['pid']})")
    return OK


def reload(args: Arguments, out: Output) -> int:
    """reload: nothing is sent to the server when the settings are faulty."""
    directory = data_directory(args.dir)
    waiting = _check(directory, out)
    found = _signal(directory, signal.SIGHUP)
    if waiting:
        out.note(f"in force only after a3mailer restart: {', '.join(waiting)}")
    shown = {"reloaded": found["pid"], "restart": waiting}
    out.result(shown, f"told pid {found['pid']} to take its settings anew")
    return OK


def _check(directory: Path, out: Output) -> list[str]:
    """Names of changed settings that need a restart, as the server sees them. Errors: Failed (CONFIG)."""
    connection = connect(directory)
    if connection is None:
        return []  # no worker answers: the server itself refuses faulty settings
    with connection:
        found = Remote(connection).perform("config pending", {})
    for problem in found["problems"]:
        out.note(problem)
    if found["problems"]:
        raise Failed(CONFIG, "the settings cannot be used; the server goes on with the old ones")
    return [change["name"] for change in found["changes"] if change["change"] == "restart"]


def restart(args: Arguments, out: Output) -> int:
    """restart: the supervisor starts its new code in place; connects are not refused meanwhile."""
    directory = data_directory(args.dir)
    _check(directory, out)
    before = _signal(directory, signal.SIGUSR2)
    deadline = time.monotonic() + RESTART_SECONDS
    while time.monotonic() < deadline:
        after = state(directory)
        if after["ready"] and not set(after["workers"]) & set(before["workers"]):
            out.result(
                {"restarted": after["pid"], "version": after["version"]}, f"restarted, {after['version']}"
            )
            return OK
        time.sleep(POLL_SECONDS)
    raise Failed(NO, "the new code did not take over; the log says why, and the old one goes on")


VERBS: Final = (
    Verb(
        "serve",
        "run the server in the foreground; SIGTERM stops it, SIGHUP reloads",
        "server.control",
        serve,
        (DIRECTORY,),
        (SET, Option("--check", "only say whether this code could serve this directory")),
        directory=False,
    ),
    Verb(
        "status",
        "say whether the server is ready; exit code 0 only then",
        "server.status",
        status,
        (DIRECTORY,),
        directory=False,
    ),
    Verb("stop", "stop the server and wait until it has ended", "server.control", stop),
    Verb("reload", "make the server take its settings anew", "server.control", reload),
    Verb(
        "restart",
        "make the server start its (new) code without refusing a connection",
        "server.control",
        restart,
    ),
)
