"""The systemd units: what systemd says of them, and that they are this server's, not another's."""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
from collections import defaultdict

import pytest

from a3mailer.app.cli import unit as made
from a3mailer.app.listeners import BACKLOG, PORTS, Port
from a3mailer.config.tree import Settings
from a3mailer.runtime.supervise import FINISH_SECONDS
from tests.rig import READY_SECONDS, Rig

UNITS = pathlib.Path(__file__).parents[3] / "deploy" / "systemd"
EXPOSURE = 25
"""Tenths of systemd's own measure of what a service may do (0 nothing, 100 everything)."""
PUBLIC = tuple(port for port in PORTS if not port.private)


def directives(name: str) -> dict[str, list[str]]:
    """Every directive of a unit with its values, as ``Section.Name``."""
    found, section = defaultdict(list), ""
    for line in (UNITS / name).read_text("utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[f"{section}.{key}"].append(value)
    return found


@pytest.fixture
def service() -> dict[str, list[str]]:
    return directives("a3mailer.service")


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"absent: {name}")
    return path


@pytest.fixture
def copies(tmp_path: pathlib.Path) -> list[pathlib.Path]:
    """The units with a program that is there."""
    for unit in UNITS.iterdir():
        text = unit.read_text("utf-8").replace("/opt/a3mailer/.venv/bin/a3mailer", sys.executable)
        (tmp_path / unit.name).write_text(text)
    return sorted(tmp_path.iterdir())


def test_systemd_understands_every_directive(copies: list[pathlib.Path]) -> None:
    analyze = program("systemd-analyze")
    done = subprocess.run([analyze, "verify", *copies], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for spoilt in ("NoNewPrivileges=maybe", "NoSuchDirective=yes"):
        copies[-1].write_text(copies[-1].read_text().replace("UMask=0077", spoilt))
        assert subprocess.run([analyze, "verify", *copies], capture_output=True).stderr, spoilt


def test_the_service_is_confined(copies: list[pathlib.Path]) -> None:
    analyze = program("systemd-analyze")
    arguments = ["security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE}"]
    done = subprocess.run([analyze, *arguments, copies[-1]], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-400:]


def test_the_unit_that_quickstart_writes_is_this_one_with_other_paths() -> None:
    kept = (UNITS / made.NAME).read_text("utf-8")
    assert kept[kept.index("[Unit]") :] == made.unit(
        ("/opt/a3mailer/.venv/bin/a3mailer",), pathlib.Path("/var/lib/a3mailer")
    )
    other = made.unit(("/home/me/a b/python", "-m", "x"), pathlib.Path("/srv/100%/mail"), "me")
    assert "ReadWritePaths=/srv/100%%/mail\n" in other and "ProtectHome=read-only\n" in other
    assert 'ExecStart="/home/me/a b/python" -m x serve /srv/100%%/mail\n' in other and "User=me\n" in other
    away = made.unit(
        ("/srv/venv/bin/a3mailer",), pathlib.Path("/srv/mail"), "me", (pathlib.Path("/home/me/python3"),)
    )
    assert "ProtectHome=read-only\n" in away, "an environment elsewhere whose interpreter is somebody's own"


def test_a_unit_of_another_place_is_understood_too(tmp_path: pathlib.Path) -> None:
    analyze = program("systemd-analyze")
    text = made.unit((sys.executable, "-m", "a3mailer.app.main"), tmp_path / "a b%c")
    path = tmp_path / "a3mailer.service"
    path.write_text(text)
    done = subprocess.run([analyze, "verify", path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_public_listener_has_its_socket() -> None:
    sockets = {unit.name for unit in UNITS.glob("*.socket")}
    assert sockets == {f"a3mailer-{port.name}.socket" for port in PUBLIC}


@pytest.mark.parametrize("port", PUBLIC, ids=lambda port: port.name)
def test_a_socket_is_the_listener_of_its_name(port: Port) -> None:
    name, number = port.name, port.number
    unit = directives(f"a3mailer-{name}.socket")
    assert unit["Socket.FileDescriptorName"] == [name]
    assert {address.rpartition(":")[2] for address in unit["Socket.ListenStream"]} == {str(number)}
    assert unit["Socket.Service"] == ["a3mailer.service"]
    assert unit["Socket.Backlog"] == [str(BACKLOG)]
    assert unit["Install.WantedBy"] == ["sockets.target"]
    hosts = {address.rpartition(":")[0] for address in unit["Socket.ListenStream"]}
    if name == "lmtp":  # without TLS and without a login: for this machine only
        assert hosts == {"127.0.0.1"}
    else:
        assert hosts == {"0.0.0.0", "[::]"}
        assert unit["Socket.BindIPv6Only"] == ["ipv6-only"]


def test_stopping_has_the_time_it_takes(service: dict[str, list[str]]) -> None:
    assert service["Service.KillMode"] == ["mixed"]  # the supervisor ends its own workers
    assert int(service["Service.TimeoutStopSec"][0]) > Settings().server.drain_seconds + FINISH_SECONDS
    assert service["Service.ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert service["Service.Restart"] == ["on-failure"]


def test_it_serves_the_directory_that_systemd_makes(service: dict[str, list[str]]) -> None:
    assert service["Service.ExecStart"][0].endswith(" serve /var/lib/a3mailer")
    assert service["Service.StateDirectory"] == ["a3mailer"]
    assert service["Service.StateDirectoryMode"] == ["0700"] and service["Service.UMask"] == ["0077"]
    assert service["Service.User"] == ["a3mailer"]
    bounding = service["Service.CapabilityBoundingSet"]
    assert bounding == service["Service.AmbientCapabilities"] == ["CAP_NET_BIND_SERVICE"]


def test_it_says_that_it_is_ready(service: dict[str, list[str]], tmp_path: pathlib.Path) -> None:
    assert service["Service.Type"] == ["notify"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0a3mailer-{os.getpid()}")
        manager.settimeout(READY_SECONDS)
        with Rig(tmp_path, workers=1, env={"NOTIFY_SOCKET": f"@a3mailer-{os.getpid()}"}) as rig:
            assert manager.recv(64) == b"READY=1"
            assert rig.status()


def test_a_handed_socket_is_served_and_no_other(tmp_path: pathlib.Path) -> None:
    activate = program("systemd-socket-activate")
    rig = Rig(tmp_path, workers=1)
    rig.init()
    wrapper = [activate, "-l", f"127.0.0.1:{rig.port('smtp')}", "--fdname=smtp"]
    server = subprocess.Popen(
        [*wrapper, *rig.command("serve", str(rig.directory))], env=rig.env, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + READY_SECONDS
        while True:  # systemd-socket-activate starts the server at the first connection
            try:
                with socket.create_connection(("127.0.0.1", rig.port("smtp")), READY_SECONDS) as client:
                    assert client.recv(100).startswith(b"220 mail.example.test")
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        status = rig.wait_ready()
        assert set(status["listeners"]) == {"smtp", "metrics"} and status["pid"] == server.pid
    finally:
        server.terminate()
        assert server.wait(READY_SECONDS) == 0
        rig.close()
