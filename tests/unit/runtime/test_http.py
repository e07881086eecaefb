"""The guarded client against real HTTPS servers that lie, drip, flood and redirect (attack row 50)."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from a3mailer.runtime import http as module
from a3mailer.runtime.http import HttpClient, HttpFailure
from a3mailer.runtime.reach import is_public
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.resolver import FakeResolver
from tests.web import Authority, Web, reply

NAME = "web.test"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


class World:
    """A client and what it asks; loopback is allowed unless ``guard`` was called."""

    def __init__(self, authority: Authority) -> None:
        self.resolver = FakeResolver()
        self.resolver.put(NAME, "A", "127.0.0.1")
        self.resolver.put(NAME, "AAAA")
        self.clock = FakeClock()
        self.client = HttpClient(self.resolver, self.clock, authority.client(), inside=True)
        self.authority = authority

    def guard(self) -> None:
        self.client = HttpClient(self.resolver, self.clock, self.authority.client())

    async def failure(self, url: str, **limits: Any) -> str:
        with pytest.raises(HttpFailure) as caught:
            await self.client.get(url, **limits)
        return caught.value.kind


@pytest.fixture
async def world(authority: Authority) -> AsyncIterator[World]:
    made = World(authority)
    first = made.client
    yield made
    await first.close()
    await made.client.close()


async def test_an_answer_is_given_whole_with_its_type(world: World, authority: Authority) -> None:
    async with Web(authority.server(NAME), reply(b"hello", media="Text/Plain; charset=utf-8")) as web:
        got = await world.client.get(f"https://{NAME}:{web.port}/x")
        assert (got.status, got.media, got.body) == (200, "text/plain", b"hello")
        sent = await world.client.post(f"https://{NAME}:{web.port}/y", b"\x1f\x8b", "application/gzip")
        assert sent.status == 200
    assert web.asked[0].startswith(b"GET /x HTTP/1.1\r\nHost: web.test:")
    assert b"Accept-Encoding: identity" in web.asked[0]
    assert b"Content-Type: application/gzip" in web.asked[1]
    assert web.bodies == [b"\x1f\x8b"]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
     "192.0.0.8", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1",
     "::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "fe80::1", "fd00:ec2::254", "fec0::1", "ff02::1",
     "2002:7f00:1::", "2002:a9fe:a9fe::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "64:ff9b::7f00:1",
     "64:ff9b::a9fe:a9fe", "2001:db8::1"],
)  # fmt: skip
async def test_row_50_no_address_inside_is_asked(world: World, address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    world.guard()
    kind, other = ("AAAA", "A") if ":" in address else ("A", "AAAA")
    public = "2606:4700::1111" if other == "AAAA" else "9.9.9.9"
    world.resolver.put("in.test", kind, address)
    world.resolver.put("in.test", other, public)  # one that is allowed does not excuse the other
    assert await world.failure("https://in.test/") == "refused"
    literal = f"[{address}]" if ":" in address else address
    assert await world.failure(f"https://{literal}/") == "refused"


async def test_row_50_the_socket_itself_looks_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the library to find an address by itself, it would still not get a socket."""
    monkeypatch.setattr(module.HttpClient, "permitted", lambda self, text: module.yarl.URL(text))
    async with Web(None, reply(b"secret")) as web:
        url = f"http://127.0.0.1:{web.port}/"
        assert (await world.client.get(url)).body == b"secret"
        world.guard()
        assert await world.failure(url) in ("refused", "connect")
    assert len(web.asked) == 1


@pytest.mark.parametrize("address", ["9.9.9.9", "2606:4700::1111", "64:ff9b::909:909", "::ffff:9.9.9.9"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    ["http://web.test/", "ftp://web.test/", "file:///etc/passwd", "https://", "https://user:pw@web.test/",
     "//web.test/", "web.test", "", "https://[::1", "https://web.test:99999/", "https://w\u00e9b.test/",
     "https://web.test/" + "a" * 3000, "https://0x7f.1/", "https://2130706433/", "https://127.1/"],
)  # fmt: skip
async def test_row_50_only_https_urls_without_tricks_are_asked(world: World, url: str) -> None:
    world.guard()
    assert await world.failure(url) in ("refused", "dns")
    assert NAME not in {name for name, _ in world.resolver.asked}


async def test_row_50_what_is_connected_to_is_what_was_checked(
    world: World, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: the name's second answer would be another one, but nobody asks a second time."""

    def nobody(*_: object, **__: object) -> Any:
        raise AssertionError("the system's resolver was asked")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nobody)
    async with Web(authority.server(NAME), reply(b"ok")) as web:
        await world.client.get(f"https://{NAME}:{web.port}/")
    assert world.resolver.asked == [(NAME, "A"), (NAME, "AAAA")]


async def test_row_50_no_redirect_is_followed(world: World, authority: Authority) -> None:
    target = reply(b"", "Location: https://127.0.0.1/secret", status="302 Found")
    async with Web(authority.server(NAME), target) as web:
        assert (await world.client.get(f"https://{NAME}:{web.port}/")).status == 302
        assert len(web.asked) == 1


async def test_row_50_the_certificate_is_verified(world: World, authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    wrong = [authority.server("other.test"), authority.server(NAME, days=-1), stranger.server(NAME)]
    for context in wrong:
        async with Web(context, reply(b"ok")) as web:
            assert await world.failure(f"https://{NAME}:{web.port}/") == "tls"
            assert not web.asked


async def test_row_50_size_and_time_have_limits(world: World, authority: Authority) -> None:
    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async def dripping(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def header(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000)
        await writer.drain()

    for behave, kind in ((endless, "size"), (dripping, "timeout"), (header, "connect")):
        async with Web(authority.server(NAME), behave=behave) as web:
            assert await world.failure(f"https://{NAME}:{web.port}/", most=100_000, seconds=0.5) == kind


async def test_row_25_an_encoding_nobody_asked_for_is_refused(world: World, authority: Authority) -> None:
    async with Web(authority.server(NAME), reply(b"\x1f\x8b\x08", "Content-Encoding: gzip")) as web:
        assert await world.failure(f"https://{NAME}:{web.port}/") == "refused"


async def test_a_failing_host_is_left_alone_for_a_while_and_longer_each_time(
    world: World, authority: Authority
) -> None:
    web = Web(authority.server(NAME), reply(b"ok"))
    async with web:
        pass
    url = f"https://{NAME}:{web.port}/"
    kinds = [await world.failure(url) for _ in range(module.BREAK_AFTER + 1)]
    assert kinds == ["connect"] * module.BREAK_AFTER + ["resting"]
    world.clock.advance(module.BREAK_SECONDS)
    assert await world.failure(url) == "connect"
    world.clock.advance(module.BREAK_SECONDS)
    assert await world.failure(url) == "resting"
    assert await world.failure("https://nowhere.test/") == "dns"


async def test_hosts_remembered_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOSTS", 5)
    for number in range(20):
        assert await world.failure(f"https://n{number}.test/") == "dns"
    assert len(world.client._hosts) == 5
