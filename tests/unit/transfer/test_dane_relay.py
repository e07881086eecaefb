"""Mail to a domain with TLSA records: a real TLS host with right, wrong, expired, no certificates (row 5)."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from a3mailer.config.tree import Queue as QueueSettings
from a3mailer.edge.dial import dial
from a3mailer.edge.tls import opportunistic_context
from a3mailer.msgauth.mta_sts import StsPolicy
from a3mailer.runtime.resolver import Mx, Tlsa
from a3mailer.transfer.relay.relay import Relay
from a3mailer.transfer.relay.session import Manners
from a3mailer.transfer.relay.sts import Found
from a3mailer.wire.dsn.report import Report
from tests.certificates import NOW, Certified, authority, certified
from tests.unit.transfer.office import Office
from tests.unit.transfer.test_mta_sts import MailHost

HOST = "mx.b.test"
ROOT = authority()
MIDDLE = authority("Middle", ROOT)
RIGHT = certified(HOST, MIDDLE)
LAST_YEARS = certified("old.test", days=-1)


def ee(of: Certified) -> Tlsa:
    return Tlsa(3, 1, 1, of.key_digest)


def ta(of: Certified) -> Tlsa:
    return Tlsa(2, 0, 1, hashlib.sha256(of.der).digest())


class Shows:
    """A server's context, and the server names it was asked for."""

    def __init__(self, folder: Path, *chain: Certified) -> None:
        self.asked: list[str] = []
        folder.joinpath("chain.pem").write_bytes(b"".join(each.pem for each in chain))
        folder.joinpath("key.pem").write_bytes(chain[0].key_pem)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
        self.context.sni_callback = lambda _socket, name, _context: self.asked.append(name)


@dataclass
class Policies:
    """What MTA-STS says."""

    found: Found = Found()  # noqa: RUF009 - a frozen value

    async def find(self, domain: str) -> Found:
        return self.found


@dataclass
class World:
    """``b.test`` is signed, with one host; ``records`` are the host's."""

    records: Sequence[Tlsa] = ()
    rules: tuple[str, ...] = ()
    signed: tuple[str, ...] = ("b.test",)
    sts: Found = Found()  # noqa: RUF009 - a frozen value
    fails: list[str] = field(default_factory=list)
    notices: list[Report] = field(default_factory=list)
    authorities: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    """Who vouches for certificates where MTA-STS or the mail asks for it."""

    @asynccontextmanager
    async def office(self, host: MailHost) -> AsyncIterator[Office]:
        server = await asyncio.start_server(host.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        office = Office(dial, QueueSettings(smtp_port=port, tls_policy=self.rules))
        office.clock.jump(NOW.timestamp() - office.clock.now())
        dns = office.resolver
        dns.signed = set(self.signed)
        for domain in ("b.test", "c.test"):
            dns.put(domain, "MX", Mx(10, HOST))
        dns.put(HOST, "A", "127.0.0.1")
        if self.records:
            dns.put(f"_{port}._tcp.{HOST}", "TLSA", *self.records)
        for kind in self.fails:
            dns.fail(f"_{port}._tcp.{HOST}" if kind == "TLSA" else HOST, kind)
        manners = Manners("mail.a.test", opportunistic_context(), verifying=self.authorities)
        policies = Policies(self.sts)
        office.relay = Relay(dns, dial, manners, office.settings, office.clock, office.chance, policies)
        office.desk = office.make_desk("worker-1")
        try:
            yield office
        finally:
            await office.relay.close()
            server.close()
            await server.wait_closed()

    async def send(self, host: MailHost, **fields: Any) -> Any:
        """One mail to it; its outcome."""
        async with self.office(host) as office:
            await office.enqueue("x@b.test", **fields)
            await office.attempt()
            self.notices = office.notices
            (outcome,) = office.outcomes
            return outcome


@pytest.mark.parametrize(
    ("records", "chain"),
    [
        ((ee(RIGHT),), (RIGHT, MIDDLE)),
        ((ee(LAST_YEARS),), (LAST_YEARS,)),
        ((ta(MIDDLE),), (RIGHT, MIDDLE)),
        ((ta(ROOT),), (RIGHT, MIDDLE, ROOT)),
        ((ee(LAST_YEARS), ee(RIGHT)), (RIGHT,)),
        ((Tlsa(1, 1, 1, bytes(32)), ee(RIGHT)), (RIGHT,)),
    ],
    ids=["EE", "EE, expired and for another name", "TA", "TA, the root", "the next key", "and unusable ones"],
)
async def test_a_certificate_that_a_record_speaks_of_gets_the_mail(
    tmp_path: Path, records: Sequence[Tlsa], chain: Sequence[Certified]
) -> None:
    shows = Shows(tmp_path, *chain)
    host = MailHost(shows.context)
    assert (await World(records).send(host)).state == "relayed"
    assert [secure for secure, _ in host.mails] == [True]
    assert shows.asked == [HOST]


BAD = {
    "another key": ((ee(LAST_YEARS),), (RIGHT, MIDDLE)),
    "the authority is not shown": ((ta(MIDDLE),), (RIGHT,)),
    "expired": ((ta(MIDDLE),), (certified(HOST, MIDDLE, days=-1), MIDDLE)),
    "another name": ((ta(MIDDLE),), (certified("other.test", MIDDLE), MIDDLE)),
}


@pytest.mark.parametrize("how", BAD)
async def test_row_5_another_certificate_never_gets_it(tmp_path: Path, how: str) -> None:
    records, chain = BAD[how]
    host = MailHost(Shows(tmp_path, *chain).context)
    outcome = await World(records).send(host)
    assert (outcome.state, outcome.enhanced, host.mails, host.sessions) == ("waiting", "4.7.5", [], 1)
    assert outcome.text.startswith("TLS: the server's certificate")
    assert outcome.text.endswith(f"the TLSA records of {HOST}")
    assert host.goodbyes == [True]  # RFC 3207 section 4.1: QUIT at once


@pytest.mark.parametrize("refuses", [True, False])
async def test_row_5_a_host_without_starttls_never_gets_it_in_clear(tmp_path: Path, refuses: bool) -> None:
    host = MailHost(Shows(tmp_path, RIGHT).context if refuses else None, refuse=refuses)
    outcome = await World((ee(RIGHT),)).send(host)
    assert (outcome.state, outcome.enhanced[:4], host.mails, host.sessions) == ("waiting", "4.7.", [], 1)


@pytest.mark.parametrize("kind", ["TLSA", "A"])
async def test_row_5_a_question_that_fails_keeps_the_host_from_being_dialled(kind: str) -> None:
    host = MailHost(None)
    outcome = await World((ee(RIGHT),), fails=[kind]).send(host)
    assert (outcome.state, outcome.enhanced, host.sessions) == ("waiting", "4.4.3", 0)
    assert kind in outcome.text


async def test_of_two_hosts_the_one_that_fits_gets_it(tmp_path: Path) -> None:
    host = MailHost(Shows(tmp_path, RIGHT).context)
    world = World((ee(RIGHT),))
    async with world.office(host) as office:
        port = office.settings.queue.smtp_port
        office.resolver.put("b.test", "MX", Mx(5, "bad.b.test"), Mx(10, HOST))
        office.resolver.put("bad.b.test", "A", "127.0.0.1")
        office.resolver.put(f"_{port}._tcp.bad.b.test", "TLSA", ee(LAST_YEARS))
        await office.enqueue("x@b.test")
        await office.attempt()
        assert [o.state for o in office.outcomes] == ["relayed"]
    assert host.sessions == 2


UNUSABLE = (Tlsa(1, 1, 1, bytes(32)), Tlsa(3, 1, 9, b"?"), Tlsa(3, 1, 1, b"short"))
ENFORCE = Found(StsPolicy("enforce", (HOST,), 1000))
TESTING = Found(StsPolicy("testing", (HOST,), 1000))
ELSEWHERE = Found(StsPolicy("enforce", ("elsewhere.test",), 1000))


@pytest.mark.parametrize(
    ("sts", "tls", "state"),
    [(Found(), True, "relayed"), (Found(), False, "waiting"), (TESTING, True, "relayed"),
     (TESTING, False, "waiting"), (ENFORCE, True, "waiting"), (ELSEWHERE, True, "waiting")],
    ids=["tls", "clear", "testing, tls", "testing, clear", "enforced", "enforced for others"],
)  # fmt: skip
async def test_row_5_unusable_records_demand_tls_and_give_way_to_mta_sts(
    tmp_path: Path, sts: Found, tls: bool, state: str
) -> None:
    host = MailHost(Shows(tmp_path, LAST_YEARS).context if tls else None)
    assert (await World(UNUSABLE, sts=sts).send(host)).state == state
    assert [secure for secure, _ in host.mails] == ([True] if state == "relayed" else [])


@pytest.mark.parametrize("sts", [ENFORCE, TESTING, ELSEWHERE])
@pytest.mark.parametrize("fits", [True, False])
async def test_row_5_dane_stands_above_mta_sts(tmp_path: Path, sts: Found, fits: bool) -> None:
    host = MailHost(Shows(tmp_path, RIGHT, MIDDLE).context)
    outcome = await World((ee(RIGHT if fits else LAST_YEARS),), sts=sts).send(host)
    assert (outcome.state, host.sessions) == ("relayed" if fits else "waiting", 1)


@pytest.mark.parametrize(
    ("rule", "records", "state"),
    [("may", (ee(LAST_YEARS),), "relayed"), ("must", (ee(LAST_YEARS),), "relayed"),
     ("dane", (ee(RIGHT),), "relayed"), ("dane", (ee(LAST_YEARS),), "waiting"),
     ("dane", UNUSABLE, "waiting"), ("dane", (), "waiting")],
    ids=["may", "must", "dane, fits", "dane, another", "dane, unusable", "dane, none"],
)  # fmt: skip
async def test_row_5_the_operators_rule_decides_alone(
    tmp_path: Path, rule: str, records: Sequence[Tlsa], state: str
) -> None:
    host = MailHost(Shows(tmp_path, RIGHT).context)
    outcome = await World(records, (f"b.test={rule}",)).send(host)
    assert (outcome.state, [secure for secure, _ in host.mails]) == (state, [True] * (state == "relayed"))
    if records in ((), UNUSABLE):
        assert (
            outcome.text
            == f"queue.tls_policy says dane, and {HOST} has no usable TLSA records in signed zones"
        )
        assert host.sessions == 0


async def test_an_unsigned_domain_has_what_its_host_offers() -> None:
    host = MailHost(None)
    assert (await World((ee(RIGHT),), signed=()).send(host)).state == "relayed"
    assert [secure for secure, _ in host.mails] == [False]


async def test_row_5_a_session_of_an_unsigned_domain_is_not_used_for_a_signed_one(tmp_path: Path) -> None:
    """Both have the same host; only the one whose MX is signed asks for DANE."""
    host = MailHost(Shows(tmp_path, LAST_YEARS).context)
    async with World((ee(RIGHT),)).office(host) as office:
        for domain in ("c.test", "b.test", "c.test"):
            await office.enqueue(f"x@{domain}")
            await office.attempt()
        assert [o.state for o in office.outcomes] == ["relayed", "waiting", "relayed"]
    assert host.sessions == 2
