"""``serve``: lock the data directory, bind the listeners, fork the writer and the workers, watch them.

The supervisor holds what must outlive a worker: the lock, the listening sockets, the writer's and the
control socket. It imports everything first, so that children are forked warm. ``restart`` (SIGUSR2) lets
the supervisor become the new code in place (exec: same pid, same descriptors) while old workers drain.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from a3mailer import __version__
from a3mailer.app.held import MAX_WORKERS, Held
from a3mailer.app.listeners import bind_unix, describe, listen
from a3mailer.app.lock import acquire
from a3mailer.app.settings import load
from a3mailer.config.load import ConfigError
from a3mailer.config.tree import Settings
from a3mailer.runtime.supervise import Child, Supervisor
from a3mailer.telemetry import metrics
from a3mailer.telemetry.events import LOG, emit

HANDOVER: Final = "A3_HANDOVER"
"""Environment variable through which the former code hands on its descriptors at a restart."""
CHECK_SECONDS: Final = 30

WARM: Final = (
    "uvloop",
    "apsw",
    "cryptography.hazmat.primitives.ciphers.aead",
    "a3mailer.app.worker",
    "a3mailer.app.indexer",
)
"""Imported before the first fork: children share these pages."""
YOUNG: Final = 5_000
"""Objects made and not gone before the young ones are looked through for cycles: under load that was done
several times a mail, for 5 % of its CPU; so it takes some tenths of a millisecond, and less often."""


def serve(directory: Path, overrides: Mapping[str, str]) -> int:
    """Serve until SIGTERM; returns the exit code. Errors: Locked, CannotListen, ConfigError."""
    server = _take_over(directory, overrides) or _begin(directory, overrides)
    LOG.configure(level=server.settings.log.level, process="supervisor")
    for name in WARM:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
    metrics.SHARED.take_row(0)
    supervisor = Supervisor(
        children=_children(server),
        changed=lambda s: _say_state(server, s),
        drain_seconds=server.settings.server.drain_seconds,
        on_signal={
            signal.SIGHUP: lambda s: _reload(server, s),
            signal.SIGUSR2: lambda s: _restart(server, s),
        },
    )
    _succeed(server, supervisor)
    if server.settings.limits.profile == "off":
        emit("limits.off", level="warning", note="rate limits, tarpits and authentication delays are off")
    emit("server.starting", directory=str(directory), version=__version__, listeners=describe(server.bound))
    supervisor.run()
    (server.run_directory / "state.json").unlink(missing_ok=True)
    emit("server.stopped")
    LOG.flush()
    return 0


def _begin(directory: Path, overrides: Mapping[str, str]) -> Held:
    settings = load(directory, overrides).settings
    lock = acquire(directory)
    run = directory / "run"
    for folder in (run, directory / "spool"):  # a restored directory has neither
        folder.mkdir(mode=0o700, exist_ok=True)
    bound = listen(settings)
    return Held(
        directory,
        overrides,
        settings,
        lock,
        bound,
        bind_unix(run / "writer.sock"),
        bind_unix(run / "control.sock"),
    )


def worker_count(settings: Settings) -> int:
    """As many as configured, else as cores this process may use."""
    return settings.server.workers or min(MAX_WORKERS, len(os.sched_getaffinity(0)))


def _children(server: Held) -> tuple[Child, ...]:
    workers = [
        Child(f"worker-{n}", 1 + n, _worker(server, n)) for n in range(1, worker_count(server.settings) + 1)
    ]
    indexer = (
        (Child("indexer", 2 + len(workers), _indexer(server)),) if server.settings.store.text_index else ()
    )
    return (Child("writer", 1, _writer(server)), *workers, *indexer)


def _writer(server: Held) -> Callable[[Callable[[], None]], None]:
    def run(ready: Callable[[], None]) -> None:
        from a3mailer.store.backends.sqlite.writer import run_writer

        for sockets in server.bound.values():
            for sock in sockets:
                sock.close()
        server.control_socket.close()
        run_writer(server.directory, server.settings, server.writer_socket, ready)

    return run


def _worker(server: Held, number: int) -> Callable[[Callable[[], None]], None]:
    def run(ready: Callable[[], None]) -> None:
        from a3mailer.app.worker import run_worker

        os.close(server.lock)
        run_worker(server, number, ready)

    return run


def _indexer(server: Held) -> Callable[[Callable[[], None]], None]:
    def run(ready: Callable[[], None]) -> None:
        from a3mailer.app.indexer import run_indexer

        os.close(server.lock)
        for sock in (*(each for sockets in server.bound.values() for each in sockets), server.writer_socket):
            sock.close()
        server.control_socket.close()
        run_indexer(server, ready)

    return run


def _say_state(server: Held, supervisor: Supervisor) -> None:
    """Write run/state.json, which ``status`` reads, and tell systemd once."""
    state = {
        "ready": supervisor.ready,
        "pid": os.getpid(),
        "workers": supervisor.pids("worker-"),
        "writer": next(iter(supervisor.pids("writer")), 0),
        "listeners": describe(server.bound),
        "version": __version__,
    }
    path = server.run_directory / "state.json"
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(state))
    draft.replace(path)
    if supervisor.ready:
        supervisor.signal_adopted(signal.SIGUSR1)
        emit("server.ready", workers=len(supervisor.pids("worker-")))
        LOG.flush()
        _notify_systemd("READY=1")


def _notify_systemd(text: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
        sock.send(text.encode())


def _reload(server: Held, supervisor: Supervisor) -> None:
    """SIGHUP: a configuration that cannot be read changes nothing; workers read a good one themselves."""
    try:
        server.settings = load(server.directory, server.overrides).settings
    except ConfigError as error:
        emit("server.reload.refused", level="error", error=str(error))
        return
    LOG.configure(level=server.settings.log.level)
    supervisor.signal_all(signal.SIGHUP, "worker-")
    emit("server.reloaded")


def _restart(server: Held, supervisor: Supervisor) -> None:
    """SIGUSR2: check that the new code starts here, then become it; the descriptors stay open."""
    check = subprocess.run(  # noqa: S603 - our own interpreter and package
        [sys.executable, "-m", "a3mailer.app.main", "serve", str(server.directory), "--check"],
        capture_output=True, timeout=CHECK_SECONDS, check=False,
    )  # fmt: skip
    if check.returncode != 0:
        reason = check.stderr.decode("utf-8", "replace").strip()[-500:]
        emit("server.restart.refused", level="error", error=reason)
        return
    fds = {name: [s.fileno() for s in sockets] for name, sockets in server.bound.items()}
    kept = [fd for group in fds.values() for fd in group]
    kept += [server.lock, server.writer_socket.fileno(), server.control_socket.fileno()]
    for fd in kept:
        os.set_inheritable(fd, True)
    os.environ[HANDOVER] = json.dumps({
        "pid": os.getpid(), "listeners": fds, "lock": server.lock, "writer": server.writer_socket.fileno(),
        "control": server.control_socket.fileno(),
        "former": {pid: running.child.name for pid, running in supervisor.running.items()},
    })  # fmt: skip
    emit("server.restarting")
    LOG.flush()
    arguments = [sys.executable, "-m", "a3mailer.app.main", "serve", str(server.directory)]
    for key, value in server.overrides.items():
        arguments += ["--set", f"{key}={value}"]
    os.execv(sys.executable, arguments)  # noqa: S606


def _succeed(server: Held, supervisor: Supervisor) -> None:
    """After a restart: the former writer finishes, at the last moment; the former workers go on accepting
    until ours are ready, and hand over to our writer meanwhile."""
    for pid, name in server.former.items():
        if name == "writer":
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
        else:
            supervisor.adopt(name, pid)
    server.former.clear()


def _take_over(directory: Path, overrides: Mapping[str, str]) -> Held | None:
    """After a restart: the descriptors of the former code, which was this very process."""
    text = os.environ.pop(HANDOVER, "")
    if not text:
        return None
    given = json.loads(text)
    if given["pid"] != os.getpid():
        return None
    bound = {n: [socket.socket(fileno=fd) for fd in fds] for n, fds in given["listeners"].items()}
    for fd in (
        given["lock"],
        given["writer"],
        given["control"],
        *(f for g in given["listeners"].values() for f in g),
    ):
        os.set_inheritable(fd, False)
    return Held(
        directory, overrides, load(directory, overrides).settings, given["lock"], bound,
        socket.socket(fileno=given["writer"]), socket.socket(fileno=given["control"]),
        former={int(pid): name for pid, name in given["former"].items()},
    )  # fmt: skip
