"""Every place where a stranger chooses what this server connects to (attack row 50), by real clients.

``FETCHES`` has all that asks the web; each is given names and URLs that lead inside, to servers that count
who comes. ``PLACES`` has every file of the source that dials: a new one has to come here first.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from a3mailer.app.cli.check import Brand, look_at_brand
from a3mailer.config.tree import Msgauth, Reports, Server, Settings
from a3mailer.mail.ids import AccountId
from a3mailer.msgauth.bimi import Assertion, BimiResult
from a3mailer.msgauth.tlsrpt import Target
from a3mailer.ops.acme.client import AcmeClient
from a3mailer.ops.acme.documents import AcmeFailure
from a3mailer.ops.acme.jose import AccountKey
from a3mailer.ops.hooks import Hooks
from a3mailer.ops.reports.posting import Sender
from a3mailer.ops.reports.tls_report import make
from a3mailer.ops.reports.tls_sending import TlsReports
from a3mailer.runtime.http import MAX_OCTETS, SECONDS, HttpAnswer, HttpClient, HttpFailure
from a3mailer.runtime.resolver import Answer
from a3mailer.store.rows import Document
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer import indicators
from a3mailer.transfer.outcomes import Event, Hook
from a3mailer.transfer.relay.sts import StsPolicies
from tests.unit.transfer.store import WatchedStore
from tests.web import Authority, Web, reply

SRC = Path(__file__).parents[3] / "src" / "a3mailer"
NAME = "mta-sts.evil.test"
INSIDE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "::1", "::", "::ffff:127.0.0.1", "fe80::1", "fd00:ec2::254", "64:ff9b::7f00:1",
]  # fmt: skip
NUMBERS = ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "0x7f000001", "127.0.0.1.", "[::1]", "127.0.0.1",
           "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "localhost"]  # fmt: skip
"""Of a URL."""


@dataclass
class World:
    """``client`` asks; ``canary`` counts who connects to this machine's port ``port``."""

    client: Any
    resolver: FakeResolver
    folder: Path
    port: int

    @property
    def clock(self) -> FakeClock:
        return FakeClock()


async def _mta_sts(world: World, host: str) -> str:
    """The policy of a recipient's domain; its host can only be this one."""
    world.resolver.put("_mta-sts.evil.test", "TXT", b"v=STSv1; id=1")
    policies = StsPolicies(world.resolver, world.client, world.clock, world.folder / "sts", world.port)
    found = await policies.find("evil.test" if host == NAME else host)
    assert found.policy is None
    return found.reason or "refused: no such domain has a record"


async def _tls_report(world: World, host: str) -> str:
    """Where a domain wants reports (RFC 8460)."""
    settings = Settings(server=Server(domain="a.test"), reports=Reports(tls_send=True))
    store = WatchedStore(world.clock)
    heard = _Heard(world.client)
    reports = TlsReports(store, world.resolver, heard, world.clock, lambda: settings, lambda _: True)
    made = make(0, "evil.test", (), Sender("a.test", "postmaster@a.test"))
    assert not await reports._post(made, "evil.test", Target("post", f"https://{host}:{world.port}/"))
    return heard.failure


async def _webhook(world: World, host: str) -> str:
    """What an application, or whoever has its token, set."""
    hooks = Hooks(WatchedStore(world.clock), world.client, world.clock)
    hook = Hook(f"https://{host}:{world.port}/", "c2VjcmV0")
    event = Event("shop", "{}")
    return await hooks._tell(hook, Document(AccountId(1), "event", "1", "", 0, 0, 0), event)


async def _acme(world: World, host: str) -> str:
    """A directory, and every link that an authority gives."""
    client = AcmeClient(
        world.client, f"https://{host}:{world.port}/", AccountKey.generate(), world.clock, _no_pause
    )
    with pytest.raises(AcmeFailure) as caught:
        await client.begin()
    return f"{caught.value.kind}: {caught.value}"


async def _bimi(world: World, host: str) -> str:
    """A picture that a domain speaks for."""
    settings = Settings(msgauth=Msgauth(bimi=True, bimi_unverified=True))
    url = f"https://{host}:{world.port}/logo.svg"
    found = BimiResult("pass", "evil.test", "default", Assertion(url), organizational="evil.test")
    store = WatchedStore(world.clock)
    pictures = indicators.Indicators(store, world.client, world.clock, world.folder, settings)
    await pictures.about(found)
    await pictures.round()
    known = await pictures.about(found)
    assert known is not None and known.state in (indicators.MISSED, indicators.REFUSED)
    return known.reason


async def _bimi_check(world: World, host: str) -> str:
    """The same by hand: ``check bimi``."""
    world.resolver.put("_dmarc.evil.test", "TXT", b"v=DMARC1; p=reject")
    record = f"v=BIMI1; l=https://{host}:{world.port}/logo.svg".encode()
    world.resolver.put("default._bimi.evil.test", "TXT", record)
    found = await look_at_brand(Brand("evil.test"), world.resolver, world.client.get)
    assert found["result"] != "pass"
    return str(found["reason"])


async def _no_pause(seconds: float) -> None:
    """Nobody waits here."""


class _Heard:
    """A client whose failures are remembered."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self.failure = ""

    async def post(self, url: str, body: bytes, media: str, **limits: Any) -> HttpAnswer:
        try:
            answer = await self._client.post(url, body, media, **limits)
        except HttpFailure as error:
            self.failure = f"{error.kind}: {error}"
            raise
        self.failure = f"answered {answer.status}"
        return answer


Fetch = Callable[[World, str], Awaitable[str]]
"""Ask ``https://HOST:PORT/``; the words of why not."""
FETCHES: dict[str, Fetch] = {
    "MTA-STS": _mta_sts,
    "TLS report": _tls_report,
    "webhook": _webhook,
    "ACME": _acme,
    "BIMI": _bimi,
    "check bimi": _bimi_check,
}
PLACES = {
    "edge/dial.py": "mail hosts by addresses that transfer/relay/destinations/mx.py let through; filters",
    "runtime/http.py": "the one client",
    "runtime/resolver.py": "dns.servers, the operator's",
    "ops/dns_providers/rfc2136.py": "acme.dns_server and domain dns --server, the operator's",
    "app/preflight.py": "addresses to learn our own and whether port 25 is open; nothing is fetched",
    "app/cli/office.py": "the control socket",
    "app/serve.py": "systemd's socket",
    "store/backends/sqlite/store.py": "the writer's socket",
    "store/backends/sqlite/hints.py": "the workers' sockets",
}
"""File: what it dials. Web clients are made by ``runtime.http.HttpClient`` alone."""
DIALS = re.compile(
    r"sock_connect\(|open_connection\(|create_connection\(|(?:sock|socket|probe|connection)\.connect\(|urlopen|http\.client|requests\.|aiohttp\.Client"
)
CLIENTS = {
    "app/compose.py": "all of the above; and the policy hook, inside too: its one URL is the operator's",
    "app/cli/check.py": "check bimi",
    "app/cli/domain_check.py": "the MTA-STS policy of a domain of ours",
}
"""Who makes a client."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@dataclass
class Canary:
    """Whoever connects to it has reached what is inside."""

    port: int = 0
    visits: int = 0

    async def met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.close()


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    made = Canary()
    async with AsyncExitStack() as stack:
        first = await asyncio.start_server(made.met, "127.0.0.1", 0)
        made.port = first.sockets[0].getsockname()[1]
        servers = [first]
        if socket.has_ipv6:
            with suppress(OSError):  # no loopback of that family, or somebody has the port
                servers.append(await asyncio.start_server(made.met, "::1", made.port))
        for server in servers:
            stack.callback(server.close)
        yield made


@pytest.mark.parametrize("address", INSIDE)
async def test_row_50_a_name_that_leads_inside(
    address: str, canary: Canary, authority: Authority, tmp_path: Path
) -> None:
    """Beside a public address, too: one that is allowed does not excuse the other."""
    for name, fetch in FETCHES.items():
        for beside in (False, True):
            resolver = FakeResolver()
            kind, other = ("AAAA", "A") if ":" in address else ("A", "AAAA")
            resolver.put(NAME, kind, address)
            if beside:
                resolver.put(NAME, other, "2606:4700::1111" if other == "AAAA" else "9.9.9.9")
            client = HttpClient(resolver, FakeClock(), authority.client())
            said = await fetch(World(client, resolver, tmp_path, canary.port), NAME)
            assert "not a public address" in said, (name, said)
            await client.close()
    assert not canary.visits


@pytest.mark.parametrize("host", NUMBERS)
async def test_row_50_a_host_that_is_a_number(
    host: str, canary: Canary, authority: Authority, tmp_path: Path
) -> None:
    for fetch in FETCHES.values():
        resolver = FakeResolver()
        client = HttpClient(resolver, FakeClock(), authority.client())
        assert await fetch(World(client, resolver, tmp_path, canary.port), host)
        await client.close()
    assert not canary.visits


class Rebinding(FakeResolver):
    """Public at the first look, inside at every other."""

    async def lookup(self, name: str, kind: str) -> Answer:
        answer = await super().lookup(name, kind)
        if (name, kind) == (NAME, "A"):
            self.put(NAME, "A", "127.0.0.1")
        return answer


@pytest.mark.parametrize("name", FETCHES)
async def test_row_50_a_name_that_changes_its_mind(
    name: str, canary: Canary, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is dialled is what was looked at, and the next time it is looked at again."""
    dialled: list[str] = []

    def nowhere(self: HttpClient, way: Any) -> socket.socket:
        dialled.append(way[4][0])
        raise OSError("this test goes nowhere")

    resolver = Rebinding()
    resolver.put(NAME, "A", "9.9.9.9")
    client = HttpClient(resolver, FakeClock(), authority.client())
    world = World(client, resolver, tmp_path, canary.port)
    monkeypatch.setattr(HttpClient, "_socket", nowhere)
    await FETCHES[name](world, NAME)
    assert dialled == ["9.9.9.9"]
    monkeypatch.undo()
    assert "not a public address" in await FETCHES[name](world, NAME)
    assert not canary.visits
    await client.close()


@pytest.mark.parametrize("name", FETCHES)
async def test_row_50_a_redirect_is_an_answer_and_no_way(
    name: str, canary: Canary, authority: Authority, tmp_path: Path
) -> None:
    for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent", "300 Choices"):
        to = f"Location: http://127.0.0.1:{canary.port}/"
        async with Web(authority.server(NAME), reply(b"", to, status=status)) as web:
            resolver = FakeResolver()
            resolver.put(NAME, "A", "127.0.0.1")
            client = HttpClient(resolver, FakeClock(), authority.client(), inside=True)
            said = await FETCHES[name](World(client, resolver, tmp_path, web.port), NAME)
            assert said and len(web.asked) == 1, said
            await client.close()
    assert not canary.visits


class Watched:
    """What a caller asks a client for, and how much of it it wants."""

    def __init__(self) -> None:
        self.limits: list[tuple[int, float]] = []

    async def get(self, url: str, *, most: int = MAX_OCTETS, seconds: float = SECONDS) -> HttpAnswer:
        self.limits.append((most, seconds))
        raise HttpFailure("refused", "not here")

    async def post(
        self, url: str, body: bytes, media: str, *, most: int = MAX_OCTETS, seconds: float = SECONDS,
        fields: object = None,
    ) -> HttpAnswer:  # fmt: skip
        return await self.get(url, most=most, seconds=seconds)


@pytest.mark.parametrize("name", FETCHES)
async def test_row_50_every_fetch_is_bounded(name: str, tmp_path: Path) -> None:
    """In octets and in time; that the client keeps it is in tests/unit/runtime/test_http.py."""
    watched = Watched()
    await FETCHES[name](World(watched, FakeResolver(), tmp_path, 443), NAME)
    ((most, seconds),) = watched.limits
    assert 0 < most <= MAX_OCTETS and 0 < seconds <= SECONDS


async def bomb(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A megabyte and more that begins as gzip does, said to be one."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08")
    while True:
        writer.write(bytes(65536))
        await writer.drain()


@pytest.mark.parametrize("name", FETCHES)
async def test_row_50_an_endless_packed_answer_is_cut(
    name: str, authority: Authority, tmp_path: Path
) -> None:
    async with Web(authority.server(NAME), behave=bomb) as web:
        resolver = FakeResolver()
        resolver.put(NAME, "A", "127.0.0.1")
        client = HttpClient(resolver, FakeClock(), authority.client(), inside=True)
        said = await FETCHES[name](World(client, resolver, tmp_path, web.port), NAME)
        assert "octets" in said, said
        await client.close()


def _matching(pattern: re.Pattern[str]) -> set[str]:
    files = sorted(SRC.rglob("*.py"))
    return {str(f.relative_to(SRC)) for f in files if pattern.search(f.read_text("utf-8"))}


def test_row_50_nothing_else_dials() -> None:
    assert _matching(DIALS) == set(PLACES)
    assert _matching(re.compile(r"HttpClient\(")) - {"runtime/http.py"} == set(CLIENTS)


def test_row_50_a_context_that_verifies_is_every_clients() -> None:
    """No fetch is made to somebody who cannot prove its name."""
    context = ssl.create_default_context()
    assert context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED
    assert not _matching(re.compile(r"ssl=False|verify_ssl|CERT_NONE")) - {"edge/tls.py"}
