"""Mail to a domain with an MTA-STS policy: real DNS, real HTTPS, a real TLS mail host that lies (row 5)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from a3mailer.config.tree import Queue as QueueSettings
from a3mailer.config.tree import Reports, Settings
from a3mailer.edge.dial import dial
from a3mailer.edge.tls import opportunistic_context
from a3mailer.mail.address import Address, ReversePath
from a3mailer.mail.envelope import Envelope
from a3mailer.mail.tls import TlsLevel, TlsPlan
from a3mailer.runtime.http import HttpClient
from a3mailer.runtime.resolver import Server, StubResolver
from a3mailer.telemetry.events import LOG
from a3mailer.testing.nameserver import NameServer
from a3mailer.transfer.relay.destinations.mx import Host
from a3mailer.transfer.relay.relay import Relay
from a3mailer.transfer.relay.session import Manners
from a3mailer.transfer.relay.sts import StsPolicies
from a3mailer.transfer.relay.tls_outcomes import TlsOutcome, TlsOutcomes
from a3mailer.transfer.relay.tls_policy import OPPORTUNISTIC, Demand, DomainDemand
from a3mailer.transfer.relay.tls_wish import for_mail
from a3mailer.transfer.tallies import Tallies
from tests.unit.transfer.office import Office
from tests.web import Authority, Web, reply

HOST = "mx.b.test"


class MailHost:
    """Takes every mail; ``mails`` holds (under TLS, content), ``senders`` the MAIL commands.

    Without a context it offers no STARTTLS."""

    def __init__(
        self, context: ssl.SSLContext | None, *, refuse: bool = False, requiretls: bool = False
    ) -> None:
        self.context = context
        self.refuse = refuse
        self.requiretls = requiretls
        self.senders: list[bytes] = []
        self.mails: list[tuple[bool, bytes]] = []
        self.sessions = 0
        self.goodbyes: list[bool] = []
        """Under TLS or not, of each QUIT."""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        try:
            await self._talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the handshake failed, or the client has gone
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secure = False
        writer.write(b"220 mx\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                offer = b"250-STARTTLS\r\n" if self.context is not None and not secure else b""
                offer += b"250-REQUIRETLS\r\n" if self.requiretls and secure else b""
                writer.write(b"250-mx\r\n" + offer + b"250 8BITMIME\r\n")
            elif verb == b"MAIL":
                self.senders.append(line.rstrip())
                writer.write(b"250 2.0.0 ok\r\n")
            elif verb == b"STAR" and self.refuse:
                writer.write(b"454 4.7.0 not now\r\n")
            elif verb == b"STAR" and self.context is not None:
                writer.write(b"220 go\r\n")
                await writer.drain()
                await writer.start_tls(self.context)
                secure = True
            elif verb == b"DATA":
                writer.write(b"354 go\r\n")
                self.mails.append((secure, await reader.readuntil(b"\r\n.\r\n")))
                writer.write(b"250 2.0.0 ok\r\n")
            elif verb == b"QUIT":
                self.goodbyes.append(secure)
                writer.write(b"221 bye\r\n")
                return
            else:
                writer.write(b"250 2.0.0 ok\r\n")


class World:
    def __init__(self, authority: Authority, folder: Path) -> None:
        self.authority = authority
        self.folder = folder
        self.web_names = ("mta-sts.b.test",)
        self.mode = "enforce"
        self.mx = HOST
        self.rules: tuple[str, ...] = ()
        self.tallies: Tallies | None = None
        """What was counted for reports of the last office."""

    @asynccontextmanager
    async def office(self, host: MailHost) -> AsyncIterator[Office]:
        server = await asyncio.start_server(host.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        text = f"version: STSv1\r\nmode: {self.mode}\r\nmx: {self.mx}\r\nmax_age: 86400\r\n".encode()
        async with NameServer() as names, Web(self.authority.server(*self.web_names), reply(text)) as web:
            names.put(
                f"b.test. 300 IN MX 10 {HOST}.",
                f"{HOST}. 300 IN A 127.0.0.1",
                "mta-sts.b.test. 300 IN A 127.0.0.1",
                '_mta-sts.b.test. 300 IN TXT "v=STSv1; id=1;"',
            )
            office = Office(dial, QueueSettings(smtp_port=port, tls_policy=self.rules))
            resolver = StubResolver([Server("127.0.0.1", names.port)], 5.0, office.clock)
            http = HttpClient(resolver, office.clock, self.authority.client(), inside=True)
            policies = StsPolicies(resolver, http, office.clock, self.folder, web.port)
            manners = Manners("mail.a.test", opportunistic_context(), verifying=self.authority.client())
            self.tallies = Tallies(office.store, office.clock)
            outcomes = TlsOutcomes(self.tallies, Settings(reports=Reports(tls_send=True)))
            office.relay = Relay(
                resolver,
                dial,
                manners,
                office.settings,
                office.clock,
                office.chance,
                policies,
                outcomes=outcomes,
            )
            office.desk = office.make_desk("worker-1")
            try:
                yield office
            finally:
                await office.relay.close()
                await http.close()
                server.close()
                await server.wait_closed()

    async def send(self, host: MailHost) -> Any:
        """One mail to it; its outcome."""
        async with self.office(host) as office:
            await office.enqueue("x@b.test")
            await office.attempt()
            (outcome,) = office.outcomes
            return outcome

    def counted(self) -> dict[TlsOutcome, int]:
        """What the next report to b.test will be made of."""
        assert self.tallies is not None
        assert {(kind, domain) for kind, _, domain, _ in self.tallies._counts} <= {("tls", "b.test")}
        return {
            msgspec.json.decode(key, type=TlsOutcome): count
            for (_, _, _, key), count in self.tallies._counts.items()
        }


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def world(authority: Authority, tmp_path: Path) -> World:
    return World(authority, tmp_path / "cache")


async def test_a_host_with_the_right_certificate_gets_the_mail(world: World) -> None:
    host = MailHost(world.authority.server(HOST))
    assert (await world.send(host)).state == "relayed"
    assert [secure for secure, _ in host.mails] == [True]


def bad_hosts(authority: Authority, stranger: Authority) -> dict[str, MailHost]:
    return {
        "no STARTTLS": MailHost(None),
        "refused": MailHost(authority.server(HOST), refuse=True),
        "other name": MailHost(authority.server("other.test")),
        "expired": MailHost(authority.server(HOST, days=-1)),
        "not trusted": MailHost(stranger.server(HOST)),
    }


BAD = ["no STARTTLS", "refused", "other name", "expired", "not trusted"]


@pytest.mark.parametrize("how", BAD)
async def test_row_5_enforce_never_goes_in_clear_nor_to_a_stranger(
    world: World, tmp_path: Path, how: str
) -> None:
    host = bad_hosts(world.authority, Authority(tmp_path, "stranger"))[how]
    outcome = await world.send(host)
    assert (outcome.state, outcome.enhanced[:3], host.mails) == ("waiting", "4.7", [])
    assert host.sessions == 1
    assert "TLS" in outcome.text or "certificate" in outcome.text


@pytest.mark.parametrize("how", BAD)
async def test_testing_goes_on_as_if_there_were_no_policy(world: World, tmp_path: Path, how: str) -> None:
    world.mode = "testing"
    host = bad_hosts(world.authority, Authority(tmp_path, "stranger"))[how]
    assert (await world.send(host)).state == "relayed"
    assert [secure for secure, _ in host.mails] == [how not in ("no STARTTLS", "refused")]
    assert host.sessions == 2


async def test_row_5_a_host_that_the_policy_does_not_name_is_not_even_dialled(world: World) -> None:
    world.mx = "mx.elsewhere.test"
    host = MailHost(world.authority.server(HOST))
    outcome = await world.send(host)
    assert (outcome.state, outcome.enhanced, host.sessions) == ("waiting", "4.7.5", 0)
    assert outcome.text == "the MTA-STS policy of b.test does not name mx.b.test"


async def test_a_policy_server_with_a_bad_certificate_gives_no_policy(world: World) -> None:
    world.web_names = ("other.test",)
    host = MailHost(None)
    assert (await world.send(host)).state == "relayed"


@pytest.mark.parametrize(
    ("rule", "tls", "state"),
    [("must", False, "waiting"), ("must", True, "relayed"), ("never", True, "relayed"),
     ("may", False, "relayed"), ("sts", True, "waiting")],
)  # fmt: skip
async def test_row_5_the_operators_rule_decides_alone(world: World, rule: str, tls: bool, state: str) -> None:
    world.rules = (f"b.test={rule}",)
    host = MailHost(world.authority.server("other.test") if tls else None)
    assert (await world.send(host)).state == state
    assert [secure for secure, _ in host.mails] == ([tls and rule != "never"] if state == "relayed" else [])


async def test_row_5_a_session_kept_in_clear_is_not_used_where_tls_is_demanded(world: World) -> None:
    """Two domains share a host; only one of them asks for TLS."""
    world.rules = ("c.test=never",)
    host = MailHost(world.authority.server("other.test"))
    async with world.office(host) as office:
        for domain in ("c.test", "b.test", "c.test"):
            if domain == "c.test":
                office.relay._resolver = _Alias(office.relay._resolver)
            await office.enqueue(f"x@{domain}")
            await office.attempt()
        assert [o.state for o in office.outcomes] == ["relayed", "waiting", "relayed"]
    assert [secure for secure, _ in host.mails] == [False, False]
    assert host.sessions == 2


class _Alias:
    """``c.test`` has the hosts of ``b.test``."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def lookup(self, name: str, kind: str) -> Any:
        return await self._inner.lookup("b.test" if name == "c.test" else name, kind)


@pytest.mark.parametrize(
    ("mode", "rules", "starttls", "word"),
    [
        ("enforce", (), True, "sts"),
        ("testing", (), True, "sts"),
        ("testing", (), False, "none"),
        ("none", (), True, "none"),
        ("enforce", ("b.test=must",), True, "rule"),
        ("enforce", ("b.test=may",), True, "none"),
        ("enforce", ("b.test=never",), True, "rule"),
    ],
)
async def test_the_log_says_which_policy_was_in_force(
    world: World,
    capfd: pytest.CaptureFixture[str],
    mode: str,
    rules: tuple[str, ...],
    starttls: bool,
    word: str,
) -> None:
    world.mode, world.rules = mode, rules
    host = MailHost(world.authority.server(HOST) if starttls else None)
    assert (await world.send(host)).state == "relayed"
    LOG.flush()
    lines = [msgspec.json.decode(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["tls"] for line in lines if line["event"] == "queue.outcome"] == [word]


def test_what_a_mail_demands_itself_is_no_rule_of_the_operator() -> None:
    envelope = Envelope(ReversePath(Address("a", "a.test")), tls="required")
    host = Host(HOST, 25, authentic=True)
    asked = for_mail(envelope, Demand(OPPORTUNISTIC), DomainDemand("b.test"), host)
    assert [plan.word for plan in asked.plans] == ["requiretls"]
    assert TlsPlan(TlsLevel.DANE).word == "dane"
