"""The control socket and the command line over it, with a store in memory."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import os
import pathlib
import socket
import sys
from collections.abc import AsyncIterator

import pytest

from a3mailer.app import control
from a3mailer.app.cli import exits
from a3mailer.app.cli.office import connect
from a3mailer.app.control import serve_control
from a3mailer.app.listeners import bind_unix
from a3mailer.app.main import main
from a3mailer.app.verbs import table
from a3mailer.app.verbs.office import Nothing, Office
from a3mailer.app.verbs.table import StoreVerb
from a3mailer.config.tree import Settings
from a3mailer.identity.credentials import HashPool, hash_password
from a3mailer.mail.errors import StoreFull
from a3mailer.runtime.clock import SystemClock
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.telemetry.events import Secret

HASH = hash_password(Secret("known"))


class Server:
    """A control socket in a directory whose path is longer than a Unix address may be."""

    def __init__(self, directory: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory / ("long" * 40)
        (self.directory / "run").mkdir(parents=True)
        (self.directory / "a3mailer.toml").write_text("")
        self.capsys = capsys
        self.pool = HashPool(1)
        self.store = MemoryStore()
        office = Office(self.store, self.directory, Settings(), SystemClock(), self.pool)
        self.listener = bind_unix(self.directory / "run" / "control.sock")
        self.serving = serve_control(self.listener, lambda: office)

    async def cli(self, *words: str, code: int = exits.OK, stdin: str = "") -> str:
        """Run the command line in a thread; what it printed (stderr when it failed)."""
        sys.stdin = io.StringIO(stdin)
        try:
            found = await asyncio.to_thread(main, [*words, "--dir", str(self.directory)])
        finally:
            sys.stdin = sys.__stdin__
        out, err = self.capsys.readouterr()
        assert found == code, (found, out, err)
        return out if code == exits.OK else err

    async def rows(self, *words: str) -> list[dict[str, object]]:
        found = json.loads(await self.cli(*words, "--json"))
        assert isinstance(found, list)
        return found


@pytest.fixture
async def server(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Server]:
    made = Server(tmp_path, capsys)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(made.serving)
        await made.cli("domain", "add", "example.test")
        yield made
        task.cancel()
    made.listener.close()
    made.pool.close()


async def test_verbs_work_over_the_socket(server: Server) -> None:
    assert await server.rows("account", "list") == []
    assert await server.cli("account", "list") == ""
    said = await server.cli("account", "add", "bob@example.test", "--password-stdin", stdin="s3cret\n")
    assert said == "bob@example.test added\n"
    assert "Password" not in said and "s3cret" not in said
    (row,) = await server.rows("account", "list")
    assert row["address"] == "bob@example.test"
    assert "ADDRESS" in await server.cli("account", "list")
    await server.cli("alias", "add", "info@example.test", "bob@example.test", "x@elsewhere.test")
    await server.cli("group", "add", "all@example.test", "bob@example.test")
    assert [r["address"] for r in await server.rows("alias", "list")] == ["info@example.test"]
    assert [r["address"] for r in await server.rows("group", "list")] == ["all@example.test"]
    assert (await server.rows("domain", "list"))[0]["domain"] == "example.test"
    assert await server.rows("queue", "list") == []
    assert await server.rows("queue", "release", "--all") == []
    assert await server.rows("queue", "retry", "--domain", "b.test", "--age", "2d", "--answer", "full") == []
    assert "a@b.test gets no mail" in await server.cli("queue", "suppress", "add", "a@b.test", "--days", "3")
    (row,) = await server.rows("queue", "suppress", "list")
    assert (row["address"], row["state"], row["reason"]) == ("a@b.test", "suppressed", "manual")
    await server.cli("queue", "suppress", "rm", "a@b.test")
    assert [r["action"] for r in await server.rows("audit", "query", "--action", "account")] == [
        "account.add"
    ]
    await server.cli("account", "quota", "bob@example.test", "2G")
    assert (await server.rows("account", "list"))[0]["quota"] == 2 << 30
    await server.cli("account", "rename", "bob@example.test", "rob@example.test")
    await server.cli("account", "disable", "rob@example.test")
    await server.cli("account", "enable", "rob@example.test")
    await server.cli("account", "passwd", "rob@example.test", "--password-stdin", stdin="new one\n")
    await server.cli("role", "give", "rob@example.test", "helpdesk")
    assert "superadmin" in (await server.rows("role", "list"))[0]
    token = json.loads(
        await server.cli("token", "add", "rob@example.test", "--name", "x", "--scope", "message", "--json")
    )
    await server.cli("token", "rm", token["token"])
    await server.cli("account", "reset", "rob@example.test")
    await server.cli("group", "rm", "all@example.test")
    await server.cli("account", "rm", "rob@example.test")
    await server.cli("alias", "rm", "info@example.test")
    await server.cli("domain", "rm", "example.test")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("account", "disable", "nobody@example.test"), exits.ABSENT),
        (("account", "add", "x", "--no-password"), exits.USAGE),
        (("account", "add", "x@none.test", "--no-password"), exits.ABSENT),
        (("account", "quota", "x@example.test", "many"), exits.USAGE),
        (("domain", "add", "example.test"), exits.EXISTS),
        (("queue", "show", "9"), exits.ABSENT),
        (("queue", "show", "x"), exits.USAGE),
        (("queue", "retry", "9"), exits.ABSENT),
        (("queue", "retry"), exits.USAGE),
        (("queue", "retry", "9", "--all"), exits.USAGE),
        (("queue", "retry", "9", "--domain", "b.test"), exits.USAGE),
        (("queue", "list", "--age", "soon"), exits.USAGE),
        (("queue", "suppress", "add"), exits.USAGE),
        (("queue", "suppress", "list", "a@b.test"), exits.USAGE),
        (("queue", "suppress", "rm", "a@b.test"), exits.ABSENT),
        (("token", "rm", "nothing"), exits.ABSENT),
        (("config", "get", "no.such"), exits.ABSENT),
        (("config", "set", "smtp.size", "tiny"), exits.USAGE),
        (("config", "set", "smtp.size"), exits.USAGE),
        (("account", "import", "/no/such/file"), exits.USAGE),
        (("account", "fly"), exits.USAGE),
        (("account", "add"), exits.USAGE),
        (("account", "list", "--colour"), exits.USAGE),
        (("account", "passwd", "x@example.test"), exits.USAGE),
    ],
)
async def test_failures_are_one_line_and_a_code(server: Server, words: tuple[str, ...], code: int) -> None:
    said = await server.cli(*words, code=code)
    assert said.startswith("a3mailer: ") and said.count("\n") == 1 and len(said) > 15


async def test_import_from_a_file_and_stdin(server: Server, tmp_path: pathlib.Path) -> None:
    people = tmp_path / "people"
    people.write_text(f"# comment\n\na@example.test:{HASH}\r\nb@example.test:pass:with:colons\nbad:x\n")
    said = await server.cli("account", "import", str(people), code=exits.NO)
    assert said.startswith("bad: not an address")
    assert {r["address"] for r in await server.rows("account", "list")} == {
        "a@example.test",
        "b@example.test",
    }
    people.write_text("a@example.test:x\nnonsense\n")
    assert "line 2" in await server.cli("account", "import", str(people), code=exits.USAGE)
    people.write_bytes(b"\xff:x\n")
    assert "not UTF-8" in await server.cli("account", "import", str(people), code=exits.USAGE)


async def test_large_lists_come_in_pieces_and_whole(server: Server) -> None:
    accounts = [[f"u{n}@example.test", HASH] for n in range(1000)]
    connection = await asyncio.to_thread(connect, server.directory)
    assert connection is not None
    with connection:
        from a3mailer.app.cli.office import Remote

        remote = Remote(connection)
        seen: list[tuple[int, int]] = []
        found = await asyncio.to_thread(
            remote.perform, "account import", {"accounts": accounts}, lambda *a: seen.append(a)
        )
    assert [f["outcome"] for f in found] == ["added"] * 1000
    assert seen and all(total == 1000 for _, total in seen)
    assert len(await server.rows("account", "list")) == 1000


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b'{"verb": 5}\n',
        b'{"verb": "x", "more": 1}\n',
        b"\xff\n",
        b"[" * 100_000 + b"\n",
    ],
)
async def test_nonsense_on_the_socket_is_answered_and_ends_nothing(server: Server, line: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=_connected(server))
    writer.write(line)
    answer = json.loads(await reader.readline())
    assert answer["error"] == "BadName"
    writer.write(b'{"verb": "domain list"}\n')
    assert json.loads(await reader.readline())["items"][0]["domain"] == "example.test"
    writer.close()
    await writer.wait_closed()


def _connected(server: Server) -> socket.socket:
    found = connect(server.directory)
    assert found is not None
    return found


async def test_a_request_without_end_is_cut_off(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MAX_LINE", 1000)
    reader, writer = await asyncio.open_unix_connection(sock=_connected(server))
    writer.write(b"x" * 5000)
    assert b"more than" in await reader.readline()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_a_peer_of_another_user_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_is_ours", lambda connection: False)
    reader, writer = await asyncio.open_unix_connection(sock=_connected(server))
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_the_socket_is_its_owners_alone(server: Server) -> None:
    assert os.stat(server.directory / "run" / "control.sock").st_mode & 0o777 == 0o600
    left, right = socket.socketpair()
    with left, right:
        assert control._is_ours(left)  # ourselves


async def test_a_full_store_is_a_code_of_its_own_and_a_hangup_ends_no_work(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(office: Office, request: Nothing) -> object:
        raise StoreFull("the disk is nearly full")

    monkeypatch.setitem(table.BY_NAME, "domain list", StoreVerb("domain list", "domain.list", Nothing, full))
    assert "nearly full" in await server.cli("domain", "list", code=exits.LATER)
    done = asyncio.Event()

    async def slow(office: Office, request: Nothing) -> object:
        for number in range(1000):
            office.progress(number, 1000)
            await asyncio.sleep(0)
        done.set()
        return None

    monkeypatch.setitem(table.BY_NAME, "domain list", StoreVerb("domain list", "domain.list", Nothing, slow))
    connection = _connected(server)
    connection.sendall(b'{"verb": "domain list"}\n')
    connection.close()
    await done.wait()
    monkeypatch.undo()
    assert (await server.rows("domain", "list"))[0]["domain"] == "example.test"


async def test_settings_verbs(server: Server) -> None:
    await server.cli("config", "set", "smtp.hops", "9")
    assert await server.cli("config", "get", "smtp.hops") == "9\n"
    rows = {r["name"]: r for r in await server.rows("config", "sources")}
    assert rows["smtp.hops"] == {"name": "smtp.hops", "value": "9", "source": "store", "where": "the store"}
    found = await asyncio.to_thread(main, ["config", "diff", "--json", "--dir", str(server.directory)])
    assert found == exits.NO
    (row,) = json.loads(server.capsys.readouterr().out)
    assert row == {"name": "smtp.hops", "running": "50", "then": "9", "change": "reload"}
    await server.cli("config", "set", "smtp.hops", "--unset")
    assert await server.rows("config", "diff") == []
    assert "good" in await server.cli("config", "test")
    await server.cli("config", "set", "queue.rules", "to=b.test source=192.0.2.77")
    said = await server.cli("config", "test", code=exits.CONFIG)
    assert "queue.rules: this machine cannot send from 192.0.2.77" in said
    await server.cli("config", "set", "queue.rules", "to=b.test source=127.0.0.1")
    assert "good" in await server.cli("config", "test")
    (server.directory / "a3mailer.toml").write_text("[smtp]\nhops = 'x'\n")
    said = await server.cli("config", "test", code=exits.CONFIG)
    assert "a3mailer.toml: smtp.hops" in said


def test_config_describe_needs_no_instance(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "describe", "--json"]) == exits.OK
    rows = {r["name"]: r for r in json.loads(capsys.readouterr().out)}
    assert rows["smtp.size"]["variable"] == "A3_SMTP__SIZE" and rows["smtp.size"]["meaning"]
    assert main(["config", "describe", "profile"]) == exits.OK
    assert "server.profile" in capsys.readouterr().out


def test_errors_of_the_house_all_have_a_code() -> None:
    from a3mailer.mail import errors

    names = {n for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, errors.MailError)}
    assert names - {"MailError"} <= set(exits.ERRORS)
    assert set(exits.ERRORS.values()) <= set(exits.MEANINGS)
    assert dataclasses.is_dataclass(StoreVerb)
