"""The checks before a first run: each way a machine can be unfit has its sentence and its advice."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import pathlib
import shutil
import socket
from collections import namedtuple
from collections.abc import Iterator

import pytest

from a3mailer.app import preflight
from a3mailer.app.listeners import CannotListen
from a3mailer.app.preflight import ERROR, OK, UNKNOWN, WARNING, Aim, Finding
from a3mailer.config.tree import Dns, Queue, Server, Settings
from a3mailer.edge.dial import dial
from a3mailer.runtime import dnssec
from a3mailer.runtime.clock import SystemClock
from a3mailer.testing.nameserver import NameServer
from bench import ports

GIB = preflight.GIB
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def base() -> Iterator[int]:
    reserved = ports.reserve()
    yield reserved.base
    reserved.release()


def verdicts(found: list[Finding]) -> dict[str, str]:
    return {each.subject: each.verdict for each in found}


def test_a_place_is_free_or_why_not(tmp_path: pathlib.Path) -> None:
    assert preflight.place(tmp_path / "a" / "b").verdict == OK == preflight.place(tmp_path).verdict
    (tmp_path / "file").write_text("")
    for place, words in ((tmp_path, "not empty"), (tmp_path / "file", "no directory")):
        found = preflight.place(place)
        assert found.verdict == ERROR and words in found.text and found.do
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert preflight.place(tmp_path / "link").verdict == ERROR
    if os.geteuid():
        closed = tmp_path / "closed"
        closed.mkdir(0o500)
        assert "cannot be written" in preflight.place(closed / "x").text


@pytest.mark.parametrize(("free", "verdict"), [(2 * GIB, ERROR), (4 * GIB, WARNING), (90 * GIB, OK)])
def test_a_disk_has_room_beyond_the_reserve(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, free: int, verdict: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 * GIB, 0, free))
    space, sync = preflight.disk(tmp_path / "mail", Settings())
    assert (space.verdict, sync.verdict) == (verdict, OK)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_does_not_sync_is_no_disk_for_mail(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    *_, sync = preflight.disk(tmp_path, Settings())
    assert sync.verdict == ERROR and "Input/output error" in sync.text
    assert list(tmp_path.iterdir()) == []


def test_who_holds_a_port_is_named(base: int) -> None:
    settings = Settings(server=Server(port_base=base))
    assert [each.verdict for each in preflight.ports(settings, False)] == [OK]
    with socket.create_server(("127.0.0.1", base + 25)):
        (found,) = preflight.ports(settings, False)
    assert found.verdict == ERROR and found.text.startswith("smtp: 127.0.0.1 port")
    assert f"(pid {os.getpid()})" in found.do
    assert preflight.holder(base + 25) == ""


def test_ports_that_the_service_may_have_are_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise CannotListen("not permitted below 1024") from PermissionError()

    monkeypatch.setattr(preflight, "bind_all", refused)
    assert {each.verdict for each in preflight.ports(Settings(), False)} == {ERROR}
    assert [each.verdict for each in preflight.ports(Settings(), True)] == [OK]


@pytest.mark.parametrize(("said", "verdict"), [(0, OK), (5, WARNING), (-1, UNKNOWN)])
def test_the_kernel_knows_whether_its_clock_is_kept(
    monkeypatch: pytest.MonkeyPatch, said: int, verdict: str
) -> None:
    class Kernel:
        def __init__(self, *_: object, **__: object) -> None:
            self.adjtimex = lambda _: said

    monkeypatch.setattr(ctypes, "CDLL", Kernel)
    assert preflight.clock().verdict == verdict


def test_only_addresses_of_the_world_are_ours_to_publish(monkeypatch: pytest.MonkeyPatch) -> None:
    assert preflight.public(("10.0.0.1", "9.9.9.9", "fe80::1", "2620:fe::fe")) == ("9.9.9.9", "2620:fe::fe")
    monkeypatch.setattr(preflight, "FOREIGN", ("127.0.0.9", "::ffff:nowhere"))
    assert preflight.own_addresses() == ("127.0.0.1",)  # from here to there; and no way is no address


class Greeter:
    """A mail server that says one thing."""

    def __init__(self, greeting: bytes) -> None:
        self.greeting = greeting
        self.port = 0

    async def __aenter__(self) -> Greeter:
        self._server = await asyncio.start_server(self._greet, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _greet(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.greeting)
        writer.close()


async def look(server: NameServer, *, addresses: tuple[str, ...] = ("9.9.9.9",), probe: str) -> list[Finding]:
    settings = Settings(server=Server(hostname="mail.example.test", domain="example.test"))
    aim = Aim(pathlib.Path("/nowhere"), settings, addresses, False, probe, ("list.test",), 0.0)
    resolver = dnssec.resolver_of(
        Dns(servers=(f"127.0.0.1:{server.port}",), timeout=0.3, dnssec="off"), SystemClock()
    )
    try:
        return await preflight.network(aim, resolver, dial)
    finally:
        resolver.close()


async def test_a_machine_that_the_world_knows_is_good() -> None:
    async with NameServer() as server, Greeter(b"220 mx.far.test ESMTP\r\n") as far:
        server.put("mail.example.test. 60 IN A 9.9.9.9", "9.9.9.9.in-addr.arpa. 60 IN PTR mail.example.test.")
        server.put("mx.far.test. 60 IN A 127.0.0.1")
        found = await look(server, probe=f"mx.far.test:{far.port}")
        assert verdicts(found) == {
            "resolver": OK, "dnssec": WARNING, "address": OK, "blocklists": OK, "outbound": OK,
        }  # fmt: skip
        assert "dns.dnssec is off" in next(each.text for each in found if each.subject == "dnssec")


async def test_what_the_world_says_against_a_machine() -> None:
    async with NameServer() as server, Greeter(b"554 no mail from dial-up lines\r\n") as far:
        server.put("example.test. 60 IN MX 5 mx.old.test.", "9.9.9.9.list.test. 60 IN A 127.0.0.2")
        found = await look(server, probe=f"127.0.0.1:{far.port}")
        said = {each.subject: (each.verdict, each.text, each.do) for each in found}
        assert {said[name][0] for name in ("mx", "address", "blocklists", "outbound")} == {WARNING}
        assert "goes to mx.old.test now" in said["mx"][1]
        assert "9.9.9.9 is on the blocklist list.test" in said["blocklists"][1]
        assert "554 no mail from dial-up lines" in said["outbound"][1] and "--relay" in said["outbound"][2]
        texts = [each.text for each in found if each.subject == "address"]
        assert any("has no address" in text for text in texts) and any("no name (PTR" in t for t in texts)


async def test_what_is_not_known_is_said() -> None:
    async with NameServer() as server, Greeter(b"") as far:
        found = await look(server, addresses=(), probe=f"127.0.0.1:{far.port}")
        unknown = [each.subject for each in found if each.verdict == UNKNOWN]
        assert unknown == ["address", "blocklists"]
        assert "greets with nothing" in next(each.text for each in found if each.subject == "outbound")
        server.twist = lambda _query, _response: ()
        found = await look(server, probe="mx.far.test:25")
        assert verdicts(found)["resolver"] == ERROR and verdicts(found)["outbound"] == UNKNOWN
        assert verdicts(found)["mx"] == UNKNOWN


async def test_a_smart_host_is_tried_in_place_of_strangers() -> None:
    async with NameServer() as server, Greeter(b"220 smart\r\n") as smart:
        settings = Settings(
            server=Server(hostname="mail.example.test", domain="example.test"),
            queue=Queue(relay=f"127.0.0.1:{smart.port}"),
        )
        aim = Aim(pathlib.Path("/nowhere"), settings, (), False, "127.0.0.1:1", (), 0.0)
        resolver = dnssec.resolver_of(Dns(servers=(f"127.0.0.1:{server.port}",), dnssec="off"), SystemClock())
        found = verdicts(await preflight.network(aim, resolver, dial))
        resolver.close()
        assert found["outbound"] == OK
