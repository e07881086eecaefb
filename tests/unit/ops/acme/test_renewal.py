"""When certificates are fetched, with which names and keys, and what happens when they cannot be."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.config.tree import Acme, Server, Settings
from a3mailer.mail.errors import TryLater
from a3mailer.mail.ids import DEFAULT_TENANT
from a3mailer.ops import pkix
from a3mailer.ops.acme.memory import ACCOUNT, TRIALS, Memory
from a3mailer.ops.acme.renewal import Renewal
from a3mailer.ops.acme.schedule import (
    BACKOFF,
    BACKOFF_MOST,
    Trial,
    Wish,
    failed,
    renew_at,
    renewal_id,
    warning_seconds,
    wishes,
    within,
)
from a3mailer.ops.certificates import ACME, IMPORTED, NEXT_KEY, CertificateStore, Kept, key_of, write_whole
from a3mailer.store.rows import Domain
from a3mailer.telemetry.metrics import SHARED
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.resolver import FakeResolver
from tests.acme_authority import BASE, Authority
from tests.certificates import NOW, authority, certified

HOST, STS, CONFIG = "mail.example.test", "mta-sts.example.test", "autoconfig.example.test"
DAY = 86_400.0
total = SHARED.total


class Domains:
    def __init__(self) -> None:
        self.names = ["example.test"]
        self.fails = False

    async def domains(self) -> tuple[Domain, ...]:
        if self.fails:
            raise TryLater("the store is away")
        return tuple(Domain(DEFAULT_TENANT, name, "", "{}") for name in self.names)


@dataclass
class World:
    place: Path
    clock: FakeClock
    authority: Authority
    acme: Acme = field(
        default_factory=lambda: Acme(directory=f"{BASE}/dir", agree=True, contact=("me@a.test",))
    )
    resolver: FakeResolver = field(default_factory=FakeResolver)
    domains: Domains = field(default_factory=Domains)

    def settings(self) -> Settings:
        return Settings(server=Server(hostname=HOST), acme=self.acme)

    def renewal(self) -> Renewal:
        return Renewal(
            self.place, self.domains, self.resolver, self.authority, self.clock, self.settings,  # type: ignore[arg-type]
            self.pause, lambda: 0.5,
        )  # fmt: skip

    async def pause(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def round(self) -> None:
        await self.renewal().round(asyncio.Event())

    def kept(self, name: str = HOST) -> Kept | None:
        store = CertificateStore(self.place, self.settings())
        store.look(self.clock.now())
        return next((each for each in store.kept if (each.source, each.name) == (ACME, name)), None)

    def trial(self, name: str = HOST) -> Trial:
        return Memory(self.place).trials()[name]

    @property
    def ordered(self) -> list[set[str]]:
        return [{each["value"] for each in order["identifiers"]} for order in self.authority.orders]


@pytest.fixture
def world(tmp_path: Path) -> World:
    own = certified(HOST)
    for folder in ("tls", "keys", "run"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tls" / "cert.pem").write_bytes(own.pem)
    (tmp_path / "tls" / "key.pem").write_bytes(own.key_pem)
    clock = FakeClock(NOW.timestamp())
    made = World(tmp_path, clock, Authority(clock))
    made.resolver.put(STS, "A", "192.0.2.1")
    return made


async def test_one_for_the_host_and_one_a_domain_as_far_as_the_dns_goes(world: World) -> None:
    await world.round()
    assert world.ordered == [{HOST}, {STS}]
    await world.round()
    assert len(world.ordered) == 2, "nothing is due any more"
    world.resolver.put(CONFIG, "AAAA", "2001:db8::1")
    await world.round()
    assert world.ordered[2:] == [{STS, CONFIG}]
    world.domains.names.append("other.test")
    await world.round()
    assert len(world.ordered) == 3, "no name of that domain is there"
    assert world.authority.contacts == [["mailto:me@a.test"]]


async def test_a_silent_dns_takes_no_name_away(world: World) -> None:
    world.resolver.put(CONFIG, "A", "192.0.2.1")
    await world.round()
    world.resolver.fail(CONFIG, "A")
    world.clock.advance(61 * DAY)
    await world.round()
    assert world.ordered == [{HOST}, {STS, CONFIG}] * 2


async def test_renewed_at_two_thirds_with_the_same_key(world: World) -> None:
    await world.round()
    first = world.kept()
    assert first is not None
    own = pkix.read_key((world.place / "tls" / "key.pem").read_bytes())
    assert pkix.spki(own) == first.chain.spki, "the key that was there, whose TLSA record is published"
    world.clock.advance(57 * DAY)
    await world.round()
    assert world.kept() == first
    world.clock.advance(3.5 * DAY)
    await world.round()
    second = world.kept()
    assert (
        second is not None and second.chain.leaf != first.chain.leaf and second.chain.spki == first.chain.spki
    )


async def test_a_new_key_is_the_one_whose_record_is_published(world: World) -> None:
    following = pkix.new_key()
    write_whole(world.place / NEXT_KEY, pkix.key_pem(following))
    world.acme = msgspec.structs.replace(world.acme, new_key=True)
    await world.round()
    kept = world.kept()
    assert kept is not None and kept.chain.spki == pkix.spki(following) == pkix.spki(key_of(kept))
    third = pkix.read_key((world.place / NEXT_KEY).read_bytes())
    assert pkix.spki(third) != pkix.spki(following)


async def test_failures_back_off_and_are_remembered(world: World) -> None:
    world.authority.refuse = "unauthorized"
    pauses = []
    for failures in range(1, 12):
        await world.round()
        assert world.trial().failures == failures and world.trial().error == "no"
        pauses.append(world.trial().not_before - world.clock.now())
        await world.round()
        assert world.trial().failures == failures, "not again before its time"
        world.clock.advance(pauses[-1])
    assert pauses[0] == BACKOFF and pauses[1] == 2 * BACKOFF and pauses[-1] == BACKOFF_MOST
    world.authority.refuse = ""
    await world.round()
    assert world.kept() is not None and world.trial() == Trial(
        at=world.clock.now(), directory=world.acme.directory
    )


async def test_one_that_fails_delays_no_other(world: World) -> None:
    world.authority.refuse_names = {HOST}
    before = [total("a3_certificates_total", result) for result in ("issued", "failed")]
    await world.round()
    after = [total("a3_certificates_total", result) for result in ("issued", "failed")]
    assert [now - was for now, was in zip(after, before, strict=True)] == [1, 1]
    assert total("a3_certificate_seconds") == 30 * DAY, "of the one that is shown still"
    assert world.kept() is None and world.kept(STS) is not None
    assert world.trial(HOST).failures == 1 and world.trial(STS).failures == 0


async def test_the_authority_says_when_to_come_back(world: World) -> None:
    world.authority.refuse, world.authority.retry_after = "rateLimited", "40000"
    await world.round()
    assert world.trial().not_before == world.clock.now() + 40_000


@pytest.mark.parametrize("fault", ["silent", "account", "trials", "store", "terms"])
async def test_what_goes_wrong_around_it(world: World, fault: str) -> None:
    if fault == "silent":
        world.authority.silent = True
    elif fault == "account":
        (world.place / ACCOUNT).write_bytes(b"nonsense")
    elif fault == "trials":
        (world.place / TRIALS).write_bytes(b"nonsense")
    elif fault == "terms":
        world.acme = msgspec.structs.replace(world.acme, agree=False)
    world.domains.fails = fault == "store"
    await world.round()
    assert (world.kept() is not None) is (fault == "trials")
    if fault in ("silent", "account", "terms"):
        assert world.trial().failures == 1
    if fault == "terms":
        assert f"{BASE}/terms" in world.trial().error


async def test_the_authority_may_advise(world: World) -> None:
    """RFC 9773: sooner than by ourselves, since it is going to revoke; and which one it replaces."""
    start = world.clock.now()
    world.authority.window = (start + 10 * DAY, start + 20 * DAY)
    await world.round()
    first = world.kept()
    assert first is not None and world.authority.advised == []
    world.clock.advance(DAY)
    await world.round()
    assert world.authority.advised == [
        f"/renewal/{renewal_id(k.chain.leaf)}" for k in (first, world.kept(STS)) if k
    ]
    advised = world.trial().advised
    assert (
        advised == within(*world.authority.window, first.chain)
        and start + 10 * DAY <= advised < start + 20 * DAY
    )
    await world.round()
    assert len(world.authority.advised) == 2, "asked again only after some hours"
    world.clock.advance(advised - world.clock.now())
    await world.round()
    renewed = [order for order in world.authority.orders if order.get("replaces")]
    assert renewed[0]["replaces"] == renewal_id(first.chain.leaf)
    world.authority.silent = True
    world.clock.advance(7 * 3600)
    await world.round()
    assert world.trial().failures == 0, "advice that does not come is no failure"


@pytest.mark.parametrize("kind", ["alreadyReplaced", "malformed", "unauthorized", "rateLimited"])
async def test_one_that_cannot_be_replaced_is_ordered_anew(world: World, kind: str) -> None:
    start = world.clock.now()
    world.authority.window = (start + 10 * DAY, start + 20 * DAY)
    await world.round()
    first = world.kept()
    world.authority.irreplaceable = kind
    world.clock.advance(61 * DAY)
    await world.round()
    assert (world.kept() != first) is (kind != "rateLimited")


async def test_another_authority_is_asked_at_once(world: World) -> None:
    """As after a trial with an authority's staging environment."""
    await world.round()
    world.acme = msgspec.structs.replace(world.acme, directory=f"{BASE}/directory")
    world.authority.refuse = "unauthorized"
    await world.round()
    assert world.trial().failures == 1
    await world.round()
    assert world.trial().failures == 1, "but no sooner than after any other failure"
    world.authority.refuse = ""
    world.clock.advance(2 * BACKOFF)
    await world.round()
    await world.round()
    assert world.ordered == [{HOST}, {STS}] * 2


async def test_certificates_put_here_by_hand_do_as_well(world: World) -> None:
    root = authority()
    made = certified(HOST, root, days=40)
    store = CertificateStore(world.place, world.settings())
    store.put(IMPORTED, HOST, pkix.read_chain(made.pem + root.pem), made.key)
    await world.round()
    assert world.ordered == [{STS}]
    world.clock.advance(30 * DAY)
    await world.round()
    assert {HOST} in world.ordered, "that one nears its end"


async def test_who_asks_is_served_at_once(world: World) -> None:
    await world.round()
    memory = Memory(world.place)
    memory.ask((STS,))
    assert memory.is_asked()
    await world.round()
    assert world.ordered == [{HOST}, {STS}, {STS}] and not memory.is_asked()
    world.authority.refuse = "unauthorized"
    memory.ask(())
    await world.round()
    world.authority.refuse = ""
    memory.ask((HOST,))
    await world.round()
    assert world.ordered[3:] == [{HOST}], "also while it would wait"


async def test_without_a_directory_nothing_is_asked(world: World) -> None:
    world.acme = Acme()
    world.authority.silent = True
    await world.round()
    assert not (world.place / TRIALS).exists() and not (world.place / ACCOUNT).exists()


async def test_what_is_ours_no_more_goes_when_it_ends(world: World) -> None:
    await world.round()
    world.domains.names.clear()
    world.clock.advance(89 * DAY)
    await world.round()
    assert world.kept(STS) is not None
    world.clock.advance(2 * DAY)
    await world.round()
    assert world.kept(STS) is None and world.kept() is not None


@pytest.mark.parametrize(
    ("acme", "error"),
    [
        ({"dns_server": "127.0.0.1:53", "dns_key_file": "absent.key"}, "absent.key"),
        ({"eab_kid": "kid-1", "eab_key_file": "absent.key"}, "absent.key"),
        ({"eab_kid": "kid-1", "eab_key_file": "bad.key"}, "base64url"),
    ],
)
async def test_files_of_the_settings_that_cannot_be_used(
    world: World, acme: dict[str, str], error: str
) -> None:
    (world.place / "bad.key").write_text("not base64 at all!")
    world.acme = msgspec.structs.replace(world.acme, **acme)
    await world.round()
    assert error in world.trial().error and world.ordered == []


async def test_only_one_process_is_at_it(world: World) -> None:
    with Memory(world.place).alone() as held:
        assert held
        await world.round()
        assert world.ordered == []
    await world.round()
    assert len(world.ordered) == 2


async def test_files_are_for_their_owner(world: World) -> None:
    await world.round()
    for path in (world.place / ACCOUNT, world.place / TRIALS):
        assert path.stat().st_mode & 0o777 == 0o600


async def test_the_work_sees_settings_that_change(world: World) -> None:
    wanted, world.acme = world.acme, Acme()
    stop = asyncio.Event()
    renewal = world.renewal()
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(renewal.run(stop))
        async with asyncio.timeout(20):
            while not (world.place / "run" / "acme").exists():
                await asyncio.sleep(0.01)
            world.acme = wanted
            while world.kept(STS) is None:
                await asyncio.sleep(0.05)
        stop.set()
        await work


# --- pure -------------------------------------------------------------------------------------------------


def test_no_name_is_in_two_certificates() -> None:
    settings = Settings(
        server=Server(hostname="Mail.A.test"),
        acme=Acme(names=("mta-sts.a.test",), domain_names=("mta-sts", "x")),
    )
    assert wishes(settings, ["a.test", "b.test"]) == (
        Wish("mail.a.test", ("mail.a.test", "mta-sts.a.test"), host=True),
        Wish("x.a.test", ("x.a.test",)),
        Wish("mta-sts.b.test", ("mta-sts.b.test", "x.b.test")),
    )


@given(st.floats(0, 1), st.integers(0, 1000), st.floats(0, 1e6))
def test_a_pause_has_bounds(draw: float, failures: int, asked: float) -> None:
    after = failed(Trial(failures=failures), "x", 1e9, asked, draw)
    pause = after.not_before - 1e9
    assert max(0.9 * BACKOFF, asked) <= pause + 1e-6 and pause <= max(1.1 * BACKOFF_MOST, asked) + 1e-6


@given(st.floats(0.1, 4000))
def test_there_is_time_left_after_a_renewal_that_fails(days: float) -> None:
    made = certified(HOST, days=days)
    chain = pkix.read_chain(made.pem)
    life = chain.ends - chain.begins
    assert 0.64 * life <= renew_at(chain, Trial()) - chain.begins <= 0.67 * life
    assert 0 < warning_seconds(chain) < life * 0.51
    assert renew_at(chain, replace_advice(5.0)) == 5.0


def replace_advice(at: float) -> Trial:
    return msgspec.structs.replace(Trial(), advised=at)
