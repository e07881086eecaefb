"""The supervisor with real processes: replace, back off, stop in order, die together."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from a3mailer.runtime.supervise import Supervisor

SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
from a3mailer.runtime.supervise import Child, Supervisor
folder = Path(sys.argv[1])

def child(ready):
    if (folder / "fail").exists():
        raise SystemExit(3)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ready()
    while True:
        time.sleep(60)

def changed(supervisor):
    if (folder / "mute").exists():
        raise OSError("no space left")
    text = json.dumps({"ready": supervisor.ready, "a": supervisor.pids("a"), "b": supervisor.pids("b")})
    draft = folder / "state.new"
    draft.write_text(text)
    draft.replace(folder / "state")

children = (Child("a", 1, child), Child("b-1", 2, child), Child("b-2", 3, child))
Supervisor(children, changed, drain_seconds=1).run()
(folder / "ended").touch()
"""


class Running:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], env=dict(os.environ))

    def wait(self, condition: Callable[[dict[str, object]], bool]) -> dict[str, object]:
        for _ in range(500):
            path = self.folder / "state"
            if path.exists() and condition(state := json.loads(path.read_text())):
                return state
            time.sleep(0.02)
        raise AssertionError("the condition was never met")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    supervisor = Running(tmp_path)
    yield supervisor
    supervisor.process.kill()
    supervisor.process.wait()


def test_all_children_become_ready(running: Running) -> None:
    state = running.wait(lambda s: bool(s["ready"]))
    assert len(state["a"]) == 1 and len(state["b"]) == 2


def test_a_killed_child_is_replaced_and_the_others_stay(running: Running) -> None:
    before = running.wait(lambda s: bool(s["ready"]))
    os.kill(before["b"][0], signal.SIGKILL)
    after = running.wait(lambda s: bool(s["ready"]) and s["b"] != before["b"])
    assert after["a"] == before["a"]
    assert len(set(after["b"]) & set(before["b"])) == 1


def test_stop_ends_every_child_and_the_supervisor(running: Running) -> None:
    state = running.wait(lambda s: bool(s["ready"]))
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0
    assert (running.folder / "ended").exists()
    for pid in (*state["a"], *state["b"]):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_children_die_with_a_killed_supervisor(running: Running) -> None:
    state = running.wait(lambda s: bool(s["ready"]))
    running.process.kill()
    running.process.wait()
    for pid in (*state["a"], *state["b"]):
        for _ in range(500):
            if _gone(pid):
                break
            time.sleep(0.02)
        assert _gone(pid)


def test_a_child_that_never_gets_ready_is_tried_again_slowly(tmp_path: Path) -> None:
    (tmp_path / "fail").touch()
    supervisor = Running(tmp_path)
    try:
        supervisor.wait(lambda s: s["b"] == [])
        (tmp_path / "fail").unlink()
        supervisor.wait(lambda s: bool(s["ready"]))
    finally:
        supervisor.process.kill()
        supervisor.process.wait()


def test_a_state_that_cannot_be_told_is_told_later(running: Running) -> None:
    before = running.wait(lambda s: bool(s["ready"]))
    (running.folder / "mute").touch()
    os.kill(before["b"][0], signal.SIGKILL)
    while not _gone(before["b"][0]):
        time.sleep(0.02)
    (running.folder / "mute").unlink()
    after = running.wait(lambda s: bool(s["ready"]) and s["b"] != before["b"])
    assert after["a"] == before["a"]


def test_without_descriptors_a_child_is_replaced_later(running: Running) -> None:
    before = running.wait(lambda s: bool(s["ready"]))
    pid = running.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    open_now = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now - 2, hard))  # the victim gives two back
    os.kill(before["b"][0], signal.SIGKILL)
    while not _gone(before["b"][0]):
        time.sleep(0.02)
    time.sleep(0.3)
    assert running.process.poll() is None
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    after = running.wait(lambda s: bool(s["ready"]) and s["b"] != before["b"])
    assert after["a"] == before["a"]


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # between open and read, too
        return True


def test_ready_and_ended_in_the_same_round_of_the_selector() -> None:
    heard: list[Supervisor] = []
    supervisor = Supervisor((), heard.append)
    supervisor._became_ready(os.getpid())  # its end was handled a moment before
    assert not heard
