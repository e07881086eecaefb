"""Our ACME client against Debian's pebble, which refuses a part of its own nonces and runs in strict mode."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from a3mailer.ops import pkix
from a3mailer.ops.acme.answers import ALPN_PROTOCOL, HTTP_PATH, Answers
from a3mailer.ops.acme.challenges.responder import Means
from a3mailer.ops.acme.client import AcmeClient
from a3mailer.ops.acme.documents import AcmeFailure
from a3mailer.ops.acme.jose import AccountKey, from_base64url
from a3mailer.ops.acme.order import issue, responders
from a3mailer.ops.dns_providers.rfc2136 import Rfc2136, read_key
from a3mailer.runtime.clock import SystemClock
from a3mailer.runtime.http import HttpClient
from a3mailer.testing.resolver import FakeResolver
from tests.bind import Named
from tests.pebble import KID, MAC, Pebble, free_port

NAMES = ("mail.example.test", "mta-sts.example.test")
RECORDS = "mail IN A 127.0.0.1\nmta-sts IN A 127.0.0.1\n"
CONTACT = ("mailto:postmaster@example.test",)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Named]:
    with Named(tmp_path_factory.mktemp("named"), "example.test", RECORDS) as server:
        yield server


@pytest.fixture(scope="module")
def pebble(tmp_path_factory: pytest.TempPathFactory, named: Named) -> Iterator[Pebble]:
    place = tmp_path_factory.mktemp("pebble")
    with Pebble(place, named.port, free_port(), free_port()) as server:
        yield server


@dataclass
class World:
    http: HttpClient
    answers: Answers

    def client(self, url: str, key: AccountKey) -> AcmeClient:
        return AcmeClient(self.http, url, key, SystemClock(), lambda _seconds: asyncio.sleep(0.05))


@pytest.fixture
async def world(pebble: Pebble, tmp_path: Path) -> AsyncIterator[World]:
    http = HttpClient(FakeResolver(), SystemClock(), pebble.authority.client(), inside=True)
    yield World(http, Answers(tmp_path))
    await http.close()


async def issued(
    world: World,
    url: str,
    means: Means,
    kind: str,
    names: tuple[str, ...] = NAMES,
    key: AccountKey | None = None,
) -> pkix.Chain:
    account = key or AccountKey.generate()
    client = world.client(url, account)
    await client.begin()
    await client.register(CONTACT, agreed=True, eab=None)
    return await issue(
        client, account, pkix.new_key(), names, responders((kind,), means), SystemClock().now()
    )


@asynccontextmanager
async def served(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    port: int,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[None]:
    """A server of the test's own; each of its connections is closed when the test ends."""
    open_: set[asyncio.StreamWriter] = set()

    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.add(writer)
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            open_.discard(writer)

    async with await asyncio.start_server(whole, "127.0.0.1", port, ssl=tls):
        yield
    while open_:
        await asyncio.sleep(0.01)


async def test_http_01(pebble: Pebble, world: World) -> None:
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        asked.append(path)
        body = world.answers.http(path.removeprefix(HTTP_PATH)) or b""
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)
        )

    async with served(serve, pebble.http):
        chain = await issued(world, pebble.url, Means(world.answers), "http-01")
    assert set(chain.names) == set(NAMES) and chain.above and len(asked) >= len(NAMES)
    assert not any(world.answers.http(path.removeprefix(HTTP_PATH)) for path in asked)


async def test_tls_alpn_01(pebble: Pebble, world: World) -> None:
    def context(name: str) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        path = world.answers.alpn(name)
        if path is not None:
            made.load_cert_chain(path)
            made.set_alpn_protocols([ALPN_PROTOCOL])
        return made

    def choose(sock: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        sock.context = context(name or "")

    outer = context("")
    outer.sni_callback = choose  # type: ignore[assignment]

    async def serve(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        pass

    async with served(serve, pebble.tls, outer):
        chain = await issued(world, pebble.url, Means(world.answers), "tls-alpn-01")
    assert set(chain.names) == set(NAMES) and not world.answers.awaited()


async def test_dns_01_with_a_wildcard(pebble: Pebble, world: World, named: Named) -> None:
    provider = Rfc2136("127.0.0.1", named.port, read_key(named.key_file))
    means = Means(world.answers, provider, 0.0)
    chain = await issued(world, pebble.url, means, "dns-01", ("*.example.test", "example.test"))
    assert set(chain.names) == {"*.example.test", "example.test"}
    assert await provider.read("example.test", "_acme-challenge.example.test", "TXT") == ()


async def test_a_validation_that_fails_says_why(pebble: Pebble, world: World) -> None:
    with pytest.raises(AcmeFailure, match=r"mail\.example\.test: ") as caught:
        await issued(world, pebble.url, Means(world.answers), "http-01", NAMES[:1])
    assert caught.value.kind == "connection"
    assert world.answers.http("x" * 22) is None


async def test_a_name_the_authority_refuses(pebble: Pebble, world: World) -> None:
    with pytest.raises(AcmeFailure) as caught:
        await issued(world, pebble.url, Means(world.answers), "http-01", ("not_a_name.test",))
    assert caught.value.kind in ("malformed", "rejectedIdentifier")


async def test_an_account_is_found_again_and_its_contact_follows(pebble: Pebble, world: World) -> None:
    key = AccountKey.generate()
    for contact in (CONTACT, CONTACT, ("mailto:other@example.test",)):
        client = world.client(pebble.url, key)
        await client.begin()
        await client.register(contact, agreed=True, eab=None)
    assert pebble.log.count("There are now") >= 1


async def test_terms_that_nobody_agreed_to(pebble: Pebble, world: World) -> None:
    client = world.client(pebble.url, AccountKey.generate())
    await client.begin()
    with pytest.raises(AcmeFailure, match="terms have to be agreed") as caught:
        await client.register(CONTACT, agreed=False, eab=None)
    assert caught.value.kind == "userActionRequired"


async def test_an_external_account(named: Named, world: World, tmp_path: Path) -> None:
    with Pebble(tmp_path / "pebble", named.port, free_port(), free_port(), external=True) as server:
        world.http = HttpClient(FakeResolver(), SystemClock(), server.authority.client(), inside=True)
        key = AccountKey.generate()
        client = world.client(server.url, key)
        await client.begin()
        with pytest.raises(AcmeFailure) as caught:
            await client.register(CONTACT, agreed=True, eab=None)
        assert caught.value.kind == "externalAccountRequired"
        with pytest.raises(AcmeFailure):
            await client.register(CONTACT, agreed=True, eab=(KID, b"another key"))
        await client.register(CONTACT, agreed=True, eab=(KID, from_base64url(MAC)))
        await world.http.close()
