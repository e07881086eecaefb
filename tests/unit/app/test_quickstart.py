"""quickstart: a server that runs and is signed in to, or everything as it was, wherever it fails."""

from __future__ import annotations

import asyncio
import imaplib
import json
import os
import pathlib
import pwd
import ssl
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from a3mailer.app.cli import exits, installing, quickstart
from a3mailer.app.cli.exits import Failed
from a3mailer.app.cli.init import Plan
from a3mailer.app.cli.installing import Installing, Machine, Wish
from a3mailer.app.cli.output import Output
from a3mailer.app.cli.steps import NotUndone, Step, perform
from a3mailer.app.main import main
from a3mailer.config.load import load
from a3mailer.testing.nameserver import NameServer
from bench import ports

# what systemctl does for a first run: start what the unit says, stop it again
SYSTEMCTL = """#!/bin/sh
echo "$@" >> {log}
[ "$1" = "{refused}" ] && {{ echo "Failed to $1 unit" >&2; exit 1; }}
command=$(sed -n 's/^ExecStart=//p' {units}/a3mailer.service 2>/dev/null)
case $1 in
enable) setsid $command < /dev/null > /dev/null 2>&1 & ;;
disable) {python} -m a3mailer.app.main stop --dir {place} > /dev/null 2>&1 || : ;;
esac
"""


@pytest.fixture(autouse=True)
def mask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def base() -> Iterator[int]:
    reserved = ports.reserve()
    yield reserved.base
    reserved.release()


def tree(place: pathlib.Path) -> dict[str, object]:
    """Everything below a folder: names, modes, contents."""
    found: dict[str, object] = {}
    for path in sorted(place.rglob("*")):
        found[str(path)] = (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
    return found


class World:
    """A machine with a systemd of our own."""

    def __init__(self, place: pathlib.Path, base: int, refused: str = "nothing") -> None:
        self.root = place / "machine"
        self.log = place / "systemctl.log"
        self.directory = self.root / "srv" / "new" / "mail"
        units = self.root / "units"
        units.mkdir(parents=True)
        (self.root / "srv").mkdir()
        tool = place / "systemctl"
        tool.write_text(
            SYSTEMCTL.format(
                log=self.log, refused=refused, units=units, python=sys.executable, place=self.directory
            )
        )
        tool.chmod(0o755)
        me = pwd.getpwuid(os.geteuid()).pw_name
        self.machine = Machine(units, self.root, str(tool), "false", "false", me)
        texts = {
            "server.hostname": "mail.example.test",
            "server.domain": "example.test",
            "server.port_base": str(base),
            "server.workers": "1",
        }
        plan = Plan(texts, ("example.test",), (), "you@example.test", "pass-word", 24)
        self.wish = Wish(self.directory, plan, service=True, start=True)

    def installing(self) -> Installing:
        return Installing(self.wish, self.machine, Output(as_json=True))

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


STEPS = ("data directory", "owner", "unit", "service", "telling")


def break_at(steps: tuple[Step, ...], name: str, after: bool, error: BaseException) -> list[Step]:
    def broken(step: Step) -> Step:
        def act() -> None:
            if after:
                step.do()
            raise error

        return Step(step.name, act, step.undo) if step.name == name else step

    return [broken(step) for step in steps]


@pytest.mark.parametrize("after", [False, True], ids=("before", "after"))
@pytest.mark.parametrize("name", STEPS)
def test_a_failure_at_any_step_leaves_the_machine_as_it_was(
    tmp_path: pathlib.Path, base: int, name: str, after: bool
) -> None:
    world = World(tmp_path, base)
    before = tree(world.root)
    steps = world.installing().steps(lambda: None)
    assert tuple(step.name for step in steps) == STEPS
    with pytest.raises(OSError, match="injected"):
        perform(break_at(steps, name, after, OSError("injected")))
    assert tree(world.root) == before
    assert not [f for f in os.listdir("/proc") if f.isdigit() and _serves(f, world.directory)]


def _serves(pid: str, directory: pathlib.Path) -> bool:
    try:
        return str(directory).encode() in pathlib.Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def test_a_service_is_installed_started_and_told(tmp_path: pathlib.Path, base: int) -> None:
    world = World(tmp_path, base)
    told = []
    made = world.installing()
    perform(made.steps(lambda: told.append(made.made)))
    try:
        assert world.calls() == ["daemon-reload", "enable --now a3mailer.service"]
        text = (world.machine.units / "a3mailer.service").read_text()
        assert f"ReadWritePaths={world.directory}\n" in text and f"User={world.machine.user}\n" in text
        assert main(["status", str(world.directory)]) == exits.OK
        assert told[0] is not None and told[0].admin == "you@example.test"
    finally:
        assert main(["stop", "--dir", str(world.directory)]) == exits.OK


def test_what_was_there_before_stays(tmp_path: pathlib.Path, base: int) -> None:
    world = World(tmp_path, base)
    (world.machine.units / "a3mailer.service").write_text("somebody else's")
    (world.directory.parent).mkdir()
    world.directory.mkdir()
    for name in ("", "mine"):  # an empty directory, then one with something in it
        if name:
            (world.directory / name).write_text("mine")
        before = tree(world.root)
        with pytest.raises((Failed, FileExistsError)):
            perform(world.installing().steps(lambda: None))
        assert tree(world.root) == before


@pytest.mark.parametrize("refused", ["daemon-reload", "enable"])
def test_a_systemd_that_says_no_is_repeated(tmp_path: pathlib.Path, base: int, refused: str) -> None:
    world = World(tmp_path, base, refused)
    before = tree(world.root)
    with pytest.raises((Failed, NotUndone), match=f"Failed to {refused} unit"):
        perform(world.installing().steps(lambda: None))
    assert tree(world.root) == before


def test_a_service_without_its_user_is_none(tmp_path: pathlib.Path, base: int) -> None:
    world = World(tmp_path, base)
    world.machine = Machine(world.machine.units, world.root, "true", "true", "true", "no-such-user-here")
    before = tree(world.root)
    steps = world.installing().steps(lambda: None)
    assert steps[0].name == "user"
    with pytest.raises(Failed, match="no user no-such-user-here"):
        perform(steps)
    assert tree(world.root) == before


def test_a_server_that_does_not_start_says_why_and_is_gone(
    tmp_path: pathlib.Path, base: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, base)
    world.wish = Wish(world.directory, world.wish.plan, service=False, start=True)
    monkeypatch.setenv("A3_SERVER__LISTEN", "203.0.113.7")  # not of this machine
    before = tree(world.root)
    with pytest.raises(Failed, match=r"did not start: .*203\.0\.113\.7"):
        perform(world.installing().steps(lambda: None))
    assert tree(world.root) == before


async def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = await asyncio.to_thread(main, list(words))
    out, err = capsys.readouterr()
    return code, out, err


async def test_from_an_address_to_a_server_that_is_signed_in_to(
    tmp_path: pathlib.Path, base: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quickstart, "MACHINE", Machine(booted=tmp_path / "no-systemd"))
    place = tmp_path / "mail"
    async with NameServer() as server:
        ask = ("--dns", f"127.0.0.1:{server.port}", "--blocklist", "list.test", "--probe", "127.0.0.1:1")
        where = ("--address", "192.0.2.1", "--listen", "127.0.0.1", "--port-base", str(base))
        words = ("quickstart", "you@example.test", str(place), *ask, *where, "--set", "server.workers=1")
        code, out, _ = await run(capsys, *words, "--check", "--json")
        checks = {each["subject"]: each["verdict"] for each in json.loads(out)["checks"]}
        assert code == exits.OK and checks["ports"] == "ok" and checks["outbound"] == "warning"
        assert not place.exists()
        code, out, err = await run(capsys, *words, "--start", "--json")
        assert code == exits.OK, err
        made = json.loads(out)
        try:
            assert made["started"] and made["service"] is None and made["address"] == "you@example.test"
            context = ssl.create_default_context(cafile=place / "tls" / "cert.pem")
            assert await asyncio.to_thread(_sign_in, base, context, made) == ["OK"]
            everywhere = b"".join(p.read_bytes() for p in place.rglob("*") if p.is_file())
            assert made["password"].encode() not in everywhere  # neither the log nor the store
            assert made["recovery_key"].encode() not in everywhere
            for each in made["records"]:
                server.put(f"{each['name']}. 60 IN {each['kind']} {each['data']}")
            check = ("domain", "check", "example.test", "--dir", str(place), "--address", "192.0.2.1")
            code, out, _ = await run(capsys, *check, "--watch", "--every", "1")
            assert code == exits.OK and "missing" not in out
            code, _, err = await run(capsys, *words, "--json")
            assert code == exits.NO and "nothing was made" in err  # the place is taken now, and the ports
        finally:
            await run(capsys, "stop", "--dir", str(place))


def _sign_in(base: int, context: ssl.SSLContext, made: dict[str, Any]) -> list[str]:
    context.check_hostname = False  # it is at 127.0.0.1 here; the names are those of test_init
    with imaplib.IMAP4_SSL("127.0.0.1", base + 993, ssl_context=context) as client:
        said, _ = client.login(made["address"], made["password"])
        return [said]


async def test_certificates_are_fetched_where_somebody_agrees(
    tmp_path: pathlib.Path, base: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quickstart, "MACHINE", Machine(booted=tmp_path / "no-systemd"))
    async with NameServer() as server:
        ask = ("--dns", f"127.0.0.1:{server.port}", "--blocklist", "list.test", "--probe", "127.0.0.1:1")
        where = ("--address", "192.0.2.1", "--listen", "127.0.0.1", "--port-base", str(base), "--json")
        for agreed in (False, True):
            place = tmp_path / f"{agreed}"
            words = ("quickstart", "you@example.test", str(place), *ask, *where)
            code, _, err = await run(capsys, *words, *(["--letsencrypt"] * agreed))
            assert code == exits.OK, err
            acme = load(place, {}, {}).settings.acme
            assert (acme.agree, acme.contact) == (agreed, ("you@example.test",) if agreed else ())
            assert ("letsencrypt.org" in acme.directory) is agreed


async def test_without_a_terminal_no_password_is_printed(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = await run(capsys, "quickstart", "you@example.test", str(tmp_path / "mail"))
    assert code == exits.USAGE and "no terminal" in err and not out and not (tmp_path / "mail").exists()


async def test_a_machine_that_is_not_fit_is_left_alone(
    tmp_path: pathlib.Path, base: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quickstart, "MACHINE", Machine(booted=tmp_path / "no-systemd"))
    (tmp_path / "mine").write_text("mine")
    async with NameServer() as server:
        ask = ("--dns", f"127.0.0.1:{server.port}", "--blocklist", "list.test", "--probe", "127.0.0.1:1")
        where = ("--address", "192.0.2.1", "--listen", "127.0.0.1", "--port-base", str(base))
        words = ("quickstart", "you@example.test", str(tmp_path), *ask, *where)
        code, out, err = await run(capsys, *words, "--check")
        assert code == exits.NO and f"error    directory: {tmp_path} is not empty." in out
        code, out, err = await run(capsys, *words, "--json", "--anyway")  # and init refuses it too
        assert code == exits.EXISTS and "removed again" in err and not out
    assert tree(tmp_path).keys() == {str(tmp_path / "mine")}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nobody",), "nobody"),
        (("you@example.test", "--address", "here"), "--address"),
        (("you@example.test", "--relay", "nowhere"), "queue.relay"),
        (("you@example.test", "--set", "no.such=1"), "no.such"),
    ],
)
async def test_wishes_that_cannot_be(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    code, out, err = await run(capsys, "quickstart", *words, "--json")
    assert code in (exits.USAGE, exits.CONFIG) and said in err and not out


def test_other_programs_that_fail_say_what_they_said() -> None:
    with pytest.raises(Failed, match="cannot access"):
        installing._run("ls", "/no/such/place")
    with pytest.raises(Failed, match="no-such-program-here"):
        installing._run("no-such-program-here")
